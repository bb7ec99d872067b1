"""The frame in which hearts are averaged: placed and turned by their labels, size kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.atlas.grid import AtlasGrid
from popscan.atlas.prepared import Prepared
from popscan.protocols.cine_sax.frame import heart_frame
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError
from popscan.register import check_frame, resample_affine

#: Size of the box around the heart, and where in it the centre of the LV cavity lies: the RV
#: needs more room than the lateral wall.
_EXTENT_MM = (168.0, 144.0, 132.0)
_CENTRE_MM = (100.0, 72.0, 64.0)
#: Less of the labelled heart than this on the grid is not a heart to average.
_MIN_COVERAGE = 0.9
#: Around the labels, this much counts as the heart when intensities are normalised.
_MARGIN_MM = 15.0


def heart_grid(*, spacing_mm: float = 3.0) -> AtlasGrid:
    """Return a grid of 168 x 144 x 132 mm, enough for a dilated heart.

    Axis 0 points from the RV to the LV, axis 1 across both (posterior), axis 2 from base to apex;
    the origin of the frame is the centre of the LV cavity.

    Raises
    ------
    PopscanError
        If the spacing is not within 1 to 10 mm.
    """
    return AtlasGrid.covering(_EXTENT_MM, spacing_mm=spacing_mm, centre_mm=_CENTRE_MM)


def grid_affine(grid: AtlasGrid) -> NDArray[np.float64]:
    """Return voxel of the grid -> RAS mm, the centre of the LV cavity at 0.

    The frame's axes are those of a scan (left, posterior) and base to apex (down): in RAS all
    three point to the negative, else viewers show a mirrored heart.
    """
    affine = np.diag([*(-mm for mm in grid.spacing), 1.0])
    affine[:3, 3] = -grid.to_frame[:3, 3]
    return affine


def prepare(
    image: ArrayLike,
    labels: NDArray[np.uint8],
    *,
    affine: ArrayLike,
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid | None = None,
) -> Prepared:
    """Align a subject's end-diastolic frame with the heart's frame.

    Rigid only: size and shape stay, so an average over subjects has an average heart's size.
    Labels go through signed distance maps, so that slices 8 mm apart become a smooth surface and
    not stairs (shape-based interpolation: Raya and Udupa 1990).

    Parameters
    ----------
    image : array_like, shape (x, y, z)
        One frame, finite.
    labels : ndarray of uint8, shape (x, y, z)
        `Label` values on the same grid, RV, MYO and LV all present.
    affine : array_like, shape (4, 4)
        Voxel -> RAS millimetres.
    spacing_mm
        Voxel distances.
    grid
        By default `heart_grid`.

    Returns
    -------
    Prepared
        The subject on the grid.

    Raises
    ------
    SubjectError
        ``missing_structure`` or ``undefined_heart_frame`` (of the frame),
        ``shape_mismatch``, ``non_finite_image``, ``constant_image``, and ``outside_atlas_grid``
        if less than 90% of the heart arrives on the grid.
    """
    grid = grid or heart_grid()
    image, labels = np.asarray(image, dtype=np.float32), np.asarray(labels)
    check_frame(image, labels)
    frame = heart_frame(labels, spacing_mm=spacing_mm)
    matrix = frame.matrix @ grid.to_frame
    coverage = _share_on_grid(labels > 0, matrix, spacing_mm, grid)
    if coverage < _MIN_COVERAGE:
        raise SubjectError(
            "outside_atlas_grid",
            f"only {coverage:.0%} of the labelled heart lies on the atlas grid of "
            f"{grid.shape} voxels of {grid.spacing_mm:g} mm",
        )
    on_grid, inside, memberships = resampled(
        normalised(image, grey_range(image, labels > 0, spacing_mm)),
        labels,
        matrix,
        spacing_mm=spacing_mm,
        grid=grid,
    )
    voxel_to_mm = np.diag([grid.spacing_mm] * 3 + [1.0])
    mm_to_voxel = np.diag([1.0 / s for s in spacing_mm] + [1.0])
    return Prepared(
        grid=grid,
        image=on_grid,
        inside=inside,
        labels=memberships,
        to_world=np.asarray(affine, dtype=np.float64) @ mm_to_voxel @ matrix @ voxel_to_mm,
        coverage=coverage,
    )


def resampled(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    *,
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Bring one frame (x, y, z) onto the grid: image, what it covers, and memberships.

    Parameters
    ----------
    image, labels
        Normalised intensities, and `Label` values.
    matrix : ndarray, shape (4, 4)
        From mm on the grid to mm in the scan.
    spacing_mm
        Of the scan.
    grid
        Of the atlas.

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
        0 outside of the scan.
    inside : ndarray of bool, shape (x, y, z)
    memberships : ndarray of float32, shape (3, x, y, z)
        RV, MYO, LV.
    """
    inside = _resampled(np.ones(image.shape), matrix, spacing_mm, grid) > 0.5
    on_grid = np.where(inside, _resampled(image, matrix, spacing_mm, grid), np.float32(0))
    return on_grid, inside, _resampled_labels(labels, matrix, spacing_mm, grid)


