#!/usr/bin/env bash
# SimpleITK takes where a NIfTI image begins from its sform, but how far its slices lie apart from pixdim.
#
# Version    SimpleITK 2.5.7, nibabel 5.4.2
# Behaviour  A file whose sform says slices 10 mm apart and whose pixdim and qform say 8 (as a tool
#            leaves it that rewrites one and not the others). nibabel's affine has 10 mm. SimpleITK has
#            the sform's origin together with the spacing 8 where the sform's code is 1; where it is 2,
#            3 or 4 (aligned, Talairach, MNI) and a qform exists, origin and spacing are the qform's.
#            Codes are all valid; a warning goes to the standard error, which scripts rarely read.
# Output     sform code 1: nibabel 10 mm from (7, 8, 9); SimpleITK 8 mm from (-7, -8, 9)
#            sform code 2: nibabel 10 mm from (7, 8, 9); SimpleITK 8 mm from (0, 0, 0)
#            (SimpleITK counts x and y the other way round, LPS)
# Source     nifti1.h: "method 3" (sform_code > 0) is preferred where it is given; no code is excepted.
# Consequence The same file has two volumes, a fifth apart, and two places, according to the reader.
#            Where sform and pixdim contradict each other, a number measured from either alone is a
#            guess: say so and ask.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check simpleitk==2.5.7 nibabel==5.4.2 "numpy<3"
env/bin/python - 2> warnings.txt <<'PY'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

sform = np.diag([1.5, 1.5, 10.0, 1.0])
sform[:3, 3] = 7, 8, 9
expected = {1: (-7.0, -8.0, 9.0), 2: (0.0, 0.0, 0.0), 3: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}
for code, origin in expected.items():
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    image.set_qform(np.diag([1.5, 1.5, 8.0, 1.0]), code=1)
    image.set_sform(sform, code=code)
    image.header["pixdim"][1:4] = 1.5, 1.5, 8.0
    nib.save(image, "image.nii")
    affine = nib.load("image.nii").affine
    read = sitk.ReadImage("image.nii")
    print(
        f"sform code {code}: nibabel {affine[2, 2]:g} mm from {tuple(affine[:3, 3].tolist())}; "
        f"SimpleITK {read.GetSpacing()[2]:g} mm from {read.GetOrigin()}"
    )
    assert affine[2, 2] == 10 and affine[:3, 3].tolist() == [7, 8, 9]
    assert read.GetSpacing()[2] == 8, "SimpleITK reads the slice distance elsewhere now"
    assert np.allclose(read.GetOrigin(), origin), "SimpleITK reads the origin elsewhere now"
PY
