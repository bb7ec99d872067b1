"""Signs that a result may be wrong: numbers of which more is worse, with words for each.

They look at end-diastole and end-systole alone, or average over the frames, so that a cine of two
frames and one of fifty mean the same. `popscan.protocols.cine_sax.qc.risk` weighs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.missed import DICTIONARY as MISSED
from popscan.protocols.cine_sax.qc import base, function, intensity, segmentation
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.phases import two_frames
from popscan.qc.model import Measured

Floats = NDArray[np.float64]
#: Length of the labelled LV cavity over the LV's outer diameter that most hearts are near to.
USUAL_LENGTH = 1.15
#: Movement of the most basal slice with LV from ED to ES in most hearts; slices make steps of it.
USUAL_TRAVEL_MM = 8.0


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One sign: how it is measured, and what a large value means, for a reader."""

    measure: Callable[[Context], float]
    words: str


def _recorded(key: str) -> Callable[[Context], float]:
    """Return the measure that is a number of the segmentation's record."""

    def measure(ctx: Context) -> float:
        value = ctx.from_segmentation.get(key)
        return float(value) if isinstance(value, (int, float)) else math.nan

    return measure


def _less_than_one(key: str) -> Callable[[Context], float]:
    return lambda ctx: 1.0 - _recorded(key)(ctx)


def missed(ctx: Context) -> float:
    """Return the largest share of a chamber, at ED or ES, that is expected beyond its labels.

    Percent, of the columns of `popscan.protocols.cine_sax.missed`; NaN without any.
    """
    known = [value for name in MISSED if math.isfinite(value := _recorded(name)(ctx))]
    return max(known, default=math.nan)


def _of(check: Callable[[Context], Measured]) -> Callable[[Context], float]:
    """Return the measure that is a check's value; NaN where the check does not apply."""

    def measure(ctx: Context) -> float:
        measured = check(ctx)
        return float(measured.value) if measured.assessed else math.nan

    return measure


def _profiles(ctx: Context, label: Label) -> Floats:
    """Return the areas of a structure from base to apex at ED and ES, of the largest, (z, 2)."""
    areas = ctx.base_to_apex(ctx.counts[label][:, [ctx.ed, ctx.es]]).astype(float)
    most = areas.max()
    return areas / most if most > 0 else areas


def area_kink(ctx: Context, label: Label) -> float:
    """Return the largest kink of a structure's areas along the stack, of the largest area.

    A slice against the mean of its neighbours, at ED or ES, where all three hold the structure:
    slices out of order, lost, doubled or of another phase.
    """
    areas = _profiles(ctx, label)
    held = areas > 0
    inner = held[:-2] & held[1:-1] & held[2:]
    kink = np.abs(areas[1:-1] - 0.5 * (areas[:-2] + areas[2:]))
    return float(kink[inner].max()) if inner.any() else math.nan


def contraction_kink(ctx: Context) -> float:
    """Return how far one slice's LV contracts otherwise than its neighbours.

    The change of area from ED to ES, of the largest ED area, against the mean of both neighbours:
    large where slices were triggered differently.
    """
    areas = _profiles(ctx, Label.LV)
    held = areas.max(axis=1) > 0
    change = areas[:, 0] - areas[:, 1]
    inner = held[:-2] & held[1:-1] & held[2:]
    kink = np.abs(change[1:-1] - 0.5 * (change[:-2] + change[2:]))
    return float(kink[inner].max()) if inner.any() else math.nan


def opposite_motion(ctx: Context) -> float:
    """Return the largest growth of the LV's area in a slice from ED to ES, of the largest."""
    areas = _profiles(ctx, Label.LV)
    growth = (areas[:, 1] - areas[:, 0])[(areas > 0).all(axis=1)]
    return float(max(growth.max(), 0.0)) if growth.size else math.nan


