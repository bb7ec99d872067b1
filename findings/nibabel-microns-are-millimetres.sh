#!/usr/bin/env bash
# The same NIfTI file in microns has voxels of 1 mm in SimpleITK and of 1000 in nibabel.
#
# Version    nibabel 5.4.2, SimpleITK 2.5.7
# Behaviour  A header whose unit is "micron", with steps of 1000. SimpleITK converts to millimetres;
#            nibabel gives zooms and affine as stored, and the unit only on request. In metres the
#            factor is the other way. Milliseconds of the fourth axis likewise: 0.04 and 40.
# Output     micron: nibabel 1000, SimpleITK 1; meter: nibabel 0.001, SimpleITK 1
#            msec: nibabel 40, SimpleITK 0.04
#            volume of 1000 voxels, "mL" without a look at the unit: nibabel 1e+09, SimpleITK 1
# Source     nifti1.h (xyzt_units); nibabel pull request 567 (zooms in mm and s, open since 2017),
#            fmriprep issue 786, ANTs issue 1114.
# Consequence Volumes of ex-vivo, histology and small-animal scans are off by 1e9, which is noticed;
#            frame times by 1000: one second between beats is 60 beats a minute, or 0.06, or 60,000.
#            Of two tools in a pipeline one is right: labels written by SimpleITK no longer lie on the
#            image as nibabel reads it. Convert by get_xyzt_units() when reading.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  nibabel==5.4.2 simpleitk==2.5.7 numpy==2.4.6
env/bin/python -W error - <<'PY'
import nibabel as nib
import numpy as np
import SimpleITK as sitk


def steps(unit, step, time=("sec", 1.0)):
    """Voxel size and time step of a file, by nibabel and by SimpleITK."""
    image = nib.Nifti1Image(np.zeros((10, 10, 10, 3), np.int16), np.diag([step, step, step, 1]))
    image.header.set_xyzt_units(unit, time[0])
    image.header.set_zooms((step, step, step, time[1]))
    image.to_filename("image.nii")
    read = nib.load("image.nii")
    assert np.isclose(read.affine[0, 0], step)
    theirs = sitk.ReadImage("image.nii").GetSpacing()
    zooms = [float(z) for z in read.header.get_zooms()]
    return (zooms[0], theirs[0]), (zooms[3], theirs[3])


micron, _ = steps("micron", 1000)
meter, _ = steps("meter", 0.001)
_, msec = steps("mm", 1, ("msec", 40.0))
line = "{}: nibabel {:g}, SimpleITK {:g}".format
print(line("micron", *micron), line("meter", *meter), sep="; ")
print(line("msec", *msec))
volumes = [1000 * step**3 / 1000 for step in micron]
print(line('volume of 1000 voxels, "mL" without a look at the unit', *volumes))
assert np.allclose(micron, (1000, 1)), "both convert, or neither, now"
assert np.allclose(meter, (0.001, 1)) and np.allclose(msec, (40, 0.04))
PY
