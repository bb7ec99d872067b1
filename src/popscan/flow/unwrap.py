"""Aliasing: velocities beyond the encoding come back from the other side, and are put right.

scikit-image's unwrapping (Herraez et al. 2002, doi:10.1364/AO.41.007437) follows the most reliable
neighbours first, here in the plane and over the cycle together, whose last frame is beside the
first. What stays open is a whole number of turns of each connected piece: most of its samples are
taken as not aliased. Over a whole cycle with a pause that holds; of a single frame in which most of
a vessel is aliased it does not, and nothing in the images says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.restoration import unwrap_phase

from popscan.flow.checks import checked_vessel, require_venc
from popscan.records import SubjectError

Floats = NDArray[np.float64]

#: Velocities lie within the encoding, less a background of at most this share beyond it.
_BEYOND = 1.25


@dataclass(frozen=True, kw_only=True)
class Unwrapped:
    """Velocities of a region over the cycle.

    Attributes
    ----------
    velocity : ndarray, shape (x, y, t)
        As it was outside of the region.
    aliased_pct
        Samples of the region that were moved by a turn or more.
    torn_pct
        Neighbouring samples within a frame of the region that still differ by more than the
        encoding: unwrapping did not hold there.
    """

    velocity: Floats
    aliased_pct: float
    torn_pct: float


def unwrap_velocity(
    velocity: ArrayLike, region: ArrayLike, *, venc_cm_s: float, cyclic: bool = True
) -> Unwrapped:
    """Put aliased velocities of a region right.

    Parameters
    ----------
    velocity : array_like, shape (x, y, t)
        In cm/s, within the encoding on both sides (and a background correction beyond it).
    region : array_like of bool, shape (x, y, t) or (x, y)
        The vessel.
    venc_cm_s
        Velocity encoding.
    cyclic
        Whether the last frame is beside the first; False where axis 2 is a third direction.

    Raises
    ------
    SubjectError
        ``bad_venc``, also where velocities of the region lie far beyond the encoding, and those of
        `popscan.flow.checks.checked_vessel`.
    """
    require_venc(venc_cm_s)
    v, inside = checked_vessel(velocity, region)
    if not inside.any():
        return Unwrapped(velocity=v, aliased_pct=math.nan, torn_pct=math.nan)
    if (largest := float(np.abs(v[inside]).max())) > _BEYOND * venc_cm_s:
        raise SubjectError(
            "bad_venc",
            f"velocities up to {largest:.0f} cm/s by an encoding of {venc_cm_s:g} cm/s: the "
            "encoding is another one, or they are unwrapped already",
        )
    phase = v * (math.pi / venc_cm_s)
    wrapped = np.angle(np.exp(1j * phase))
    masked = np.ma.masked_array(wrapped, mask=~inside)
    if v.shape[2] == 1:
        flat = unwrap_phase(masked[..., 0], rng=0).filled(0.0)
        smooth = np.array(flat)[..., None]
    else:
        around = (False, False, cyclic and v.shape[2] > 2)
        smooth = np.array(unwrap_phase(masked, wrap_around=around, rng=0).filled(0.0))
    pieces, n = ndimage.label(inside)
    for piece in range(1, n + 1):
        own = pieces == piece
        turns = np.round((smooth[own] - phase[own]) / (2 * math.pi))
        smooth[own] -= 2 * math.pi * np.round(np.median(turns))
    turns = np.round((smooth - phase) / (2 * math.pi))
    turns[~inside] = 0
    out = v + 2.0 * venc_cm_s * turns
    return Unwrapped(
        velocity=out,
        aliased_pct=100.0 * float((turns[inside] != 0).mean()),
        torn_pct=_torn_pct(out, inside, venc_cm_s),
    )


def _torn_pct(v: Floats, inside: NDArray[np.bool_], venc_cm_s: float) -> float:
    pairs = torn = 0
    for axis in (0, 1):
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        both = inside[tuple(first)] & inside[tuple(second)]
        apart = np.abs(v[tuple(first)] - v[tuple(second)]) > venc_cm_s
        pairs += int(both.sum())
        torn += int((apart & both).sum())
    return 100.0 * torn / pairs if pairs else math.nan
