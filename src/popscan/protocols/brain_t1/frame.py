"""The frame in which brains are averaged: placed, turned and scaled by landmarks of the labels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.atlas.grid import AtlasGrid
from popscan.atlas.prepared import Prepared
from popscan.protocols.brain_t1.labels import GROUPS, LABELS, RIGHT
from popscan.protocols.brain_t1.regions import REGIONS
from popscan.protocols.brain_t1.sides import find_mid_plane
from popscan.records import SubjectError
from popscan.register import resample_affine

Floats = NDArray[np.float64]

#: Box around the brain, and the size that brains are scaled to (2nd to 98th percentile of the
#: tissue's voxels along each axis): about those of adults.
_EXTENT_MM = (168.0, 204.0, 168.0)
_SIZE_MM = (122.0, 154.0, 116.0)
#: Scalings beyond this are no adult's brain.
_SCALES = (0.7, 1.4)
_MIN_COVERAGE = 0.98
_CODE = {group.name: code for code, group in enumerate(GROUPS, start=1)}
#: Codes of each region of the atlas.
_REGION_CODES = [[LABELS.codes[name] for name in region.structures] for region in REGIONS]
_FLUID = tuple(_CODE[name] for name in ("lateral_ventricle", "ventricles_3_4", "csf"))


def brain_grid(*, spacing_mm: float = 3.0) -> AtlasGrid:
    """Return a grid of 168 x 204 x 168 mm with the brain's centre in its middle.

    Raises
    ------
    PopscanError
        If the spacing is not within 1 to 10 mm.
    """
    return AtlasGrid.covering(_EXTENT_MM, spacing_mm=spacing_mm)


def grid_affine(grid: AtlasGrid) -> Floats:
    """Return voxel of the grid -> mm of the atlas, axes right, front, top, brain's centre at 0."""
    affine = np.diag([grid.spacing_mm] * 3 + [1.0])
    affine[:3, 3] = -np.asarray(grid.centre_mm)
    return affine


def brain_axes(
    labels: NDArray[np.uint8], *, spacing_mm: tuple[float, float, float]
) -> tuple[Floats, Floats, Floats]:
    """Return the brain's axes (columns), its centre and its size along them.

    The first axis stands upright on the plane between the halves, the second points from occipital
    to frontal cortex within that plane; the centre is that of the tissue, and sizes are from the
    2nd to the 98th percentile of its voxels.

    Parameters
    ----------
    labels
        Codes of `LABELS`, a RAS volume (x, y, z).
    spacing_mm
        Voxel distances.

    Returns
    -------
    axes, centre, size : ndarray
        Shapes (3, 3), (3,) and (3,); mm from the centre of voxel 0.

    Raises
    ------
    SubjectError
        ``missing_structure`` without frontal or occipital cortex, ``undefined_brain_frame`` where
        no plane divides the brain.
    """
    groups = np.where(labels > RIGHT, labels - RIGHT, labels)
    plane = find_mid_plane(groups)
    places = {
        name: np.argwhere(groups == _CODE[name]) * np.asarray(spacing_mm)
        for name in ("frontal_grey", "occipital_grey")
    }
    if absent := [name for name, points in places.items() if not len(points)]:
        raise SubjectError("missing_structure", f"no voxel is labelled {', '.join(absent)}")
    if plane is None:
        raise SubjectError("undefined_brain_frame", "no plane divides what is labelled in halves")
    dx, dy, dz = spacing_mm
    right = np.array([1.0, -plane.along_y * dx / dy, -plane.along_z * dx / dz])
    right /= np.linalg.norm(right)
    front = places["frontal_grey"].mean(axis=0) - places["occipital_grey"].mean(axis=0)
    front -= (front @ right) * right
    front /= np.linalg.norm(front)
    axes = np.stack([right, front, np.cross(right, front)], axis=1)
    tissue = np.argwhere((groups > 0) & ~np.isin(groups, _FLUID)) * np.asarray(spacing_mm)
    centre = tissue.mean(axis=0)
    low, high = np.percentile((tissue - centre) @ axes, (2, 98), axis=0)
    return axes, centre, high - low


