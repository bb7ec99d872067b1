"""Checks of what ingest had to decide: which images are used, in which order, from which place.

The numbers come from the reader (``Scan.meta``); a source that does not give them is not assessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from popscan.protocols.cine_sax.qc.context import Context
from popscan.qc.model import Measured, not_assessed

_UNSAID = "the source does not say"


def slices_left_out(ctx: Context) -> Measured:
    """Slices of the view that were acquired and are not in the stack."""
    return _told(ctx, "slices_left_out", note=str(ctx.scan.meta.get("images_left_out_reason", "")))


def frame_order(ctx: Context) -> Measured:
    """Slices whose order of frames is a guess from the names of files."""
    if "frame_order" not in ctx.scan.meta:
        return not_assessed(_UNSAID)
    order = ctx.scan.meta["frame_order"]
    return _told(ctx, "n_guessed_slices", default=0, note=f"frames are ordered by {order}")


def copied_slices(ctx: Context) -> Measured:
    """Slices that are captured, annotated or phase images, since nothing better is there."""
    return _decided(ctx, "n_copied_slices", note="kind of image of each slice")


def undecided_slices(ctx: Context) -> Measured:
    """Slices at whose place lies another series that may be the cine, as far as headers say."""
    return _decided(
        ctx, "n_undecided_slices",
        note="of the series there, the one most like the rest of the visit was taken, else the "
        "later one",
    )  # fmt: skip


def slice_tilt_deg(ctx: Context) -> Measured:
    """Largest angle between slices of the stack."""
    return _decided(ctx, "slice_tilt_deg", note="slices of a stack are parallel as a rule")


def frames_of_reference(ctx: Context) -> Measured:
    """Frames of reference of the slices: with several the patient may have moved between them."""
    return _decided(ctx, "n_frames_of_reference", default=1, note="as the headers say")


def slice_gap_pct(ctx: Context) -> Measured:
    """Largest deviation of a gap between slices from the usual gap."""
    if ctx.n_slices < 3:
        return not_assessed("too few slices for a usual gap")
    found = _decided(ctx, "slice_irregularity", note="gaps between slices differ")
    return Measured(100.0 * found.value, found.note, assessed=found.assessed)


def slice_start_frames(ctx: Context) -> Measured:
    """Frames by which slices begin earlier or later in the cycle than others, where more than 1."""
    return _decided(ctx, "slice_start_frames", note="by the trigger times of the first frames")


def frames_short(ctx: Context) -> Measured:
    """Frames per slice that the header promises and the series lacks."""
    promised = ctx.scan.meta.get("n_frames_told")
    if not isinstance(promised, (int, float)) or not math.isfinite(promised):
        return _decided(ctx, "n_frames_told", note="as many as the header promises")
    short = float(promised) - ctx.n_frames
    return Measured(short, f"{ctx.n_frames} frames, {promised:g} promised by the header")


def kspace_lines_pct(ctx: Context) -> Measured:
    """Share of k-space lines of the worst slice that were acquired in the wrong phase."""
    found = ctx.scan.meta.get("line_rejection")
    if not isinstance(found, Mapping):
        return not_assessed("lines of k-space were not compared")
    doubt = found.get("slices_in_doubt", 0)
    if isinstance(doubt, int) and doubt > 0:  # all their lines are
        return Measured(
            100.0, f"{doubt} slices: shots contradict each other, which are wrong is not clear"
        )
    share, by = found.get("lines_found_worst_pct"), str(found.get("lines_judged_by", ""))
    if not isinstance(share, (int, float)) or not math.isfinite(share):
        return not_assessed(f"lines of k-space were not compared: {by}")
    left = "were left out" if found.get("lines_left_out") else "are in the image"
    return Measured(float(share), f"lines judged by {by}; those found {left}" if share else "")


def _decided(ctx: Context, key: str, *, note: str, default: float = 0) -> Measured:
    """Return a number that the reader gives only where it is not the usual one."""
    if "slices_left_out" not in ctx.scan.meta:
        return not_assessed(_UNSAID)
    return _told(ctx, key, note=note, default=default)


def _told(ctx: Context, key: str, *, note: str, default: float | None = None) -> Measured:
    value = ctx.scan.meta.get(key, default)
    if value is None:
        return not_assessed(_UNSAID)
    number = float(value) if isinstance(value, (int, float)) else math.nan
    return Measured(number, note)