def shortness(ctx: Context) -> float:
    """Return by how much the LV is shorter than is usual for its width; 0 where it is not.

    The logarithm of length over diameter against `USUAL_LENGTH`.
    """
    length, diameter = ctx.lv_size_mm
    if not (length > 0 and diameter > 0):
        return math.nan
    return max(0.0, -math.log(length / diameter / USUAL_LENGTH))


def cut(ctx: Context, *, end: int) -> float:
    """Return how much speaks for a stack that ends within the LV, at its base (0) or apex (-1).

    The LV's area in the stack's last slice at ED and ES, of the largest: by itself it says little
    at the base, where many stacks begin; so it counts as much as the LV is too short.
    """
    held = _profiles(ctx, Label.LV)[end]
    return float(held.mean()) * shortness(ctx)


def volumes_apart(ctx: Context) -> float:
    """Return the absolute logarithm of RV over LV volume at ED."""
    pair = [float(ctx.curves_ml[label][ctx.ed]) for label in (Label.RV, Label.LV)]
    return abs(math.log(pair[0] / pair[1])) if min(pair) > 0 else math.nan


def unusual_travel(ctx: Context) -> float:
    """Return how far the movement of the base is from `USUAL_TRAVEL_MM`."""
    return abs(_of(base.base_travel_mm)(ctx) - USUAL_TRAVEL_MM)


#: Name -> sign, in the order of the weights.
SIGNS: Mapping[str, Sign] = {
    "entropy_rv": Sign(
        measure=_recorded("mean_entropy_rv"), words="the network is unsure of the RV"
    ),
    "entropy_myo": Sign(
        measure=_recorded("mean_entropy_myo"), words="the network is unsure of the wall"
    ),
    "dice_rv": Sign(
        measure=_less_than_one("expected_dice_rv"), words="a low Dice of the RV is expected"
    ),
    "dice_lv": Sign(
        measure=_less_than_one("expected_dice_lv"), words="a low Dice of the LV is expected"
    ),
    "missed": Sign(
        measure=missed, words="the network expects more of a chamber than it labels (percent)"
    ),
    "ood": Sign(measure=_recorded("ood_score"), words="the scan is unlike the training scans"),
    "volumes_apart": Sign(measure=volumes_apart, words="LV and RV differ much in volume at ED"),
    "contraction_kink": Sign(
        measure=contraction_kink, words="one slice contracts otherwise than its neighbours"
    ),
    "opposite_motion": Sign(
        measure=opposite_motion, words="a slice of the LV is larger at ES than at ED"
    ),
    "lv_kink": Sign(
        measure=partial(area_kink, label=Label.LV), words="the LV's area jumps between slices"
    ),
    "rv_kink": Sign(
        measure=partial(area_kink, label=Label.RV), words="the RV's area jumps between slices"
    ),
    "base_open": Sign(measure=_of(base.base_open_pct), words="the wall is open at the base"),
    "lv_open": Sign(measure=_of(segmentation.lv_open_pct), words="the wall around the LV is open"),
    "base_travel": Sign(
        measure=unusual_travel, words="the base moves by an unusual distance from ED to ES"
    ),
    "mass": Sign(
        measure=_of(function.mass_agreement_pct), words="the LV mass differs between ED and ES"
    ),
    "cut_base": Sign(
        measure=partial(cut, end=0), words="the LV is short and fills the stack's most basal slice"
    ),
    "cut_apex": Sign(
        measure=partial(cut, end=-1),
        words="the LV is short and fills the stack's most apical slice",
    ),
    "holes": Sign(measure=_of(segmentation.heart_holes_pct), words="there are holes in the labels"),
    "wall_spread": Sign(
        measure=_of(intensity.wall_spread_pct), words="the wall's intensities spread widely"
    ),
    "rv_apart": Sign(
        measure=_of(segmentation.rv_apart_pct), words="the RV does not touch the wall"
    ),
}


def signs(ctx: Context) -> dict[str, float]:
    """Return every sign of a scan with labels; NaN where one does not apply."""
    short = two_frames(ctx)
    return {name: float(sign.measure(short)) for name, sign in SIGNS.items()}
