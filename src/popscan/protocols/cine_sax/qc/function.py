"""Checks of what the labels amount to: volume curves over the cycle, and plausible numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.cycle import cycle_length_ms, is_cycle_ms
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.qc.model import Measured, not_assessed

#: Fewer labelled frames than this make no curve.
MIN_CURVE_FRAMES = 8
MYOCARDIAL_DENSITY_G_ML = 1.05


def _curve(ctx: Context, label: Label) -> NDArray[np.float64] | Measured:
    """Volume curve of a structure over the whole cycle, or why there is none."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.only_named_frames or min(len(ctx.frames), ctx.n_frames) < MIN_CURVE_FRAMES:
        return not_assessed(f"fewer than {MIN_CURVE_FRAMES} labelled frames make no volume curve")
    if len(ctx.frames) < ctx.n_frames:
        return not_assessed("only some frames are labelled")
    curve = ctx.curves_ml[label]
    if np.isfinite(curve).sum() < MIN_CURVE_FRAMES:
        return Measured(math.nan, f"{STRUCTURES[label].upper()} is labelled in too few frames")
    known = np.flatnonzero(np.isfinite(curve))
    return np.interp(np.arange(curve.size), known, curve[known], period=curve.size)


def curve_spike_pct(ctx: Context, label: Label) -> Measured:
    """Largest excursion of one frame's volume beyond both its neighbours, of the largest volume.

    Beyond: above the larger or below the smaller of the two (cyclic), and of where the two frames
    before and the two after point to: with few frames a beat turns sharply between two of them.
    What is left is one frame's segmentation gone wrong.
    """
    curve = _curve(ctx, label)
    if isinstance(curve, Measured):
        return curve
    before, after = np.roll(curve, 1), np.roll(curve, -1)
    pointed = (2 * before - np.roll(curve, 2), 2 * after - np.roll(curve, -2))
    near = np.stack([before, after, *pointed])
    spike = np.maximum(np.maximum(curve - near.max(axis=0), near.min(axis=0) - curve), 0.0)
    worst = int(np.argmax(spike))
    return Measured(100.0 * float(spike[worst] / curve.max()), f"volume spike in frame {worst}")


def curve_roughness_pct(ctx: Context, label: Label) -> Measured:
    """RMS difference of the volume curve from its four lowest harmonics, of the largest volume.

    Four harmonics of the heart rate hold a normal volume curve; what is left is frame-to-frame
    noise of the segmentation.
    """
    curve = _curve(ctx, label)
    if isinstance(curve, Measured):
        return curve
    spectrum = np.fft.rfft(curve)
    spectrum[:5] = 0.0
    rest = np.fft.irfft(spectrum, n=curve.size)
    return Measured(100.0 * float(np.sqrt(np.mean(rest**2)) / curve.max()), "frame-to-frame noise")


def curve_closure_pct(ctx: Context) -> Measured:
    """Difference of the LV volume between last and first frame, of the largest volume.

    Large where the cine does not cover the whole cycle or its frames are out of order.
    """
    curve = _curve(ctx, Label.LV)
    if isinstance(curve, Measured):
        return curve
    return Measured(
        100.0 * abs(float(curve[-1] - curve[0])) / float(curve.max()), "last to first frame"
    )


def es_phase_pct(ctx: Context) -> Measured:
    """Time from end-diastole to end-systole, of the cycle (frames are taken as equidistant)."""
    curve = _curve(ctx, Label.LV)
    if isinstance(curve, Measured):
        return curve
    ed, es = ctx.phases
    assert ed is not None
    assert es is not None
    return Measured(100.0 * ((es - ed) % curve.size) / curve.size, f"ED frame {ed}, ES frame {es}")


def _volume(ctx: Context, label: Label, phase: int) -> float:
    """Volume at ED (0) or ES (1) in mL; NaN where unknown."""
    frame = ctx.phases[phase]
    return math.nan if frame is None else float(ctx.curves_ml[label][frame])


def edv_ml(ctx: Context, label: Label) -> Measured:
    """Volume of a chamber at end-diastole."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    return Measured(_volume(ctx, label, 0), f"{STRUCTURES[label].upper()} volume at ED")


def ef_pct(ctx: Context, label: Label) -> Measured:
    """Ejection fraction of a chamber."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if len(ctx.frames) < 2:
        return not_assessed("one labelled frame has no ejection fraction")
    ed, es = _volume(ctx, label, 0), _volume(ctx, label, 1)
    value = 100.0 * (ed - es) / ed if ed > 0 else math.nan
    return Measured(value, f"{STRUCTURES[label].upper()} ejection fraction")


def cardiac_output(ctx: Context) -> Measured:
    """LV stroke volume times heart rate."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    rr_ms = ctx.scan.meta.get("rr_ms")
    length = cycle_length_ms(
        rr_ms=float(rr_ms) if isinstance(rr_ms, (int, float)) else None,
        frame_times_ms=None if ctx.only_named_frames else ctx.scan.frame_times_ms,
    )
    if not is_cycle_ms(length) or len(ctx.frames) < 2:
        return not_assessed("the length of the heart cycle is not known")
    stroke_ml = _volume(ctx, Label.LV, 0) - _volume(ctx, Label.LV, 1)
    return Measured(60.0 * stroke_ml / length, f"{stroke_ml:.0f} mL in {length:.0f} ms")


def lv_mass_g(ctx: Context) -> Measured:
    """LV myocardial mass at end-diastole."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    return Measured(MYOCARDIAL_DENSITY_G_ML * _volume(ctx, Label.MYO, 0), "mass at ED")


def _difference_pct(first: float, second: float) -> float:
    """Absolute difference relative to the mean of the two, in percent; NaN unless it is > 0."""
    mean = 0.5 * (abs(first) + abs(second))
    return 100.0 * abs(first - second) / mean if mean > 0 else math.nan


def mass_agreement_pct(ctx: Context) -> Measured:
    """Difference of myocardial mass between end-diastole and end-systole, of their mean."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if len(ctx.frames) < 2:
        return not_assessed("one labelled frame has nothing to agree with")
    masses = [MYOCARDIAL_DENSITY_G_ML * _volume(ctx, Label.MYO, phase) for phase in (0, 1)]
    return Measured(_difference_pct(*masses), f"{masses[0]:.0f} g at ED, {masses[1]:.0f} g at ES")


def stroke_agreement_pct(ctx: Context) -> Measured:
    """Difference of LV and RV stroke volume, of their mean."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if len(ctx.frames) < 2:
        return not_assessed("one labelled frame has no stroke volume")
    strokes = [_volume(ctx, label, 0) - _volume(ctx, label, 1) for label in (Label.LV, Label.RV)]
    return Measured(_difference_pct(*strokes), f"LV {strokes[0]:.0f} mL, RV {strokes[1]:.0f} mL")
