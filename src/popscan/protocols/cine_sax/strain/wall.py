"""The left-ventricular wall as points between two outlines, from labels of short-axis slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.aha import AhaSegments, segment_at
from popscan.protocols.cine_sax.labels import Label

Floats = NDArray[np.float64]

#: Directions in which the wall is sampled, and depths from endocardium to epicardium.
N_ANGLES = 72
DEPTHS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


@dataclass(frozen=True, kw_only=True)
class Wall:
    """Points of the wall at end-diastole.

    Attributes
    ----------
    slices : ndarray of int, shape (z,)
        Slices in which wall surrounds the cavity, from base to apex.
    points_mm : ndarray, shape (z, angle, depth, 2)
        Along the array's first two axes, mm from the centre of voxel 0.
    segments : ndarray of uint8, shape (z, angle)
        Segment, 1 to 16.
    """

    slices: NDArray[np.int64]
    points_mm: Floats
    segments: NDArray[np.uint8]


def radii_mm(
    mask: NDArray[np.bool_], centre_mm: Floats, angles: Floats, *, spacing_mm: Sequence[float]
) -> Floats:
    """Return how far a mask (x, y) reaches from a point in each direction; NaN where it does not.

    The mask's voxels are smoothed to an outline of sub-voxel precision first.
    """
    spacing = np.asarray(spacing_mm[:2], dtype=np.float64)
    step = 0.25 * spacing.min()
    reach = np.arange(0.0, np.hypot(*(mask.shape * spacing)), step)
    soft = ndimage.gaussian_filter(ndimage.binary_fill_holes(mask).astype(float), 0.8)
    rays = np.stack([np.cos(angles), np.sin(angles)])
    at = (centre_mm[:, None, None] + rays[:, :, None] * reach) / spacing[:, None, None]
    level = ndimage.map_coordinates(soft, at, order=1, mode="constant")
    beyond = level < 0.5
    first = beyond.argmax(axis=1)
    rows = np.arange(len(angles))
    inner, outer = level[rows, first - 1], level[rows, first]
    share = np.divide(inner - 0.5, inner - outer, out=np.zeros_like(inner), where=inner > outer)
    return np.where(beyond.any(axis=1) & (first > 0), (first - 1 + share) * step, np.nan)


def outlines_mm(
    labels: NDArray[np.uint8], angles: Floats, *, spacing_mm: Sequence[float]
) -> tuple[Floats, Floats, Floats]:
    """Return the middle of the cavity (2,) of a slice (x, y), and both radii in each direction.

    All NaN without cavity; radii are NaN where an outline is not met.
    """
    cavity = labels == Label.LV
    nothing = np.full(len(angles), np.nan)
    if not cavity.any():
        return np.full(2, np.nan), nothing, nothing
    centre = np.argwhere(cavity).mean(axis=0) * np.asarray(spacing_mm[:2], dtype=np.float64)
    inner = radii_mm(cavity, centre, angles, spacing_mm=spacing_mm)
    outer = radii_mm(cavity | (labels == Label.MYO), centre, angles, spacing_mm=spacing_mm)
    return centre, inner, outer


def wall_of(
    labels: NDArray[np.uint8], segments: AhaSegments, *, spacing_mm: Sequence[float]
) -> Wall:
    """Sample the wall of one frame (x, y, z) in slices that have segments and both outlines."""
    rings = [z for z, level in enumerate(segments.levels) if level in ("basal", "mid", "apical")]
    order = np.array(rings if segments.base_first else rings[::-1])
    # Half a step from the septum's middle: directions of a mirrored heart are its mirrored ones,
    # and none is a border of segments.
    turn = (np.arange(N_ANGLES) + 0.5) * 2 * np.pi / N_ANGLES
    points = np.empty((len(order), N_ANGLES, len(DEPTHS), 2))
    numbers = np.empty((len(order), N_ANGLES), np.uint8)
    # One direction for all levels, so that points of neighbouring slices lie above each other.
    septum = np.nansum(segments.septum[order], axis=0)
    start = np.arctan2(septum[1], septum[0])
    for row, z in enumerate(order):
        centre, inner, outer = outlines_mm(labels[:, :, z], start + turn, spacing_mm=spacing_mm)
        rays = np.stack([np.cos(start + turn), np.sin(start + turn)], axis=1)
        radii = inner[:, None] + (outer - inner)[:, None] * DEPTHS
        points[row] = centre + radii[:, :, None] * rays[:, None]
        away = points[row, :, len(DEPTHS) // 2] - segments.centres_mm[z]
        away = np.nan_to_num(away)  # an outline that is not met: the slice is left out below
        angle = np.arctan2(away @ segments.anterior[z], away @ segments.septum[z])
        numbers[row] = segment_at(np.rad2deg(angle), segments.levels[z])
    whole = np.isfinite(points).all(axis=(1, 2, 3))
    return Wall(slices=order[whole], points_mm=points[whole], segments=numbers[whole])
