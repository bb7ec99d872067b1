"""From tracked points of the wall to curves of strain, rotation and displacement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.strain.wall import Wall

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Curves over the cycle, 0 in the reference frame.

    Attributes
    ----------
    circumferential, radial : ndarray, shape (t, 17)
        Strain of the whole wall (0) and of segments 1 to 16; NaN for a segment without points.
    rotation_deg : ndarray, shape (t, z)
        Of every slice about its middle, counter-clockwise in the array's first two axes.
    inward_mm : ndarray, shape (t,)
        Mean motion of the wall towards its middle.
    """

    circumferential: Floats
    radial: Floats
    rotation_deg: Floats
    inward_mm: Floats


def carried(
    wall: Wall, displacement_mm: NDArray[np.floating], *, spacing_mm: tuple[float, float]
) -> Floats:
    """Return where the wall's points are in every frame, shape (t, z, angle, depth, 2).

    Parameters
    ----------
    wall
        Points on the grid of the displacements.
    displacement_mm : ndarray, shape (t, z, x, y, 2)
        Of the wall's slices, in its order.
    spacing_mm
        Of the voxels along x and y.
    """
    out = np.empty((len(displacement_mm), *wall.points_mm.shape))
    for z, points in enumerate(wall.points_mm):
        at = np.moveaxis(points / np.asarray(spacing_mm), -1, 0)
        for t, field in enumerate(displacement_mm[:, z]):
            for axis in (0, 1):
                moved = ndimage.map_coordinates(field[..., axis], at, order=1, mode="nearest")
                out[t, z, ..., axis] = points[..., axis] + moved
    return out


def curves_of(
    wall: Wall, positions_mm: Floats, *, reference: int, slices: Floats | None = None
) -> Curves:
    """Measure the deformation of tracked points.

    Parameters
    ----------
    wall
        What was tracked.
    positions_mm : ndarray, shape (t, z, angle, depth, 2)
        Its points in every frame.
    reference
        Frame of no deformation.
    slices : ndarray, shape (t, z), optional
        Fractional slice in which the tissue of each of the wall's slices lies (`tissue_slices`):
        lengths are then those of the wall in that plane. A slice whose tissue is nowhere in the
        stack in some frame (NaN) counts in none: curves are of the same tissue at all times.
    """
    onwards = np.linalg.norm(np.roll(positions_mm, -1, axis=2) - positions_mm, axis=-1)
    # A point stands for half the way to either neighbour, so that no side is preferred.
    around = (onwards + np.roll(onwards, 1, axis=2)) / 2
    across = np.linalg.norm(positions_mm[..., -1, :] - positions_mm[..., 0, :], axis=-1)
    strains = []
    for length in (around.sum(axis=3), across):
        now = length if slices is None else _at_slices(length, wall.slices, slices)
        strains.append(_strain(now, length[reference], wall.segments))
    middle = positions_mm.mean(axis=(2, 3), keepdims=True)
    away = positions_mm - middle
    distance = np.linalg.norm(away, axis=-1)
    angle = np.arctan2(away[..., 1], away[..., 0])
    turned = np.angle(np.exp(1j * (angle - angle[reference]))).mean(axis=(2, 3))
    return Curves(
        circumferential=strains[0],
        radial=strains[1],
        rotation_deg=np.rad2deg(turned),
        inward_mm=(distance[reference] - distance).mean(axis=(1, 2, 3)),
    )


def _at_slices(lengths: Floats, known: NDArray[np.int64], wanted: Floats) -> Floats:
    """Interpolate (t, z, angle) between slices; half a slice beyond the ends counts as the end."""
    order = np.argsort(known)
    out = np.full_like(lengths, np.nan)
    for t, row in enumerate(wanted):
        inside = (row >= known.min() - 0.5) & (row <= known.max() + 0.5)
        for k in range(lengths.shape[2]):
            out[t, inside, k] = np.interp(row[inside], known[order], lengths[t, order, k])
    out[:, ~np.isfinite(out).all(axis=0)] = np.nan
    return out


def _strain(now: Floats, before: Floats, segments: NDArray[np.uint8]) -> Floats:
    """Relative change of summed lengths, of the wall (0) and of each segment: (t, 17)."""
    there = np.isfinite(now)
    out = np.full((len(now), 17), np.nan)
    for number in range(17):
        of_it = there & ((segments == number) | (number == 0))
        after = np.where(of_it, now, 0.0).sum(axis=(1, 2))
        at_first = np.where(of_it, before, 0.0).sum(axis=(1, 2))
        out[:, number] = np.divide(
            after, at_first, out=np.full(len(now), np.nan), where=at_first > 0
        )
    return out - 1.0
