#!/usr/bin/env bash
# A MONAI image cut with [] keeps the position of the whole: two cut slices put it 16 mm off.
#
# Version    monai 1.6.1, torch 2.13.0
# Behaviour  A MetaTensor carries its affine through every transform. Cut with SpatialCrop its first
#            slice lies at z = 16 mm; cut with [..., 2:] at z = 0, and cut with [..., ::2] it still has
#            slices of 8 mm, so that half of the slices make half of the volume. torch.flip and
#            permute leave the affine as it was, too.
# Output     SpatialCrop: first slice at 16 mm; [..., 2:]: at 0 mm; [..., ::2]: slices of 8 mm
#            flip: first slice at 0 mm (it is the one from 24); permute: voxels 1 x 1 x 8 mm (8 x 1 x 1)
# Source     MONAI's documentation of MetaTensor: metadata are handed on by PyTorch's operations as they
#            are. That the affine is then wrong is not said.
# Consequence A label map predicted on such an image and saved with its affine lies two slices lower
#            than the anatomy, and a volume computed from its voxel size is halved. Within a pipeline of
#            transforms all is right, so that one line of indexing is enough. Use SpatialCrop and Flip,
#            or correct the affine yourself.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 monai==1.6.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Flip, SpatialCrop

image = MetaTensor(torch.zeros(1, 4, 4, 4), affine=np.diag([1.0, 1.0, 8.0, 1.0]))


def start(cut):
    """Where the first slice lies, in mm."""
    return float(cut.affine[2, 3])


cropped = SpatialCrop(roi_start=(0, 0, 2), roi_end=(4, 4, 4))(image)
cut, thinned = image[..., 2:], image[..., ::2]
step = float(thinned.affine[2, 2])
print(
    f"SpatialCrop: first slice at {start(cropped):g} mm; [..., 2:]: at {start(cut):g} mm; "
    f"[..., ::2]: slices of {step:g} mm"
)
assert cropped.shape == cut.shape and start(cropped) == 16 and start(Flip(2)(image)) == 24
flipped, turned = torch.flip(image, [3]), image.permute(0, 3, 2, 1)
voxels = [float(mm) for mm in turned.affine.diagonal()[:3]]
print(
    f"flip: first slice at {start(flipped):g} mm (it is the one from 24); "
    "permute: voxels {:g} x {:g} x {:g} mm (8 x 1 x 1)".format(*voxels)
)
assert start(cut) == start(flipped) == 0 and step == 8, "indexing moves the affine now"
assert voxels == [1, 1, 8]
PY
