"""Checks of what was acquired: spacing, field of view, coverage of the heart, frames.

Each function takes the `Context` of a scan and returns a `Measured`; limits and units stand in
`popscan.protocols.cine_sax.qc.table`.
"""

from __future__ import annotations

import math

import numpy as np

from popscan.protocols.cine_sax.cycle import cycle_length_ms
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.qc.model import Measured, not_assessed

NO_LABELS = "there are no labels"
#: A slice whose LV area is at least this share of the largest is full of ventricle.
FILLED_PCT = 80.0


def fov_margin_mm(ctx: Context) -> Measured:
    """Smallest in-plane distance of a labelled voxel's edge from the border of the image."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    lit = np.nonzero((ctx.labels > 0).any(axis=(2, 3)))
    if lit[0].size == 0:
        return Measured(math.nan, "nothing is labelled")
    margins = [
        min(index.min(), size - 1 - index.max()) * step
        for index, size, step in zip(lit, ctx.labels.shape[:2], ctx.spacing_mm[:2], strict=True)
    ]
    return Measured(float(min(margins)), "distance of the labelled heart from the image border")


def _end_share_pct(ctx: Context, *, frame: int, end: int) -> Measured:
    area = ctx.base_to_apex(ctx.counts[Label.LV][:, frame]).astype(float)
    if not area.any():
        return Measured(math.nan, "no LV is labelled")
    where = "basal" if end == 0 else "apical"
    return Measured(
        100.0 * float(area[end] / area.max()),
        f"LV area in the stack's most {where} slice, of the largest slice (frame {frame})",
    )


def basal_coverage_pct(ctx: Context) -> Measured:
    """End-systolic LV area in the stack's most basal slice, of the largest slice's area.

    The base descends by a centimetre in systole: a stack that covers the ventricle at end-diastole
    has, at end-systole, atrium or nothing in its most basal slice. Much ventricle there means that
    the end-diastolic base lies outside the stack.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.phases[1] is None:
        return not_assessed("end-systole is unknown")
    return _end_share_pct(ctx, frame=ctx.es, end=0)


def base_cut_ratio(ctx: Context) -> Measured:
    """Length over width of the LV where it fills the stack's most basal slice even in systole.

    That slice alone proves nothing (see `basal_coverage_pct`; many stacks start right at the
    base), and neither does a short ventricle: both together mean that basal slices are missing.
    """
    filled = basal_coverage_pct(ctx)
    if not filled.assessed or math.isnan(filled.value):
        return filled
    if filled.value < FILLED_PCT:
        return not_assessed("the stack reaches the base at end-systole")
    length, diameter = ctx.lv_size_mm
    return Measured(
        length / diameter if diameter > 0 else math.nan,
        f"LV in the most basal slice at ES; length {length:.0f} mm, diameter {diameter:.0f} mm",
    )


def apical_coverage_pct(ctx: Context) -> Measured:
    """End-diastolic LV area in the stack's most apical slice, of the largest slice's area."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    return _end_share_pct(ctx, frame=ctx.ed, end=-1)


def missing_frames(ctx: Context) -> Measured:
    """Frames that are blank, exact copies of the frame before, or absent by the frame times."""
    blank = int(ctx.blank_planes.all(axis=0).sum())
    image = ctx.image
    same = [
        t
        for t in range(1, ctx.n_frames)
        if np.array_equal(image[::4, ::4, :, t], image[::4, ::4, :, t - 1])
        and np.array_equal(image[..., t], image[..., t - 1])
    ]
    gaps = 0
    times = ctx.scan.frame_times_ms
    if times is not None and len(times) == ctx.n_frames >= 3 and np.isfinite(times).all():
        steps = np.diff(np.asarray(times, float))
        usual = float(np.median(steps))
        if usual > 0:
            gaps = int(np.maximum(np.round(steps / usual) - 1, 0).sum())
    return Measured(
        float(blank + len(same) + gaps),
        f"{blank} blank, {len(same)} copies of the frame before, {gaps} missing by frame times",
    )


def frame_count(ctx: Context) -> Measured:
    """Frames over the heart cycle."""
    if ctx.only_named_frames:
        return not_assessed("the source holds named frames (ED, ES) only")
    return Measured(float(ctx.n_frames), f"frames of the scan: {ctx.n_frames}")


def cycle_length(ctx: Context) -> Measured:
    """Length of the heart cycle by RR interval or frame times.

    What no heart does is a converter's habit: the repetition time of the pulse, 1 s per frame.
    Heart rate, cardiac output and index stay empty then.
    """
    if ctx.only_named_frames:
        return not_assessed("the source holds named frames (ED, ES) only")
    rr_ms = ctx.scan.meta.get("rr_ms")
    length = cycle_length_ms(
        rr_ms=float(rr_ms) if isinstance(rr_ms, (int, float)) else None,
        frame_times_ms=ctx.scan.frame_times_ms,
    )
    if not math.isfinite(length):
        return not_assessed("the source gives neither an RR interval nor times of enough frames")
    assumed = ctx.scan.meta.get("frame_time_unit_assumed")
    guess = f"; the header has no unit of time, {assumed} is assumed" if assumed else ""
    return Measured(length, f"{ctx.n_frames} frames{guess}")


def cycle_coverage_pct(ctx: Context) -> Measured:
    """Share of the RR interval that the frames cover.

    Prospectively triggered cines end at 80 to 90%; much less leaves out filling, or systole.
    """
    times, rr_ms = ctx.scan.frame_times_ms, ctx.scan.meta.get("rr_ms")
    if ctx.only_named_frames or ctx.n_frames < 3 or times is None:
        return not_assessed("there are no times of a series of frames")
    if not isinstance(rr_ms, (int, float)) or not rr_ms > 0:
        return not_assessed("the source gives no RR interval")
    span = float(np.max(times) - np.min(times) + np.median(np.diff(np.asarray(times, float))))
    return Measured(100.0 * span / float(rr_ms), f"frames cover {span:.0f} of {rr_ms:.0f} ms")


def frame_times_pct(ctx: Context) -> Measured:
    """Largest deviation of a time step from the median step; 100 and more: times stand still."""
    times = ctx.scan.frame_times_ms
    if ctx.only_named_frames or ctx.n_frames < 3:
        return not_assessed("too few frames for a regular spacing in time")
    if times is None:
        return not_assessed("the source gives no frame times")
    steps = np.diff(np.asarray(times, float))
    if len(times) != ctx.n_frames or not np.isfinite(steps).all() or np.median(steps) <= 0:
        return Measured(math.nan, "frame times are not finite, increasing and one per frame")
    usual = float(np.median(steps))
    return Measured(
        100.0 * float(np.max(np.abs(steps / usual - 1.0))), f"median step {usual:.1f} ms"
    )
