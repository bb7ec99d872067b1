#!/usr/bin/env bash
# The centreline of a vessel is a sheet of nine lines by SimpleITK unless it runs along z.
#
# Version    SimpleITK 2.5.7, scikit-image 0.26.0
# Behaviour  BinaryThinning takes volumes without a warning and thins every xy plane on its own. Of
#            the same round tube it leaves one voxel per step of length where the tube runs along
#            z, and a sheet as wide as the tube where it runs along x or y: its length in voxels
#            depends on how the patient lay. A ball leaves a column of voxels and not a point.
# Output     tube of radius 4, 41 voxels long: along z 41, along y 369, along x 369 voxels
#            scikit-image: along z 37, along y 35, along x 37; ball 9 voxels by SimpleITK, 2 there
# Source     ITK's BinaryThinningImageFilter visits a 3 x 3 neighbourhood (Gonzalez and Woods,
#            "Digital Image Processing"); its documentation says that the filter is meant for two
#            dimensions, SimpleITK's signature and its table of filters do not.
# Consequence Length, branching and tortuosity of vessels and airways from this skeleton are those of
#            the scan's orientation. Use skimage.morphology.skeletonize, or ITK's
#            BinaryThinningImageFilter3D (itk-thickness3d).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  simpleitk==2.5.7 scikit-image==0.26.0 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import SimpleITK as sitk
from skimage.morphology import skeletonize


def by_simpleitk(mask):
    return int(sitk.GetArrayFromImage(sitk.BinaryThinning(sitk.GetImageFromArray(mask))).sum())


def tube(axis):
    shape = [21, 21, 21]
    shape[axis] = 41
    away = np.indices(shape) - 10
    return (sum(away[i] ** 2 for i in range(3) if i != axis) <= 16).astype(np.uint8)


got = {name: by_simpleitk(tube(axis)) for axis, name in enumerate("zyx")}
peer = {name: int(skeletonize(tube(axis) > 0).sum()) for axis, name in enumerate("zyx")}
ball = (((np.indices((21, 21, 21)) - 10) ** 2).sum(0) <= 16).astype(np.uint8)
balls = by_simpleitk(ball), int(skeletonize(ball > 0).sum())
print("SimpleITK", got, "scikit-image", peer, "ball", balls)
assert got == {"z": 41, "y": 369, "x": 369}, "volumes are thinned as volumes now"
assert all(35 <= n <= 41 for n in peer.values()) and balls[0] == 9 and balls[1] <= 3
PY
