"""The mitral valve's plane from long-axis planes, and a short-axis stack that ends at it.

A reader counts a basal slice or leaves it out, so that a ventricle ends up to half a slice distance
too high or too low, the largest error of short-axis volumes. Both long-axis planes show where the
valve is: its ends, two in each plane, lie near one plane of the patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.protocols.cine_lax.geometry import Ventricle

Floats = NDArray[np.float64]

#: A stack whose highest labelled slice ends farther below the valve than so many slice distances
#: is not continued: it lacks more than the slice that a reader doubts. Nor is one cut off whose
#: highest slice has its middle farther beyond the valve: plane or labels are wrong.
MOST_SLICES = 1.5


@dataclass(frozen=True, kw_only=True)
class ValvePlane:
    """A plane in the patient.

    Attributes
    ----------
    point_mm : ndarray, shape (3,)
        One of its points (RAS).
    normal : ndarray, shape (3,)
        Unit normal towards the apex.
    misfit_mm
        Root mean square distance of the valve's ends from it; 0 where there are three or fewer.
    """

    point_mm: Floats
    normal: Floats
    misfit_mm: float


def valve_plane(seen: Iterable[Ventricle]) -> ValvePlane | None:
    """Return the plane through the ends of the mitral valve.

    Parameters
    ----------
    seen
        The LV at one phase, in planes of two views or more.

    Returns
    -------
    ValvePlane or None
        None for fewer than two planes, or where the ends lie on one line.
    """
    views = list(seen)
    if len(views) < 2:
        return None
    ends = np.concatenate([one.hinges_mm for one in views])
    middle = ends.mean(axis=0)
    _, sizes, axes = np.linalg.svd(ends - middle, full_matrices=False)
    if not sizes[1] > 1.0:
        return None
    normal = axes[2]
    apex = np.mean([one.apex_mm for one in views], axis=0)
    if normal @ (apex - middle) < 0:
        normal = -normal
    misfit = float(np.sqrt(np.mean(((ends - middle) @ normal) ** 2)))
    return ValvePlane(point_mm=middle, normal=normal, misfit_mm=misfit)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A structure of a short-axis stack and the valve's plane, in mL; NaN where not known.

    Attributes
    ----------
    to_valve_ml
        Its volume, ended at the plane.
    beyond_ml
        What of the labels lies beyond the plane, and was taken away.
    short_ml
        What lies between the highest slice and the plane, and was added.
    slices_beyond
        Slice distances by which the middle of the highest slice lies beyond the plane; negative
        below it.
    """

    to_valve_ml: float = math.nan
    beyond_ml: float = math.nan
    short_ml: float = math.nan
    slices_beyond: float = math.nan


def volume_to_valve_ml(mask: ArrayLike, affine: Floats, plane: ValvePlane) -> float:
    """Return the volume of a structure of a short-axis stack, ended at the valve's plane.

    That of `ended_at_valve`, whose parameters are the same.
    """
    return ended_at_valve(mask, affine, plane).to_valve_ml


def ended_at_valve(mask: ArrayLike, affine: Floats, plane: ValvePlane) -> Ended:
    """End a structure of a short-axis stack at the valve's plane.

    Slices add up as discs as thick as their distance; of each pixel counts what lies on the apex's
    side of the plane. Where the highest slice ends below the plane, its shape is continued up to
    it, by no more than `MOST_SLICES` slice distances.

    Parameters
    ----------
    mask : array_like of bool, shape (x, y, z)
        Where the structure is labelled.
    affine : ndarray, shape (4, 4)
        Voxel to RAS mm.
    plane
        The valve's.

    Returns
    -------
    Ended
        All NaN where nothing is labelled, where slices stand along the plane and not across the
        long axis, or where the stack ends too far below the valve to be continued; all but
        `slices_beyond` where it ends more than `MOST_SLICES` beyond the valve.
    """
    array = np.asarray(mask, dtype=bool)
    if array.ndim != 3:
        raise ValueError(f"a mask (x, y, z) is expected, found shape {array.shape}")
    if not array.any():
        return Ended()
    step = affine[:3, 2]
    rise = float(step @ plane.normal)  # towards the apex per slice
    if abs(rise) < 0.7 * np.linalg.norm(step):
        return Ended()
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
    x, y, z = np.nonzero(array)
    below = _below_mm(affine, plane, np.stack([x, y, z])) / abs(rise)  # in slices
    inside = np.clip(below + 0.5, 0.0, 1.0)
    labelled = np.flatnonzero(array.any(axis=(0, 1)))
    top = labelled[0] if rise > 0 else labelled[-1]
    # What of a column of the highest slice lies between its upper face and the plane.
    missing = np.maximum(below[z == top] - 0.5, 0.0)
    if float(np.median(missing)) > MOST_SLICES:
        return Ended()
    beyond = -float(np.median(below[z == top]))
    if beyond > MOST_SLICES:
        return Ended(slices_beyond=beyond)
    return Ended(
        to_valve_ml=float(voxel_ml * (inside.sum() + missing.sum())),
        beyond_ml=float(voxel_ml * (inside.size - inside.sum())),
        short_ml=float(voxel_ml * missing.sum()),
        slices_beyond=beyond,
    )


def _below_mm(affine: Floats, plane: ValvePlane, voxels: NDArray[np.intp]) -> Floats:
    """Return how far voxels (3, n) lie on the apex's side of a plane."""
    places = affine[:3, :3] @ voxels + affine[:3, 3:]
    return np.asarray(plane.normal @ (places - plane.point_mm[:, None]))
