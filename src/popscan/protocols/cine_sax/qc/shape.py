"""Signs that labels do not have the shape of a heart, at end-diastole and end-systole."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays import morphology
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context

Floats = NDArray[np.float64]
#: Sectors about the LV's centre in which the wall is looked for.
SECTORS = 12
#: What a sign is, for a reader; those with a phase at the end of their names without it.
WORDS: Mapping[str, str] = {
    "rv_lv": "volume of the RV over that of the LV (logarithm)",
    "wall_ed_es": "the wall's volume at ES over that at ED (logarithm)",
    "wall_lv": "the wall's volume over that of the LV (logarithm)",
    "stroke_ratio": "stroke volume of the LV over that of the RV (logarithm)",
    "lvef": "ejection fraction of the LV",
    "rvef": "ejection fraction of the RV",
    "length_ratio": "length of the LV over its diameter",
    "rv_above": "slices by which the RV begins above the LV",
    "lv_below": "slices by which the LV ends below the RV",
    "lv_first": "the LV's area in its most basal slice",
    "lv_last": "the LV's area in its most apical slice",
    "rv_first": "the RV's area in its most basal slice",
    "lv_top": "the LV's area in the stack's most basal slice",
    "rv_top": "the RV's area in the stack's most basal slice",
    "lv_bottom": "the LV's area in the stack's most apical slice",
    "base_travel": "slices by which the base of the LV moves",
    "apex_travel": "slices by which the apex of the LV moves",
    "rv_travel": "slices by which the base of the RV moves",
    "thick_ed_mm": "thickness of the wall at ED",
    "thick_es_mm": "thickness of the wall at ES",
    "thick_spread": "how much the wall's thickness differs between slices",
    "thin_sector": "the wall in the sector with least of it",
    "thickening": "thickness of the wall at ES over that at ED (logarithm)",
    "lv_overlap": "least overlap of the LV in neighbouring slices",
    "rv_overlap": "least overlap of the RV in neighbouring slices",
    "wall_overlap": "least overlap of the wall in neighbouring slices",
    "lv_kink": "jump of the LV's area between slices",
    "rv_kink": "jump of the RV's area between slices",
    "wall_kink": "jump of the wall's area between slices",
    "contraction_kink": "how one slice contracts otherwise than its neighbours",
    "opposite_motion": "growth of the LV in a slice from ED to ES",
    "lv_solid": "how ragged the LV is in its worst slice",
    "off_centre": "distance of the cavity's centre from the ventricle's",
}
_NAMES = ("ed", "es")


def shape(ctx: Context) -> dict[str, float]:
    """Return every sign of a cine reduced to two frames; NaN where one does not apply.

    Parameters
    ----------
    ctx
        Of `popscan.protocols.cine_sax.qc.phases.two_frames`.

    Returns
    -------
    dict
        Sizes of structures relative to each other and between the phases, where each begins and
        ends along the stack, thickness of the wall, likeness of neighbouring slices.
    """
    frames = [ctx.ed, ctx.es]
    areas = {
        label: ctx.base_to_apex(counts[:, frames]).astype(float)
        for label, counts in ctx.counts.items()
    }
    heart = ctx.heart[..., frames]
    if not ctx.base_first:
        heart = heart[:, :, ::-1]
    return {
        **_sizes(areas, ctx), **_ends(areas), **_walls(areas, heart, ctx), **_slices(areas, heart)
    }  # fmt: skip


def _log(one: float, other: float) -> float:
    return math.log(one / other) if one > 0 and other > 0 else math.nan


def _sizes(areas: dict[Label, Floats], ctx: Context) -> dict[str, float]:
    lv, myo, rv = (areas[k].sum(axis=0) for k in (Label.LV, Label.MYO, Label.RV))
    strokes = lv[0] - lv[1], rv[0] - rv[1]
    length, diameter = ctx.lv_size_mm
    return {
        "rv_lv_ed": _log(rv[0], lv[0]),
        "rv_lv_es": _log(rv[1], lv[1]),
        "wall_ed_es": _log(myo[1], myo[0]),
        "wall_lv_ed": _log(myo[0], lv[0]),
        "stroke_ratio": _log(*strokes),
        "lvef": 1.0 - lv[1] / lv[0] if lv[0] else math.nan,
        "rvef": 1.0 - rv[1] / rv[0] if rv[0] else math.nan,
        "length_ratio": length / diameter if diameter > 0 else math.nan,
    }


def _ends(areas: dict[Label, Floats]) -> dict[str, float]:
    """Return where structures begin and end along the stack, in slices, and how large they are."""
    found: dict[str, float] = {}
    for t, name in enumerate(_NAMES):
        lv, rv = (areas[k][:, t] for k in (Label.LV, Label.RV))
        a, b = np.flatnonzero(lv), np.flatnonzero(rv)
        both = bool(a.size and b.size)
        found |= {
            f"rv_above_{name}": float(a[0] - b[0]) if both else math.nan,
            f"lv_below_{name}": float(a[-1] - b[-1]) if both else math.nan,
            f"lv_first_{name}": float(lv[a[0]] / lv.max()) if a.size else math.nan,
            f"lv_last_{name}": float(lv[a[-1]] / lv.max()) if a.size else math.nan,
            f"rv_first_{name}": float(rv[b[0]] / rv.max()) if b.size else math.nan,
            f"lv_top_{name}": float(lv[0] / lv.max()) if a.size else math.nan,
            f"rv_top_{name}": float(rv[0] / rv.max()) if b.size else math.nan,
            f"lv_bottom_{name}": float(lv[-1] / lv.max()) if a.size else math.nan,
        }
    held = [np.flatnonzero(areas[Label.LV][:, t]) for t in range(2)]
    whole = all(h.size for h in held)
    found["base_travel"] = float(held[1][0] - held[0][0]) if whole else math.nan
    found["apex_travel"] = float(held[0][-1] - held[1][-1]) if whole else math.nan
    right = [np.flatnonzero(areas[Label.RV][:, t]) for t in range(2)]
    found["rv_travel"] = (
        float(right[1][0] - right[0][0]) if all(h.size for h in right) else math.nan
    )
    return found


def _walls(areas: dict[Label, Floats], heart: NDArray[np.uint8], ctx: Context) -> dict[str, float]:
    pixel = ctx.spacing_mm[0] * ctx.spacing_mm[1]
    lv, outer = (a * pixel for a in (areas[Label.LV], areas[Label.LV] + areas[Label.MYO]))
    thick = np.sqrt(outer / np.pi) - np.sqrt(lv / np.pi)
    used = (lv > 0) & (lv >= 0.3 * lv.max(axis=0, initial=1e-9))
    found: dict[str, float] = {}
    for t, name in enumerate(_NAMES):
        own = thick[used[:, t], t]
        found[f"thick_{name}_mm"] = float(own.mean()) if own.size else math.nan
        found[f"thick_spread_{name}"] = (
            float(own.std() / own.mean()) if own.size and own.mean() > 0 else math.nan
        )
        found[f"thin_sector_{name}"] = _thinnest(heart[..., t], used[:, t])
    found["thickening"] = _log(found["thick_es_mm"], found["thick_ed_mm"])
    return found


def _thinnest(heart: NDArray[np.uint8], used: NDArray[np.bool_]) -> float:
    """Return the wall of the sector with least of it, of the mean over the sectors."""
    total = np.zeros(SECTORS)
    for z in np.flatnonzero(used):
        centre = np.argwhere(heart[:, :, z] == Label.LV).mean(axis=0)
        off = np.argwhere(heart[:, :, z] == Label.MYO) - centre
        angle = (np.arctan2(off[:, 1], off[:, 0]) + np.pi) / (2 * np.pi)
        total += np.bincount((angle * SECTORS).astype(int) % SECTORS, minlength=SECTORS)
    return float(total.min() / total.mean()) if total.any() else math.nan


def _slices(areas: dict[Label, Floats], heart: NDArray[np.uint8]) -> dict[str, float]:
    """Return the least likeness of neighbouring slices, and the largest kinks of areas."""
    found: dict[str, float] = {}
    for label, name in ((Label.LV, "lv"), (Label.RV, "rv"), (Label.MYO, "wall")):
        mask = heart == label
        both = np.count_nonzero(mask[:, :, :-1] & mask[:, :, 1:], axis=(0, 1))
        a = areas[label]
        least = np.minimum(a[:-1], a[1:])
        overlap = np.divide(both, least, out=np.full(least.shape, np.nan), where=least > 0)
        known = overlap[np.isfinite(overlap)]
        found[f"{name}_overlap"] = float(known.min()) if known.size else math.nan
        share = a / a.max() if a.max() > 0 else a
        inner = (a[:-2] > 0) & (a[1:-1] > 0) & (a[2:] > 0)
        kink = np.abs(share[1:-1] - 0.5 * (share[:-2] + share[2:]))
        found[f"{name}_kink"] = float(kink[inner].max()) if inner.any() else math.nan
    lv = areas[Label.LV]
    change = (lv[:, 0] - lv[:, 1]) / lv.max() if lv.max() > 0 else lv[:, 0]
    kink = np.abs(change[1:-1] - 0.5 * (change[:-2] + change[2:]))
    found["contraction_kink"] = float(kink.max()) if kink.size else math.nan
    growth = -change[(lv > 0).all(axis=1)]
    found["opposite_motion"] = float(growth.max()) if growth.size else math.nan
    solid = [
        int(m.sum()) / max(int(ndimage.binary_closing(m, iterations=4).sum()), 1)
        for m in np.moveaxis(heart == Label.LV, (2, 3), (0, 1)).reshape(-1, *heart.shape[:2])
        if m.any()
    ]
    found["lv_solid"] = float(min(solid)) if solid else math.nan
    found["off_centre"] = _off_centre(heart)
    return found


def _off_centre(heart: NDArray[np.uint8]) -> float:
    """Return the distance of the cavity's centre from the ventricle's, of the cavity's radius."""
    cavity, both = heart == Label.LV, np.isin(heart, (Label.LV, Label.MYO))
    centres = [morphology.slice_centres_mm(m, spacing_mm=(1.0, 1.0)) for m in (cavity, both)]
    area = np.count_nonzero(cavity, axis=(0, 1)).astype(float)
    used = area >= 0.3 * area.max(initial=1.0)
    away = np.linalg.norm(centres[0] - centres[1], axis=-1)[used] / np.sqrt(area[used] / np.pi)
    known = away[np.isfinite(away)]
    return float(known.max()) if known.size else math.nan
