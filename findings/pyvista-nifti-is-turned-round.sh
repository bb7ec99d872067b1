#!/usr/bin/env bash
# PyVista reads a NIfTI without its axes: stored in another order, the same head is turned half round.
#
# Version    pyvista 0.49.1, vtk 9.7.2, nibabel 5.4.2, numpy 2.4.6
# Behaviour  The same anatomy stored in three orders, each with its right affine. pyvista.read gives
#            voxel size and array, direction the identity and origin 0. Stored as LPS instead of RAS,
#            it lies turned by 180 degrees about the third axis; with qfac -1 the slices are put in
#            reverse order, which turns it about the second. No warning.
# Output     header: RAS 9, 15, 23; LPS 9, 15, 23; qfac -1 9, 15, 23 (the marked voxel in mm: x, y, z)
#            pyvista: RAS 4, 9, 16; LPS 14, 24, 16; qfac -1 14, 9, 36
# Source     nifti1.h (qform, qfac); VTK's class vtkNIFTIImageReader keeps the matrices apart from
#            the image, for the caller to apply (GetQFormMatrix, GetSFormMatrix).
# Consequence A mesh made by contour() has the right volume in another place: what is called left by its
#            x is the right side at a site that stores its scans in another order, so asymmetries
#            change their sign by site, and points of other tools do not lie on the mesh. Give the
#            grid the affine of nibabel by hand.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pyvista==0.49.1 vtk==9.7.2 nibabel==5.4.2 numpy==2.4.6
env/bin/python -W error::UserWarning - <<'PY'
import nibabel as nib
import numpy as np
import pyvista as pv

SHAPE, STEPS, MARK = (10, 12, 14), np.array([2.0, 3.0, 4.0]), np.array([2, 3, 4])
ORIGIN = np.array([5.0, 6.0, 7.0])


def points(flips):
    """The marked point in mm: by the header, and as pyvista places it."""
    signs = np.array(flips)
    image = np.zeros(SHAPE, np.float32)
    image[tuple(MARK)] = 1
    stored = np.flip(image, [axis for axis in range(3) if signs[axis] < 0])
    last = np.array(SHAPE) - 1
    affine = np.diag([*(signs * STEPS), 1.0])
    affine[:3, 3] = ORIGIN + np.where(signs < 0, last * STEPS, 0)
    file = nib.Nifti1Image(np.ascontiguousarray(stored), affine)
    file.set_qform(affine, 1)
    file.set_sform(affine, 1)
    file.to_filename("image.nii")
    index = np.argwhere(stored == 1)[0]
    grid = pv.read("image.nii")
    assert np.array_equal(grid.direction_matrix, np.eye(3)) and tuple(grid.origin) == (0, 0, 0)
    (name,) = [n for n in grid.point_data if grid.point_data[n].size == image.size]
    found = grid.points[int(np.argmax(grid.point_data[name]))]
    return (affine @ [*index, 1])[:3], found


orders = {"RAS": (1, 1, 1), "LPS": (-1, -1, 1), "qfac -1": (-1, 1, 1)}
header, read = zip(*(points(flips) for flips in orders.values()), strict=True)
for title, places in (("header", header), ("pyvista", read)):
    text = "; ".join(
        f"{name} " + ", ".join(f"{v:g}" for v in place)
        for name, place in zip(orders, places, strict=True)
    )
    print(f"{title}: {text}")
assert np.allclose(header, (9, 15, 23))
assert np.allclose(read, [(4, 9, 16), (14, 24, 16), (14, 9, 36)]), "orientation is read now"
PY
