"""Checks of the base of the left ventricle, where a slice more or less is the largest error.

Each function takes the `Context` of a scan and returns a `Measured`; limits and units stand in
`popscan.protocols.cine_sax.qc.table`.
"""

from __future__ import annotations

import math

import numpy as np

from popscan.protocols.cine_sax.beyond import RV_FILLED, rv_share_at_base
from popscan.protocols.cine_sax.biomarkers.doubt import shifts
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.qc.model import Measured, not_assessed

#: The slices that `lv_open_pct` leaves out, since the wall may be open there in truth.
BASAL_SLICES = 2


def base_open_pct(ctx: Context) -> Measured:
    """Share of the LV cavity's border without wall in the two most basal slices, at ED or ES.

    The worse of the four. Experts leave a few percent open; half and more is no ventricle.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    edges, beyond = ctx.lv_contacts
    edges, closed = ctx.base_to_apex(edges), ctx.base_to_apex(beyond[Label.MYO])
    worst, note = math.nan, "no LV at end-diastole or end-systole"
    for name, t in (("ED", ctx.ed), ("ES", ctx.es)):
        for z in np.flatnonzero(edges[:, t])[:BASAL_SLICES]:
            share = 100.0 * (1.0 - closed[z, t] / edges[z, t])
            if not share <= worst:
                worst, note = share, f"LV boundary without wall at the base at {name}"
    return Measured(float(worst), note)


def base_travel_mm(ctx: Context) -> Measured:
    """Movement of the most basal slice with LV from end-diastole to end-systole, to the apex > 0.

    The valve plane descends by 8 to 20 mm; slices are steps of their distance.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.phases[1] is None or ctx.n_slices < 2:
        return not_assessed("end-systole is unknown, or there is one slice")
    held = ctx.base_to_apex(ctx.counts[Label.LV]) > 0
    if not (held[:, ctx.ed].any() and held[:, ctx.es].any()):
        return Measured(math.nan, "no LV at end-diastole or end-systole")
    first = [int(np.flatnonzero(held[:, t])[0]) for t in (ctx.ed, ctx.es)]
    return Measured((first[1] - first[0]) * ctx.spacing_mm[2], "from the base at ED to that at ES")


def rv_base_cut_ratio(ctx: Context) -> Measured:
    """Length over width of the LV where the RV fills the stack's most basal slice even in systole.

    The base of the RV descends by about two centimetres: where the stack reaches the valves at
    end-diastole, its most basal slice hardly holds the RV at end-systole. Where that slice does,
    and the LV is short for its width, too, basal slices are missing.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.phases[1] is None:
        return not_assessed("end-systole is unknown")
    share = rv_share_at_base(ctx.base_to_apex(ctx.counts[Label.RV][:, ctx.es]).astype(float))
    if math.isnan(share):
        return Measured(math.nan, "no RV at end-systole")
    if share < RV_FILLED:
        return not_assessed("the RV leaves the stack's most basal slice at end-systole")
    length, diameter = ctx.lv_size_mm
    return Measured(
        length / diameter if diameter > 0 else math.nan,
        f"RV in the most basal slice at ES ({100 * share:.0f}% of its largest area there); LV "
        f"length {length:.0f} mm, diameter {diameter:.0f} mm",
    )


def lvef_doubt_points(ctx: Context) -> Measured:
    """Change of the LVEF if doubtful slices at the base were counted the other way.

    Which slices are doubtful segmentation says (`popscan.protocols.cine_sax.base`).
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    doubt = ctx.from_segmentation.get("base")
    if not doubt:
        return not_assessed("the segmentation did not decide where the ventricle ends")
    if ctx.phases[1] is None:
        return not_assessed("end-systole is unknown")
    names = ["" for _ in range(ctx.n_frames)]
    names[ctx.es], names[ctx.ed] = "ES", "ED"
    values = measure(ctx.labels, spacing_mm=ctx.spacing_mm, frame_labels=names)
    seen = {side: doubt[side] for side in ("kept", "removed")}  # not what lies beyond the stack
    down, up = shifts(values, seen, ed=ctx.ed, es=ctx.es).get("lvef_pct", (0.0, 0.0))
    return Measured(max(-down, up), "LVEF with and without doubtful slices")
