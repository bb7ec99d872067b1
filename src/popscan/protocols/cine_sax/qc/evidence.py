"""Signs that a result may be wrong: numbers of which more is worse, with words for each.

They look at end-diastole and end-systole alone, or average over the frames, so that a cine of two
frames and one of fifty mean the same. `popscan.protocols.cine_sax.qc.risk` weighs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from popscan.arrays import morphology
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.qc import base, function, image, intensity, motion, segmentation
from popscan.protocols.cine_sax.qc.context import Context
from popscan.qc.model import Measured

Floats = NDArray[np.float64]
#: Length of the labelled LV cavity over the LV's outer diameter that most hearts are near to.
USUAL_LENGTH = 1.15


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One sign: how it is measured, and what a large value means, for a reader."""

    measure: Callable[[Context], float]
    words: str


def two_frames(ctx: Context) -> Context:
    """Return the context of end-diastole and end-systole alone."""
    if ctx.labels is None or ctx.n_frames <= 2 or ctx.phases[1] is None:
        return ctx
    frames = [ctx.ed, ctx.es]
    meta = {**ctx.scan.meta, "frame_labels": ["ED", "ES"]}
    scan = replace(ctx.scan, array=ctx.scan.array[..., frames], frame_times_ms=None, meta=meta)
    doubt = {
        side: {name: [curve[t] for t in frames] for name, curve in curves.items() if len(curve)}
        for side, curves in (ctx.told.get("base") or {}).items()
    }
    return Context(scan, ctx.labels[..., frames], told={**ctx.told, "base": doubt})


def _told(ctx: Context, key: str) -> float:
    value = ctx.told.get(key)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _value(ctx: Context, measure: Callable[[Context], Measured]) -> float:
    """Return what a check measures; NaN where it does not apply."""
    found = measure(ctx)
    return float(found.value) if found.assessed else math.nan


def _dice_missing(ctx: Context, name: str) -> float:
    return 1.0 - _told(ctx, f"expected_dice_{name}")


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


def shortness(ctx: Context, *, sign: float) -> float:
    """Return by how much the LV is shorter (`sign` -1) or longer (1) than is usual for its width.

    The logarithm of length over diameter against `USUAL_LENGTH`; 0 on the other side.
    """
    length, diameter = ctx.lv_size_mm
    if not (length > 0 and diameter > 0):
        return math.nan
    return max(0.0, sign * math.log(length / diameter / USUAL_LENGTH))


def cut(ctx: Context, *, end: int) -> float:
    """Return how much speaks for a stack that ends within the LV, at its base (0) or apex (-1).

    The LV's area in the stack's last slice at ED and ES, of the largest: by itself it says little
    at the base, where many stacks begin; so it counts as much as the LV is too short.
    """
    held = _profiles(ctx, Label.LV)[end]
    return float(held.mean()) * shortness(ctx, sign=-1.0)


def end_share(ctx: Context, label: Label, *, end: int, phase: int) -> float:
    """Return a structure's area in the stack's last slice at ED (0) or ES (1), of its largest."""
    return float(_profiles(ctx, label)[end, phase])


def ventricles_apart(ctx: Context) -> float:
    """Return by how many slices LV and RV end apart at the base, at ED or ES, in mm."""
    ends = []
    for t in (ctx.ed, ctx.es):
        held = [np.flatnonzero(ctx.base_to_apex(ctx.counts[k][:, t])) for k in (Label.LV, Label.RV)]
        if all(h.size for h in held):
            ends.append(abs(int(held[0][0]) - int(held[1][0])))
    return max(ends) * ctx.spacing_mm[2] if ends else math.nan


def volumes_apart(ctx: Context, phase: int) -> float:
    """Return the absolute logarithm of RV over LV volume at ED (0) or ES (1)."""
    frame = ctx.phases[phase]
    if frame is None:
        return math.nan
    pair = [float(ctx.curves_ml[label][frame]) for label in (Label.RV, Label.LV)]
    return abs(math.log(pair[0] / pair[1])) if min(pair) > 0 else math.nan


def doubtful_share(ctx: Context) -> float:
    """Return the largest share of a ventricle's volume that stands on doubtful slices."""
    doubt = ctx.told.get("base") or {}
    shares = []
    for label in (Label.LV, Label.RV):
        for frame in ctx.phases:
            if frame is None or not doubt:
                continue
            volume = float(ctx.curves_ml[label][frame])
            curves = [side.get(STRUCTURES[label], ()) for side in doubt.values()]
            amount = sum(float(curve[frame]) for curve in curves if len(curve))
            if volume > 0:
                shares.append(amount / volume)
    return max(shares) if shares else math.nan


def wall_against_cavity(ctx: Context) -> float:
    """Return the absolute logarithm of the wall's mean thickness over 9 mm, at ED."""
    areas = [ctx.counts[k][:, ctx.ed].sum() for k in (Label.LV, Label.MYO)]
    edges = ctx.lv_contacts[0][:, ctx.ed].sum()
    if not edges or not areas[1]:
        return math.nan
    step = math.sqrt(ctx.spacing_mm[0] * ctx.spacing_mm[1])
    # Edges of pixels are 4/pi times as long as the border that they follow.
    border = float(edges) * step * math.pi / 4.0
    radius = border / (2.0 * math.pi)
    wall = math.sqrt(radius**2 + float(areas[1]) * step**2 / math.pi) - radius
    return abs(math.log(max(wall, 1e-3) / 9.0))


