"""Thickness of the left-ventricular wall from labels of short-axis slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from popscan.arrays import morphology
from popscan.protocols.cine_sax.labels import Label

Floats = NDArray[np.float64]


def _outline(mask: NDArray[np.bool_], spacing_mm: Sequence[float], *, smoothing: float) -> Floats:
    """Return the longest outline of a filled mask in mm, shape (points, 2), closed."""
    filled = ndimage.binary_fill_holes(np.pad(mask, 4))
    level = ndimage.gaussian_filter(filled.astype(float), smoothing)
    outlines = find_contours(level, 0.5)
    if not outlines:
        return np.empty((0, 2))
    longest = max(outlines, key=len)
    return (longest - 4.0) * np.asarray(spacing_mm[:2], dtype=float)


def _length(outline: Floats) -> float:
    return float(np.linalg.norm(np.diff(outline, axis=0), axis=1).sum())


def _resample(outline: Floats, *, step_mm: float) -> Floats:
    """Place points at equal distances along a closed outline."""
    steps = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    position = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(int(np.ceil(position[-1] / step_mm)), 8)
    at = np.linspace(0.0, position[-1], count, endpoint=False)
    return np.stack([np.interp(at, position, outline[:, axis]) for axis in (0, 1)], axis=1)


def slice_thickness_mm(
    labels: NDArray[np.uint8],
    *,
    spacing_mm: Sequence[float],
    sectors: int = 12,
    smoothing: float = 1.0,
) -> tuple[float, Floats]:
    """Measure the wall in one slice: mean thickness and thickness by sector.

    The mean is the area of the wall divided by the mean of the lengths of its inner and outer
    outline: exact for any wall of constant thickness (Steiner), so for annuli. The sectors average
    the distance from points of the inner outline to the outer outline and back (nearest points,
    the symmetric distance), so that a wall that is cut obliquely by a ray is not overestimated.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y)
    spacing_mm
        Distance of voxel centres along x and y.
    sectors
        Number of equal sectors around the centre of the cavity.
    smoothing
        Standard deviation, in voxels, of the Gaussian that turns voxel staircases into outlines.

    Returns
    -------
    mean_mm
        NaN when cavity or wall is absent.
    by_sector_mm : ndarray, shape (sectors,)
        NaN in sectors without points.
    """
    cavity = labels == Label.LV
    wall = labels == Label.MYO
    empty = np.full(sectors, np.nan)
    if not cavity.any() or not wall.any():
        return float("nan"), empty
    inner = _outline(cavity, spacing_mm, smoothing=smoothing)
    outer = _outline(cavity | wall, spacing_mm, smoothing=smoothing)
    if len(inner) < 4 or len(outer) < 4:
        return float("nan"), empty
    area = float(np.count_nonzero(wall)) * spacing_mm[0] * spacing_mm[1]
    mean = area / (0.5 * (_length(inner) + _length(outer)))
    step = 0.25 * min(spacing_mm[:2])
    inside, outside = _resample(inner, step_mm=step), _resample(outer, step_mm=step)
    distance = np.concatenate(
        [cKDTree(outside).query(inside)[0], cKDTree(inside).query(outside)[0]]
    )
    points = np.concatenate([inside, outside]) - inside.mean(axis=0)
    angle = np.arctan2(points[:, 1], points[:, 0])
    sector = np.floor((angle + np.pi) / (2 * np.pi) * sectors).astype(int) % sectors
    hits = np.bincount(sector, minlength=sectors)
    total = np.bincount(sector, weights=distance, minlength=sectors)
    return mean, np.divide(total, hits, out=empty, where=hits > 0)


def wall_thickness_mm(
    labels: NDArray[np.uint8],
    *,
    spacing_mm: Sequence[float],
    sectors: int = 12,
    mid_share: float = 0.5,
    min_enclosed: float = 0.9,
) -> dict[str, float]:
    """Mean and maximal wall thickness over the middle slices of one frame.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z)
        One frame, end-diastole as a rule.
    spacing_mm
        Distance of voxel centres along x, y, z.
    sectors
        Sectors per slice; the maximum is taken over sector means, as clinical reading does with
        segments, since the single thickest point is mostly noise.
    mid_share
        Share of the slices with an LV cavity that is used, centred: towards base and apex the wall
        is cut obliquely and looks thicker than it is.
    min_enclosed
        Slices in which less than this share of the cavity's boundary touches wall are left out
        (outflow tract, failed labels).

    Returns
    -------
    dict
        ``wall_thickness_mean_mm``, ``wall_thickness_max_mm``; NaN when no slice qualifies.
    """
    means: list[float] = []
    local: list[Floats] = []
    cavity_slices = np.nonzero((labels == Label.LV).any(axis=(0, 1)))[0]
    drop = int(np.floor(len(cavity_slices) * (1.0 - mid_share) / 2.0))
    edges, beyond = morphology.boundary_contacts(labels[..., None], Label.LV, others=Label)
    for z in cavity_slices[drop : len(cavity_slices) - drop]:
        if beyond[Label.MYO][z, 0] < min_enclosed * edges[z, 0]:
            continue
        mean, by_sector = slice_thickness_mm(
            labels[:, :, z], spacing_mm=spacing_mm, sectors=sectors
        )
        if np.isfinite(mean):
            means.append(mean)
            local.append(by_sector)
    if not means:
        return {"wall_thickness_mean_mm": float("nan"), "wall_thickness_max_mm": float("nan")}
    return {
        "wall_thickness_mean_mm": float(np.mean(means)),
        "wall_thickness_max_mm": float(np.nanmax(np.concatenate(local))),
    }
