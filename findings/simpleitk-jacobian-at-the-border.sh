#!/usr/bin/env bash
# SimpleITK's Jacobian determinant takes half of the derivative at the border of a displacement field.
#
# Version    SimpleITK 2.5.7
# Behaviour  A field that stretches everything by 1.1 along x has the determinant 1.1 everywhere. The
#            filter DisplacementFieldJacobianDeterminant gives 1.1 inside and 1.05 in the first and last
#            voxels along x; of a mirroring that folds everything (determinant -1) the border comes
#            out as 0, which no test for values below zero counts as a fold. Nothing says so.
# Output     stretch by 1.1: inside 1.100, first and last voxel 1.050
#            mirroring: inside -1.000, first and last voxel 0.000
# Source     itkDisplacementFieldJacobianDeterminantFilter: central differences, and beyond the border
#            the border's own value (zero-flux Neumann), divided by two spacings all the same.
# Consequence On crops around an organ, or stacks of few slices, the border is a large share of the
#            voxels: folding shares and volume changes are too small there. Of a stack of 2 slices
#            the derivative through the plane is halved everywhere. Take one-sided differences at
#            the border (numpy.gradient), or leave the border out and say so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check simpleitk==2.5.7 "numpy<3"
env/bin/python - <<'PY'
import numpy as np
import SimpleITK as sitk


def determinant(factor, slices=6):
    """Determinants along x of the transform x -> factor x, and of z -> factor z with few slices."""
    out = []
    for axis, shape in ((0, (8, 9, 10)), (2, (8, 9, slices))):
        grid = np.indices(shape)[axis] * 2.0
        vectors = np.zeros((*shape, 3))
        vectors[..., axis] = (factor - 1) * grid
        image = sitk.GetImageFromArray(np.ascontiguousarray(vectors.transpose(2, 1, 0, 3)), isVector=True)
        image.SetSpacing((2.0, 2.0, 2.0))
        made = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image)).transpose(2, 1, 0)
        out.append(made.mean(axis=tuple(i for i in range(3) if i != axis)))
    return out


for name, factor in (("stretch by 1.1", 1.1), ("mirroring", -1.0)):
    along, _ = determinant(factor)
    print(f"{name}: inside {along[1:-1].mean():.3f}, first and last voxel {along[[0, -1]].mean():.3f}")
    assert np.allclose(along[1:-1], factor)
    assert np.allclose(along[[0, -1]], 1 + (factor - 1) / 2), "SimpleITK treats the border otherwise now"
_, two = determinant(1.1, slices=2)
assert np.allclose(two, 1.05), "SimpleITK treats two slices otherwise now"
PY
