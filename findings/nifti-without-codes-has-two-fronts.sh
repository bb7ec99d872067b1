#!/usr/bin/env bash
# Of a NIfTI image without orientation codes, nibabel and SimpleITK disagree on front and place.
#
# Version    SimpleITK 2.5.7, nibabel 5.4.2
# Behaviour  sform and qform code 0 (as many converters of k-space or MATLAB arrays leave it),
#            voxels of 2 x 3 x 4 mm. nibabel takes x to the left and y to the front, the origin in
#            the middle; SimpleITK takes x to the left and y to the back, the first voxel at (0, 0,
#            0). No message.
# Output     first voxel, in mm right, front and up: nibabel 3 -7.5 -14, SimpleITK 0 0 0
#            one voxel along x, y, z: nibabel -2 3 4, SimpleITK -2 -3 4
# Source     nifti1.h: method 1 (no code) has no orientation to compare with other images; x, y and
#            z grow with the index.
# Consequence A mask drawn by a tool on one of the two lies mirrored front to back on an image read
#            by the other, and Dice by world coordinates is nearly 0. Such an image has no
#            orientation: compare it by index only, or refuse it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  simpleitk==2.5.7 nibabel==5.4.2 numpy==2.4.6
env/bin/python -W error - <<'PY'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

image = nib.Nifti1Image(np.zeros((4, 6, 8), np.int16), None)
image.header["pixdim"][1:4] = 2, 3, 4
image.header["qform_code"] = image.header["sform_code"] = 0
nib.save(image, "scan.nii")
affine = nib.load("scan.nii").affine
read = sitk.ReadImage("scan.nii")
to_ras = np.diag([-1.0, -1.0, 1.0])  # ITK counts x to the left and y to the back
first = to_ras @ read.TransformIndexToPhysicalPoint((0, 0, 0))
axes = to_ras @ np.array(read.GetDirection()).reshape(3, 3) @ np.diag(read.GetSpacing())


def shown(numbers):
    """Numbers in words, without a negative zero."""
    return " ".join(f"{x + 0.0:g}" for x in numbers)


theirs, ours = affine[:3, 3], np.diag(affine)[:3]
print("first voxel, in mm right, front and up:", end=" ")
print(f"nibabel {shown(theirs)}, SimpleITK {shown(first)}")
print(f"one voxel along x, y, z: nibabel {shown(ours)}, SimpleITK {shown(np.diag(axes))}")
assert np.allclose(theirs, [3, -7.5, -14]) and np.allclose(ours, [-2, 3, 4])
assert np.allclose(first, 0) and np.allclose(np.diag(axes), [-2, -3, 4])
PY