def _islands(ctx: Context) -> float:
    """Return the largest share of a structure outside its largest piece at ED or ES."""
    shares = []
    for label in STRUCTURES:
        total = ctx.counts[label].sum(axis=0).astype(float)
        stray = morphology.components(ctx.heart == label, in_plane=False).stray
        shares += [float(s / n) for s, n in zip(stray, total, strict=True) if n > 0]
    return 100.0 * max(shares) if shares else math.nan


def _of(measure: Callable[[Context], Measured]) -> Callable[[Context], float]:
    return partial(_value, measure=measure)


_PER_STRUCTURE = {STRUCTURES[k]: STRUCTURES[k].upper() for k in STRUCTURES}
_STACK: Mapping[str, tuple[Callable[[Context], float], str]] = {
    "lv_kink": (partial(area_kink, label=Label.LV), "the LV's area jumps between slices"),
    "rv_kink": (partial(area_kink, label=Label.RV), "the RV's area jumps between slices"),
    "contraction_kink": (contraction_kink, "one slice contracts otherwise than its neighbours"),
    "opposite_motion": (opposite_motion, "a slice of the LV is larger at ES than at ED"),
    "ventricles_apart": (ventricles_apart, "LV and RV end at different heights"),
    "volumes_apart_ed": (partial(volumes_apart, phase=0), "LV and RV differ much in volume at ED"),
    "volumes_apart_es": (partial(volumes_apart, phase=1), "LV and RV differ much in volume at ES"),
    "doubtful_share": (doubtful_share, "much volume stands on doubtful basal slices"),
    "lvef_doubt": (_of(base.lvef_doubt_points), "the LVEF hangs on doubtful basal slices"),
    "base_open": (_of(base.base_open_pct), "the wall is open at the base"),
    "lv_open": (_of(segmentation.lv_open_pct), "the wall around the LV is open"),
    "base_still": (
        lambda c: abs(_value(c, base.base_travel_mm) - 8.0),
        "the base moves by an unusual distance from ED to ES",
    ),
    "basal_coverage": (_of(image.basal_coverage_pct), "the stack may lack basal slices"),
    "apical_coverage": (_of(image.apical_coverage_pct), "the stack may lack apical slices"),
    "cut_base": (partial(cut, end=0), "the LV is short and fills the stack's most basal slice"),
    "cut_apex": (partial(cut, end=-1), "the LV is short and fills the stack's most apical slice"),
    "rv_base_ed": (
        partial(end_share, label=Label.RV, end=0, phase=0),
        "the RV fills the stack's most basal slice at ED",
    ),
    "rv_base_es": (
        partial(end_share, label=Label.RV, end=0, phase=1),
        "the RV fills the stack's most basal slice at ES",
    ),
    "short": (partial(shortness, sign=-1.0), "the LV is unusually short for its width"),
    "long": (partial(shortness, sign=1.0), "the LV is unusually long for its width"),
    "area_profile": (_of(segmentation.area_profile_pct), "the LV widens towards the apex"),
    "wall": (wall_against_cavity, "the wall is unusually thin or thick"),
    "islands": (_islands, "labels lie in several pieces"),
    "holes": (_of(segmentation.heart_holes_pct), "there are holes in the labels"),
    "rv_apart": (_of(segmentation.rv_apart_pct), "the RV does not touch the wall"),
    "rv_contact": (_of(segmentation.lv_rv_contact_pct), "LV and RV touch without a wall"),
    "stroke": (_of(function.stroke_agreement_pct), "LV and RV eject different volumes"),
    "mass": (_of(function.mass_agreement_pct), "the LV mass differs between ED and ES"),
}
_IMAGE: Mapping[str, tuple[Callable[[Context], float], str]] = {
    "noise": (lambda c: 1.0 / max(_value(c, intensity.snr), 0.5), "the image is noisy"),
    "contrast": (lambda c: -_value(c, intensity.contrast_pct), "blood and muscle look alike"),
    "edge": (_of(intensity.edge_width_mm), "the edge of the cavity is blurred"),
    "wall_spread": (_of(intensity.wall_spread_pct), "the wall's intensities spread widely"),
    "slice_shift": (_of(motion.slice_shift_mm), "slices lie beside each other"),
}

#: Name -> sign of what the segmentation says of itself.
_UNSURE: Mapping[str, Sign] = {
    **{
        f"entropy_{k}": Sign(
            measure=partial(_told, key=f"mean_entropy_{k}"),
            words=f"the network is unsure of the {v}",
        )
        for k, v in _PER_STRUCTURE.items()
    },
    **{
        f"flip_{k}": Sign(
            measure=partial(_told, key=f"flip_risk_{k}"),
            words=f"the {v} may be taken for another structure",
        )
        for k, v in _PER_STRUCTURE.items()
    },
    **{
        f"dice_{k}": Sign(
            measure=partial(_dice_missing, name=k), words=f"a low Dice of the {v} is expected"
        )
        for k, v in _PER_STRUCTURE.items()
    },
    "ood": Sign(
        measure=partial(_told, key="ood_score"), words="the scan is unlike the training scans"
    ),
}

#: Name -> sign, in the order of the weights.
SIGNS: Mapping[str, Sign] = {
    **_UNSURE,
    **{name: Sign(measure=m, words=w) for name, (m, w) in {**_STACK, **_IMAGE}.items()},
}


def signs(ctx: Context) -> dict[str, float]:
    """Return every sign of a scan with labels; NaN where one does not apply."""
    short = two_frames(ctx)
    return {name: float(sign.measure(short)) for name, sign in SIGNS.items()}
