"""Analytic shapes: soft ellipsoids, and a heart of ellipsoids as a short-axis label stack."""

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label


def centres(shape, spacing_mm):
    """Voxel centres in mm, shape (axes, x, y[, z])."""
    return np.indices(shape) * np.reshape(spacing_mm, (-1, *[1] * len(shape)))


def soft_ellipsoid(points, centre, radii, *, softness=0.15):
    """1 inside, 0 outside, a smooth edge between."""
    distance = np.sqrt(
        sum(((p - c) / r) ** 2 for p, c, r in zip(points, centre, radii, strict=True))
    )
    return 1 / (1 + np.exp((distance - 1) / softness))


def blobs(points, centre):
    """Three ellipsoids without any symmetry, around a centre in mm."""
    offsets = [(0, 0, 0), (14, 5, -4), (-6, 12, 9)]
    radii = [(22, 15, 18), (8, 11, 7), (6, 8, 10)]
    gains = [1.0, 0.7, -0.5]
    parts = [
        gain * soft_ellipsoid(points, np.add(centre, offset), radius)
        for offset, radius, gain in zip(offsets, radii, gains, strict=True)
    ]
    return np.sum(parts, axis=0)


def heart(shape, spacing_mm, *, matrix=None, scale=1.0):
    """Ellipsoidal heart whose frame (RV to LV, across, base to apex) `matrix` puts into the array.

    The base is cut off flat; the RV lies beside the LV, nearer to the base, and off the symmetry
    plane.
    """
    matrix = np.eye(4) if matrix is None else matrix
    points = centres(shape, spacing_mm).reshape(3, -1)
    x, y, z = np.linalg.inv(matrix[:3, :3]) @ (points - matrix[:3, 3:])
    x, y, z = x / scale, y / scale, z / scale

    def inside(centre, radii):
        return (
            ((x - centre[0]) / radii[0]) ** 2
            + ((y - centre[1]) / radii[1]) ** 2
            + ((z - centre[2]) / radii[2]) ** 2
        ) < 1

    below_base = z > -25
    labels = np.zeros(x.shape, dtype=np.uint8)
    labels[inside((-34, -4, -12), (24, 30, 42)) & below_base] = Label.RV
    labels[inside((0, 0, -12), (32, 32, 58)) & below_base] = Label.MYO
    labels[inside((0, 0, -12), (23, 23, 49)) & below_base] = Label.LV
    return labels.reshape(shape)


def rotation(axis, degrees):
    """3 x 3 rotation about an array axis."""
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


def placed(linear, centre):
    """4 x 4 matrix of a linear part and a translation."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre
    return matrix


@pytest.fixture(scope="session")
def shapes():
    """The functions above, by name."""
    names = ("centres", "soft_ellipsoid", "blobs", "heart", "rotation", "placed")
    return {name: globals()[name] for name in names}