def brain_frame(labels: NDArray[np.uint8], *, spacing_mm: tuple[float, float, float]) -> Floats:
    """Return the affine from the atlas's mm to mm from the scan's voxel 0, shape (4, 4).

    Placed and turned as `brain_axes`, and scaled along each axis to a common size.

    Parameters
    ----------
    labels
        Codes of `LABELS`, a RAS volume (x, y, z).
    spacing_mm
        Voxel distances.

    Raises
    ------
    SubjectError
        As `brain_axes`, and ``undefined_brain_frame`` where the size is not that of a brain.
    """
    axes, centre, size = brain_axes(labels, spacing_mm=spacing_mm)
    scale = size / np.asarray(_SIZE_MM)
    if not all(_SCALES[0] <= s <= _SCALES[1] for s in scale):
        raise SubjectError(
            "undefined_brain_frame",
            f"the brain measures {' x '.join(f'{s:.0f}' for s in size)} mm; about "
            f"{' x '.join(f'{s:.0f}' for s in _SIZE_MM)} expected",
        )
    matrix = np.eye(4)
    matrix[:3, :3] = axes * scale
    matrix[:3, 3] = centre
    return matrix


def prepare(
    image: ArrayLike,
    labels: NDArray[np.uint8],
    *,
    affine: ArrayLike,
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid | None = None,
) -> Prepared:
    """Bring a brain into the common frame, on the atlas's grid.

    Affine: brains are placed, turned and scaled to one size, so an average has shape, not size;
    volumes stand in the tables of biomarkers.

    Parameters
    ----------
    image : array_like, shape (x, y, z)
        Intensities, finite.
    labels : ndarray of uint8, shape (x, y, z)
        Codes of `LABELS`.
    affine : array_like, shape (4, 4)
        Voxel -> RAS millimetres.
    spacing_mm
        Voxel distances.
    grid
        By default `brain_grid`.

    Raises
    ------
    SubjectError
        Those of `brain_frame`, ``constant_image``, ``outside_atlas_grid``.
    """
    grid = grid or brain_grid()
    volume, labels = np.asarray(image, dtype=np.float32), np.asarray(labels)
    matrix = brain_frame(labels, spacing_mm=spacing_mm)
    voxel_to_scan = matrix @ grid_affine(grid)
    coverage = _coverage(labels > 0, voxel_to_scan, spacing_mm, grid)
    if coverage < _MIN_COVERAGE:
        raise SubjectError(
            "outside_atlas_grid",
            f"only {coverage:.0%} of the labelled brain lies on the atlas grid of {grid.shape} "
            f"voxels of {grid.spacing_mm:g} mm",
        )
    # `resample_affine` takes mm of the grid to mm of the scan.
    mm = voxel_to_scan @ np.diag([1.0 / grid.spacing_mm] * 3 + [1.0])

    def brought(array: ArrayLike) -> NDArray[np.float32]:
        values: NDArray[np.float32] = resample_affine(
            np.asarray(array, dtype=np.float32),
            mm,
            spacing_mm=spacing_mm,
            shape=grid.shape,
            output_spacing_mm=grid.spacing,
            fill=0.0,
        )
        return values

    inside = brought(np.ones(volume.shape)) > 0.5
    members = np.stack([brought(np.isin(labels, codes)) for codes in _REGION_CODES]).clip(0, 1)
    scan_voxel = np.asarray(affine, dtype=np.float64) @ np.diag([1 / s for s in spacing_mm] + [1.0])
    return Prepared(
        grid=grid,
        image=np.where(inside, brought(_normalised(volume, labels > 0)), np.float32(0)),
        inside=inside,
        labels=members.astype(np.float32),
        to_world=scan_voxel @ voxel_to_scan,
        coverage=coverage,
    )


def _coverage(
    mask: NDArray[np.bool_],
    voxel_to_scan: Floats,
    spacing_mm: tuple[float, float, float],
    grid: AtlasGrid,
) -> float:
    points = np.argwhere(mask)
    if not len(points):
        return math.nan
    there = np.c_[points * np.asarray(spacing_mm), np.ones(len(points))]
    voxels = there @ np.linalg.inv(voxel_to_scan).T
    on_grid = (voxels[:, :3] >= -0.5) & (voxels[:, :3] <= np.asarray(grid.shape) - 0.5)
    return float(on_grid.all(axis=1).mean())


def _normalised(volume: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    low, high = np.percentile(volume[mask], (1, 99))
    if high <= low:
        raise SubjectError("constant_image", "the image has one value all over the brain")
    return np.clip((volume - low) / (high - low), -0.5, 2.0).astype(np.float32)
