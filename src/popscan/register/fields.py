"""Displacement fields: warping, composition, inversion, Jacobian.

Written for three axes, (x, y, z, 3); (x, y, 2) in a plane works too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.register.itk import Spacing

Field = NDArray[np.floating]


def warp_image(
    image: ArrayLike, field: ArrayLike, *, spacing_mm: Spacing, fill: float | None = 0.0
) -> NDArray[np.float32]:
    """Resample an image through a field, linearly.

    Parameters
    ----------
    image : array_like, shape (x, y, z)
        The moving image.
    field : array_like, shape (x, y, z, 3)
        Displacement in mm from the fixed to the moving grid; both are the same grid.
    spacing_mm
        Of that grid.
    fill
        Value where the field points more than half a voxel outside the image; None takes that of
        the nearest voxel.

    Returns
    -------
    ndarray of float32, shape (x, y, z)
        ``image(p + field(p))``; a zero field returns the image itself.
    """
    return _pulled(image, field, spacing_mm, order=1, fill=fill, dtype=np.float32)


def warp_labels(
    labels: NDArray[np.integer], field: ArrayLike, *, spacing_mm: Spacing
) -> NDArray[np.integer]:
    """Resample labels through a field by nearest neighbour; outside is 0, the type is kept."""
    return _pulled(labels, field, spacing_mm, order=0, fill=0, dtype=labels.dtype)


def _pulled(
    image: ArrayLike,
    field: ArrayLike,
    spacing_mm: Spacing,
    *,
    order: int,
    fill: float | None,
    dtype,
) -> NDArray:
    image, field = np.asarray(image), np.asarray(field)
    coordinates = np.moveaxis(field, -1, 0) / _per_axis(spacing_mm)
    coordinates = coordinates + np.indices(image.shape)
    # A voxel reaches half a voxel beyond its centre: rounding at the border is not outside.
    last = _per_axis(image.shape).astype(int) - 1
    nearest = np.clip(coordinates, 0, last)
    coordinates = np.where(np.abs(coordinates - nearest) <= 0.5, nearest, coordinates)
    return ndimage.map_coordinates(
        image,
        coordinates,
        output=dtype,
        order=order,
        mode="nearest" if fill is None else "constant",
        cval=fill or 0.0,
    )


def compose_fields(first: ArrayLike, second: ArrayLike, *, spacing_mm: Spacing) -> Field:
    """Return the field of ``T2(T1(p))``: through `first`, then through `second`.

    Warping by the result equals warping an image by `second`, then the outcome by `first`.

    Parameters
    ----------
    first, second : array_like, shape (x, y, z, 3)
        Displacements in mm on the same grid; `second` continues beyond it as at its border.
    spacing_mm
        Of that grid.

    Returns
    -------
    ndarray of float64, shape (x, y, z, 3)
        The composed displacement in mm.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return first + _field_at(second, first, spacing_mm)


def invert_field(
    field: ArrayLike, *, spacing_mm: Spacing, n_iterations: int = 30, tolerance_mm: float = 0.01
) -> Field:
    """Return the field of the inverse transform by fixed-point steps (Chen et al. 2008).

    Chen M, Lu W, Chen Q, Ruchala KJ, Olivera GH. A simple fixed-point approach to invert a
    deformation field. Med Phys 35:81-88, 2008.

    Parameters
    ----------
    field : array_like, shape (x, y, z, 3)
        Displacement in mm whose gradient stays below 1, as that of an average of organs does;
        beyond the grid it continues as at its border.
    spacing_mm
        Of its grid.
    n_iterations
        At most so many steps.
    tolerance_mm
        Steps end once none changes the inverse by more.

    Returns
    -------
    ndarray of float64, shape (x, y, z, 3)
        Displacement in mm: going through it and then through `field` leads back to the start.
    """
    field = np.asarray(field, dtype=np.float64)
    inverse = -field
    for _ in range(n_iterations):
        following = -_field_at(field, inverse, spacing_mm)
        change = np.abs(following - inverse).max(initial=0.0)
        inverse = following
        if change <= tolerance_mm:
            break
    return inverse


def _field_at(field: Field, displacement: Field, spacing_mm: Spacing) -> Field:
    """Value of a field at each grid point moved by a displacement."""
    coordinates = np.moveaxis(displacement, -1, 0) / _per_axis(spacing_mm)
    return _sampled(field, coordinates + np.indices(field.shape[:-1]))


def _sampled(field: Field, coordinates: NDArray) -> Field:
    return np.stack(
        [
            ndimage.map_coordinates(field[..., axis], coordinates, order=1, mode="nearest")
            for axis in range(field.shape[-1])
        ],
        axis=-1,
    )


def _per_axis(values: Sequence[float]) -> NDArray[np.float64]:
    """One value per axis, in a shape that broadcasts over (axes, x, y[, z])."""
    return np.asarray(values, dtype=np.float64).reshape(-1, *[1] * len(values))


def field_at(field: ArrayLike, points_mm: ArrayLike, *, spacing_mm: Spacing) -> Field:
    """Return the displacement at points, shape (k, axes), in mm from voxel 0.

    It is linear between voxels, and beyond the grid as at its border.
    """
    field = np.asarray(field, dtype=np.float64)
    points = np.asarray(points_mm, dtype=np.float64)
    return _sampled(field, (points / np.asarray(spacing_mm, dtype=np.float64)).T)


def jacobian_determinant(field: ArrayLike, *, spacing_mm: Spacing) -> NDArray[np.float64]:
    """Return the local volume change of ``T(p) = p + field(p)``.

    Parameters
    ----------
    field : array_like, shape (x, y, z, 3)
        Displacement in mm; along an axis of one voxel nothing changes.
    spacing_mm
        Of its grid.

    Returns
    -------
    ndarray of float64, shape (x, y, z)
        1 keeps volume, 2 doubles it from the fixed to the moving image, 0 or less folds.
    """
    field = np.asarray(field, dtype=np.float64)
    jacobian = np.empty((*field.shape, field.shape[-1]))
    for axis, distance in enumerate(spacing_mm):
        if field.shape[axis] == 1:
            jacobian[..., axis] = 0.0
            continue
        jacobian[..., axis] = np.gradient(field, float(distance), axis=axis)
    jacobian += np.eye(field.shape[-1])
    return np.linalg.det(jacobian)
