#!/usr/bin/env bash
# A displacement field of SimpleITK points the other way in x and y when another reader loads it.
#
# Version    SimpleITK 2.5.7, nibabel 5.4.2
# Behaviour  A field that moves everything by (1, 2, 3) mm, written to NIfTI by SimpleITK. The
#            voxels' place is converted from ITK's axes (left, posterior) to NIfTI's (right,
#            anterior), the vectors are not: nibabel finds (1, 2, 3) beside an affine whose x and y
#            are turned. The file's intent code is 1007 (vector). The same file with code 1006
#            (displacement vector) is read by SimpleITK as (-1, -2, 3): there it does convert.
# Output     written (1, 2, 3), diagonal of the affine -1 -1 1; nibabel 1 2 3, intent 1007
#            read by SimpleITK: code 1007 1 2 3, code 1006 -1 -2 3
# Source     nifti1.h: DISPVECT (1006) is "specifically for displacements", axes are right,
#            anterior, superior; ITK pull request 3884 (ConvertRASDisplacementVectors).
# Consequence A warp that was estimated with ITK and applied by a reader that keeps to NIfTI moves
#            anatomy to the wrong side: atlas and subject drift apart by twice the displacement.
#            Turn x and y and set code 1006 in the file (here with nibabel), and check one known
#            shift.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  simpleitk==2.5.7 nibabel==5.4.2 numpy==2.4.6
env/bin/python - <<'PY'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

vectors = np.zeros((5, 6, 7, 3))
vectors[...] = 1, 2, 3
sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=True), "field.nii")
image = nib.load("field.nii")
turned = np.diag(image.affine)[:3].tolist()
found = image.get_fdata()[0, 0, 0, 0].tolist()
code = int(image.header["intent_code"])
print("written (1, 2, 3), diagonal of the affine {:g} {:g} {:g};".format(*turned), end=" ")
print("nibabel {:g} {:g} {:g}, intent {}".format(*found, code))
again = {}
for code in (1007, 1006):
    image.header["intent_code"] = code
    nib.save(nib.Nifti1Image(image.get_fdata(), image.affine, image.header), "again.nii")
    again[code] = sitk.ReadImage("again.nii").GetPixel(0, 0, 0)
shown = (f"code {code} " + " ".join(f"{v:g}" for v in pixel) for code, pixel in again.items())
print("read by SimpleITK:", ", ".join(shown))
assert turned == [-1, -1, 1]
assert found == [1, 2, 3], "SimpleITK turns vectors when it writes now"
assert again[1007] == (1, 2, 3) and again[1006] == (-1, -2, 3), "both codes are read the same way now"

image.header["intent_code"] = 1006
corrected = image.get_fdata() * [-1, -1, 1]
nib.save(nib.Nifti1Image(corrected, image.affine, image.header), "corrected.nii")
assert sitk.ReadImage("corrected.nii").GetPixel(0, 0, 0) == (1, 2, 3)
PY
