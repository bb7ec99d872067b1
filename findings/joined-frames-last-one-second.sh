#!/usr/bin/env bash
# Frames joined to a 4D NIfTI are one second (or one millisecond) apart, whatever they were.
#
# Version    SimpleITK 2.5.7, nibabel 5.4.2
# Behaviour  SimpleITK.JoinSeries gives the new axis a spacing of 1 and its NIfTI writer calls it
#            seconds; nibabel.concat_images gives it 1 and keeps the unit of the first frame. Neither
#            leaves the step at 0, the format's way of saying that it is not known.
# Output     SimpleITK 1 sec; nibabel 1 msec (frames whose header says msec), 1 unknown (none)
# Source     nifti1.h: pixdim[4] is the time step, its unit is in xyzt_units; 0 where it has none.
# Consequence Twenty-five frames of one heartbeat make a cycle of 25 s (2.4 beats a minute) or 25 ms
#            (2,400): a step of exactly 1 is no measurement, and must not become a heart rate.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check simpleitk==2.5.7 nibabel==5.4.2 "numpy<3"
env/bin/python - <<'PY'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

frame = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
sitk.WriteImage(sitk.JoinSeries([frame] * 4), "joined.nii")
header = nib.load("joined.nii").header
seen = {"SimpleITK": (float(header.get_zooms()[3]), header.get_xyzt_units()[1])}
for unit in ("msec", "unknown"):
    frame = nib.Nifti1Image(np.zeros((5, 4, 3), np.int16), np.eye(4))
    frame.header.set_xyzt_units("mm", unit)
    header = nib.concat_images([frame] * 4).header
    seen[f"nibabel, frames in {unit}"] = (float(header.get_zooms()[3]), header.get_xyzt_units()[1])
print(seen)
assert seen == {
    "SimpleITK": (1.0, "sec"),
    "nibabel, frames in msec": (1.0, "msec"),
    "nibabel, frames in unknown": (1.0, "unknown"),
}
PY
