"""Where voxels lie in the patient: positions, affines, orientation, planes of an exam.

Directions and positions that come from DICOM are in LPS millimetres (toward left, posterior,
superior); affines map voxel indices to RAS millimetres (the NIfTI convention).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
#: Gaps between rounded positions differ by less than the first from the usual one, and at least so
#: many of them by more than the second; of a stack that was planned in two parts, one does.
_ROUNDED_GAP, _UNEVEN_GAP, _LEAST_UNEVEN = 0.25, 0.01, 2

#: LPS -> RAS: the first two axes change sign.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nearest_rotation(matrix: ArrayLike) -> Floats:
    """Orthonormal matrix nearest to a 3 x 3 matrix (polar factor, Frobenius norm).

    The handedness of `matrix` is kept: its columns may describe a mirrored grid.

    Raises
    ------
    ValueError
        If the matrix is not finite or singular.

    References
    ----------
    Higham, Computing the polar decomposition, SIAM J Sci Stat Comput 1986.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError("a finite 3 x 3 matrix is needed")
    left, singular, right = np.linalg.svd(matrix)
    if singular[-1] <= 1e-6 * singular[0]:
        raise ValueError("the matrix is singular")
    return left @ right


def spacing_from_affine(affine: ArrayLike) -> tuple[float, float, float]:
    """Distance in mm between voxel centres along each axis: the norms of the columns."""
    norms = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)
    return (float(norms[0]), float(norms[1]), float(norms[2]))


def orthonormal_affine(affine: ArrayLike) -> tuple[Floats, tuple[float, float, float], float]:
    """Nearest affine whose axes are at right angles, with the same spacing and origin.

    Parameters
    ----------
    affine : array_like, shape (4, 4)
        Voxel index to millimetres; may be sheared.

    Returns
    -------
    affine : ndarray, shape (4, 4)
        Without shear; the given numbers unchanged if they had none (to 1e-4 rad).
    spacing_mm : tuple of 3 floats
        Norms of the columns.
    shear_deg : float
        Largest angle by which an axis was turned.

    Raises
    ------
    ValueError
        If it is not finite or two axes coincide.
    """
    affine = np.array(affine, dtype=float)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise ValueError("a finite 4 x 4 affine is needed")
    spacing = spacing_from_affine(affine)
    if min(spacing) <= 0:
        raise ValueError("an axis of the affine has length zero")
    directions = affine[:3, :3] / np.array(spacing)
    rotation = nearest_rotation(directions)
    cosines = np.clip(np.sum(directions * rotation, axis=0), -1, 1)
    sines = np.linalg.norm(np.cross(directions.T, rotation.T), axis=1)
    shear = float(np.max(np.arctan2(sines, cosines)))
    if shear > 1e-4:
        affine[:3, :3] = rotation * np.array(spacing)
    return affine, spacing, float(np.degrees(shear))


def plane_normal(orientation: ArrayLike) -> Floats:
    """Return the unit normal, row x column direction, of an ImageOrientationPatient.

    Raises
    ------
    ValueError
        If the two directions are not finite or parallel.
    """
    cosines = np.asarray(orientation, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:6])
    length = float(np.linalg.norm(normal))
    if not np.isfinite(length) or length < 0.5:
        raise ValueError("the row and column directions do not span a plane")
    return normal / length


def slice_positions_mm(positions: ArrayLike, normal: ArrayLike) -> Floats:
    """Position of each slice along the normal.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        ImagePositionPatient of each slice.
    normal : array_like, shape (3,)
        Unit normal of the planes.
    """
    return np.asarray(positions, dtype=float) @ np.asarray(normal, dtype=float)


def slice_distance_mm(along_mm: ArrayLike) -> tuple[float, float]:
    """Distance between neighbouring slices, and how irregular it is.

    Parameters
    ----------
    along_mm : array_like, shape (n,)
        Positions along the normal, in any order.

    Returns
    -------
    distance_mm : float
        Median gap; the mean gap where many gaps differ a little, as they do between positions that
        were rounded. NaN with fewer than two slices.
    irregularity : float
        Largest deviation of a gap from the distance, as a fraction of it; 0 with fewer than 3
        slices.

    Examples
    --------
    >>> slice_distance_mm([0, 9, 18, 36])
    (9.0, 1.0)
    >>> slice_distance_mm([0, 8, 17, 25, 34])[0]
    8.5
    """
    gaps = np.diff(np.sort(np.asarray(along_mm, dtype=float)))
    if gaps.size == 0:
        return float("nan"), 0.0
    distance = float(np.median(gaps))
    if gaps.size == 1:
        return distance, 0.0
    if distance <= 0:
        return distance, float("inf")
    off = np.abs(gaps / distance - 1.0)
    if off.max() < _ROUNDED_GAP and np.count_nonzero(off > _UNEVEN_GAP) >= _LEAST_UNEVEN:
        distance = float(np.mean(gaps))
    return distance, float(np.max(np.abs(gaps - distance)) / distance)


def dicom_affine(
    *,
    orientation: ArrayLike,
    first_position: ArrayLike,
    last_position: ArrayLike,
    n_slices: int,
    row_spacing_mm: float,
    column_spacing_mm: float,
    slice_spacing_mm: float,
) -> Floats:
    """Voxel -> RAS affine of a stack of DICOM planes with axes (column index, row index, slice).

    Parameters
    ----------
    orientation : array_like, shape (6,)
        ImageOrientationPatient: directions of a row and of a column.
    first_position, last_position : array_like, shape (3,)
        ImagePositionPatient of the first and last slice.
    n_slices
        Number of slices; with one, `slice_spacing_mm` along the normal is taken.
    row_spacing_mm, column_spacing_mm
        PixelSpacing: distance between rows, and between columns.
    slice_spacing_mm
        Slice distance.

    References
    ----------
    DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
    """
    cosines = np.asarray(orientation, dtype=float)
    first = np.asarray(first_position, dtype=float)
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * column_spacing_mm
    affine[:3, 1] = cosines[3:6] * row_spacing_mm
    if n_slices > 1:
        affine[:3, 2] = (np.asarray(last_position, dtype=float) - first) / (n_slices - 1)
    else:
        affine[:3, 2] = plane_normal(cosines) * slice_spacing_mm
    affine[:3, 3] = first
    return _LPS_TO_RAS @ affine


def reorient(
    array: NDArray[Any],
    affine: ArrayLike,
    order: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
) -> tuple[NDArray[Any], Floats]:
    """Transpose and flip the first three axes; every voxel keeps its place in the patient.

    Parameters
    ----------
    array : ndarray, shape (x, y, z, ...)
        Image or labels; a view of it is returned.
    affine : array_like, shape (4, 4)
        Voxel -> RAS.
    order, flips
        Order of the axes and which are reversed: first the transposition, then the flips.
    """
    array = array.transpose(*order, *range(3, array.ndim))
    affine = np.asarray(affine, dtype=float)[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:, 3] += affine[:, axis] * (array.shape[axis] - 1)
            affine[:, axis] *= -1
            array = np.flip(array, axis)
    return array, affine


def is_axis_aligned(affine: ArrayLike, *, tolerance: float = 1e-3) -> bool:
    """Whether every voxel axis lies along a patient axis.

    Of a stack that is oblique to the body, a header that says so has lost its orientation.
    """
    directions = np.asarray(affine, dtype=float)[:3, :3]
    directions = np.abs(directions / np.linalg.norm(directions, axis=0))
    return bool(np.all(np.max(directions, axis=0) > 1 - tolerance))