def _share_on_grid(
    heart: NDArray[np.bool_],
    matrix: NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid,
) -> float:
    points = np.argwhere(heart) * np.asarray(spacing_mm) - matrix[:3, 3]
    voxels = points @ np.linalg.inv(matrix[:3, :3]).T / grid.spacing_mm
    on_grid = (voxels >= -0.5) & (voxels <= np.asarray(grid.shape) - 0.5)
    return float(on_grid.all(axis=1).mean())


def _resampled(
    array: NDArray,
    matrix: NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid,
    *,
    fill: float = 0.0,
) -> NDArray[np.float32]:
    # One slice repeated at each end: a slice stands for its thickness, and half of it lies
    # beyond the outermost slice centre.
    padded = np.pad(array, ((0, 0), (0, 0), (1, 1)), mode="edge")
    shifted = matrix.copy()
    shifted[2, 3] += spacing_mm[2]
    outside = _beyond(array.shape[2], matrix, spacing_mm, grid)
    values = resample_affine(
        padded,
        shifted,
        spacing_mm=spacing_mm,
        shape=grid.shape,
        output_spacing_mm=grid.spacing,
        fill=fill,
    )
    values[outside] = fill
    return values


def _beyond(
    n_slices: int,
    matrix: NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid,
) -> NDArray[np.bool_]:
    points = np.indices(grid.shape, sparse=True)
    slices = matrix[2, 3] + sum(
        matrix[2, axis] * grid.spacing_mm * points[axis] for axis in range(3)
    )
    slices = slices / spacing_mm[2]
    return (slices < -0.5) | (slices > n_slices - 0.5)


def _resampled_labels(
    labels: NDArray,
    matrix: NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid,
) -> NDArray[np.float32]:
    """Return soft RV, MYO and LV memberships, shape (3, x, y, z)."""
    held = labels > 0
    margin = [int(np.ceil(_MARGIN_MM / s)) for s in spacing_mm]
    padded = np.pad(labels, [(m, m) for m in margin])
    box = tuple(
        slice(low, high + 2 * m + 1) for (low, high), m in zip(_extents(held), margin, strict=True)
    )
    start = np.array([(s.start - m) * mm for s, m, mm in zip(box, margin, spacing_mm, strict=True)])
    shifted = matrix.copy()
    shifted[:3, 3] -= start
    cropped = padded[box]

    def membership(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        if not mask.any():
            return np.zeros(grid.shape, dtype=np.float32)
        distance = resample_affine(
            _signed_distance_mm(mask, spacing_mm),
            shifted,
            spacing_mm=spacing_mm,
            shape=grid.shape,
            output_spacing_mm=grid.spacing,
            fill=-_MARGIN_MM,
        )
        return np.clip(0.5 + distance / grid.spacing_mm, 0.0, 1.0)

    cavity = membership(cropped == Label.LV)
    outer = membership((cropped == Label.LV) | (cropped == Label.MYO))
    rv = np.minimum(membership(cropped == Label.RV), 1.0 - outer)
    cavity = np.minimum(cavity, outer)
    return np.stack([rv, outer - cavity, cavity]).astype(np.float32)


def _signed_distance_mm(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Distance to the surface between voxel centres, positive inside.

    A mask without a voxel, or without a background, has no surface: minus or plus infinity.
    (`scipy.ndimage.distance_transform_edt` would measure from a corner outside of the array.)
    """
    if not mask.any() or mask.all():
        return np.full(mask.shape, np.inf if mask.any() else -np.inf, dtype=np.float32)
    inner = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    outer = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    # Both count to the nearest centre of the other kind; the surface lies half-way there.
    half = min(spacing_mm) / 2
    return np.where(mask, inner - half, half - outer).astype(np.float32)


def _extents(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    found = []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append((int(held[0]), int(held[-1])))
    return found


def grey_range(
    image: NDArray[np.float32], heart: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[float, float]:
    """Return the 1st and 99th percentile of a frame around the heart.

    Raises
    ------
    SubjectError
        ``constant_image``.
    """
    around = tuple(
        slice(max(0, low - int(_MARGIN_MM / s)), high + int(_MARGIN_MM / s) + 1)
        for (low, high), s in zip(_extents(heart), spacing_mm, strict=True)
    )
    low, high = map(float, np.percentile(image[around], (1, 99)))
    if high <= low:
        raise SubjectError("constant_image", "the image has one value all around the heart")
    return low, high


def normalised(image: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Return intensities with 0 and 1 at these limits, from -0.5 to 2."""
    low, high = limits
    scaled = (image - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, -0.5, 2.0).astype(np.float32)
