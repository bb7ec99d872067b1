"""What velocities and a vessel's region must be before flow is measured."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError

Floats = NDArray[np.float64]

#: Velocity encodings that are believed, in cm/s: veins to stenotic valves.
VENC_CM_S = (5.0, 800.0)
#: Cycles that are believed, in s, and areas of a pixel, in cm2: ms and mm2 lie outside.
_CYCLE_S = (0.1, 5.0)
_PIXEL_CM2 = (1e-5, 1.0)


def checked_vessel(velocity: ArrayLike, region: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Return velocities and the vessel as arrays (x, y, t).

    Parameters
    ----------
    velocity : array_like, shape (x, y, t)
        In cm/s.
    region : array_like of bool, shape (x, y, t) or (x, y)
        The vessel; without axis of time it is the same in every frame.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``bad_labels`` where the region is more than yes and no, ``nan_values``
        within it.
    """
    v, drawn = np.array(velocity, dtype=float), np.asarray(region)
    if drawn.ndim == 2 and v.ndim == 3 and drawn.shape == v.shape[:2]:
        drawn = np.repeat(drawn[..., None], v.shape[2], axis=2)
    if v.ndim != 3 or drawn.shape != v.shape or 0 in v.shape:
        raise SubjectError(
            "wrong_shape",
            f"velocity {v.shape}, region {np.shape(region)}; (x, y, t) expected of both, or a "
            "region (x, y)",
        )
    if not np.isin(drawn, (0, 1)).all():
        raise SubjectError(
            "bad_labels", "a region of one vessel, 0 and 1, is expected; take one label of several"
        )
    inside = drawn.astype(bool)
    if lost := int((~np.isfinite(v[inside])).sum()):
        raise SubjectError("nan_values", f"{lost} velocities of the region are no number")
    return v, inside


def require_cycle(inside: NDArray[np.bool_], *, pixel_cm2: float, cycle_s: float) -> None:
    """Refuse a vessel that some frames lack, and areas and lengths in another unit.

    Raises
    ------
    SubjectError
        ``unlabelled_frames``, ``bad_spacing``, ``bad_times``.
    """
    drawn = inside.any(axis=(0, 1))
    if drawn.any() and not drawn.all():
        frames = ", ".join(str(t + 1) for t in np.flatnonzero(~drawn)[:8])
        raise SubjectError("unlabelled_frames", f"the vessel has no region in frames {frames}")
    low, high = _PIXEL_CM2
    if not low <= pixel_cm2 <= high:
        raise SubjectError(
            "bad_spacing", f"area of a pixel {pixel_cm2:g}; cm2, {low:g} to {high:g}, expected"
        )
    low, high = _CYCLE_S
    if not math.isnan(cycle_s) and not low <= cycle_s <= high:
        raise SubjectError("bad_times", f"cycle of {cycle_s:g}; s, {low:g} to {high:g}, expected")


def require_venc(venc_cm_s: float) -> None:
    """Refuse a velocity encoding that cannot be.

    Raises
    ------
    SubjectError
        ``bad_venc``.
    """
    low, high = VENC_CM_S
    if not math.isfinite(venc_cm_s) or not low <= venc_cm_s <= high:
        raise SubjectError(
            "bad_venc", f"velocity encoding {venc_cm_s:g} cm/s; {low:g} to {high:g} expected"
        )
