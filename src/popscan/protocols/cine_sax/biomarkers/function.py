"""Function over the whole heart cycle: rates of ejection and filling, their times, diastasis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.biomarkers.filling import Filling, draws_of, measure_filling
from popscan.biomarkers.periodic import PeriodicCurve, fit_periodic
from popscan.columns import Column, text
from popscan.protocols.cine_sax.cycle import CYCLE_MS, is_cycle_ms, positions
from popscan.protocols.cine_sax.volumes import volume_curves_ml

Floats = NDArray[np.float64]

#: With fewer measured frames no rate is given: waves of filling last about a fifth of the cycle.
MIN_FRAMES = 20
#: Largest part of the cycle without a measured frame.
MAX_GAP = 0.12
#: Draws and level of the intervals.
_DRAWS, _LEVEL = 200, 0.9
_SEED = 20260
#: Of the noise that the intervals are drawn with: what the choice of the penalty adds, set so that
#: they hold the truth of digital hearts (`benchmarks/function.py`).
_WIDENING = 1.6

_RATES = (
    "rate of the smoothed volume curve (periodic penalised B-splines, bisquare weights: Eilers and "
    "Marx, Stat Sci 1996, doi:10.1214/ss/1038425655); rates as in Codella et al., J Cardiovasc "
    "Magn Reson 2010;12:46, doi:10.1186/1532-429X-12-46"
)
_NOISE = (
    "parametric bootstrap of the noise of single frames about the curve, 90%; errors that all "
    "frames share are not in it"
)
_SIDES = {"lv": "LV", "rv": "RV"}

#: Stem -> unit, meaning, whether it has an interval, and whether it is indexed by body size.
_STEMS: Mapping[str, tuple[str, str, str, bool, bool]] = {
    "peak_ejection": ("ml_s", "mL/s", "peak ejection rate", True, True),
    "peak_ejection_time": ("ms", "ms", "time from largest volume to peak ejection", False, False),
    "peak_filling_early": ("ml_s", "mL/s", "peak early filling rate", True, True),
    "peak_filling_early_time": (
        "ms", "ms", "time from the smallest volume to peak early filling", False, False,
    ),
    "peak_filling_late": ("ml_s", "mL/s", "peak late (atrial) filling rate", True, True),
    "peak_filling_late_time": (
        "ms", "ms", "time from the smallest volume to peak late filling", False, False,
    ),
    "peak_filling_ratio": ("", "", "early over late peak filling rate", True, False),
    "filling_early": (
        "pct", "%", "share of the stroke volume filled before slowest filling between the waves",
        True, False,
    ),
    "filling_late": ("pct", "%", "share filled after it (atrial contribution)", False, False),
    "filling_third": (
        "pct", "%", "share of the stroke volume filled after a third of diastole", True, False,
    ),
    "diastole_to_80": (
        "pct", "%", "share of diastole after which 80% of the stroke volume is back (DVR80)",
        False, False,
    ),
    "diastasis": ("ml", "mL", "volume at slowest filling between the waves", False, True),
    "diastasis_duration": (
        "ms", "ms", "time between the peaks with filling slower than 25% of the early peak",
        False, False,
    ),
    "systole_duration": ("ms", "ms", "time from the largest to the smallest volume", False, False),
    "ejection_norm": ("per_s", "1/s", "peak ejection rate over the largest volume", False, False),
    "filling_early_norm": (
        "per_s", "1/s", "peak early filling rate over the largest volume", False, False,
    ),
}  # fmt: skip
REASONS: Mapping[str, str] = {
    "": "measured",
    "no_cavity": "no frame has the cavity labelled",
    "few_frames": f"fewer than {MIN_FRAMES} frames with the cavity",
    "incomplete_cycle": f"more than {100 * MAX_GAP:g}% of the cycle has no frame",
    "flat_curve": "the volume does not change",
    "no_cycle_length": "length of the cycle unknown or not believed: shares only",
    "one_filling_wave": "early and late filling are not separate (high heart rate, no atrial wave)",
}


def _name(side: str, stem: str, unit: str, *, end: str = "") -> str:
    return "_".join(part for part in (side, stem, end, unit) if part)


def _dictionary() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for side, title in _SIDES.items():
        for stem, (unit, shown, meaning, ends, indexed) in _STEMS.items():
            name = _name(side, stem, unit)
            columns[name] = Column(shown, f"{title}: {meaning}", _RATES)
            for end, words in (("low", "lower"), ("high", "upper")) if ends else ():
                columns[_name(side, stem, unit, end=end)] = Column(
                    shown, f"{words} end of the interval of {name}", _NOISE
                )
            if indexed:
                columns[_name(side, f"{stem}_indexed", f"{unit}_m2")] = Column(
                    f"{shown}/m2", f"{name} divided by bsa_m2", _RATES
                )
        columns[f"{side}_curve_noise_ml"] = Column(
            "mL", f"robust SD of single frames about the {title} volume curve", _RATES
        )
        columns[f"n_frames_outlying_{side}"] = Column(
            "frames", f"frames that the {title} volume curve does not follow", _RATES
        )
        columns[f"{side}_cycle_reason"] = text(
            f"why function over the cycle of the {title} is empty in part or in whole: "
            + ", ".join(name for name in REASONS if name)
        )
    return columns


#: Columns that `cycle_function` returns, in its order.
FUNCTION_DICTIONARY: Mapping[str, Column] = _dictionary()


def fit_curve(volumes_ml: Floats, at: Floats) -> tuple[PeriodicCurve | None, str]:
    """Fit a volume curve; a reason of `REASONS` where that is not possible."""
    known = np.isfinite(volumes_ml)
    if not known.any():
        return None, "no_cavity"
    if known.sum() < MIN_FRAMES:
        return None, "few_frames"
    where = np.sort(at[known])
    if np.diff(np.append(where, where[0] + 1.0)).max() > MAX_GAP:
        return None, "incomplete_cycle"
    curve = fit_periodic(volumes_ml, at=at)
    return curve, "" if curve else "flat_curve"


def common_curves(
    labels: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    frames: Sequence[int] | None = None,
    frame_times_ms: Sequence[float] | None = None,
    rr_ms: float | None = None,
    points: int = 50,
) -> dict[str, Floats]:
    """Volume curves of one subject on a time base that all subjects share.

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        `Label` values.
    spacing_mm, frames
        As of `popscan.protocols.cine_sax.volumes.volume_curves_ml`.
    frame_times_ms, rr_ms
        Time of each frame, and length of the heart cycle.
    points
        Equal steps of the cycle.

    Returns
    -------
    dict
        ``cycle_pct``: time after the first frame's, in % of the cycle; ``lv_ml``, ``rv_ml``: the
        smooth curves; ``lv_ml_per_cycle``, ``rv_ml_per_cycle``: their slopes. NaN where no curve
        can be fitted (`fit_curve`).
    """
    volumes = volume_curves_ml(labels, spacing_mm=spacing_mm, frames=frames)
    at = np.arange(points) / points
    found: dict[str, Floats] = {"cycle_pct": 100.0 * at}
    for side in _SIDES:
        where, _ = positions(volumes[side].size, frame_times_ms=frame_times_ms, rr_ms=rr_ms)
        curve, _ = fit_curve(volumes[side], where)
        nothing = np.full(points, np.nan)
        found[f"{side}_ml"] = curve(at) if curve else nothing
        found[f"{side}_ml_per_cycle"] = curve(at, derivative=1) if curve else nothing
    return found


def cycle_function(
    curves_ml: Mapping[str, Floats],
    *,
    frame_times_ms: Sequence[float] | None,
    rr_ms: float | None,
    bsa_m2: float,
    cycle_ms: Sequence[float] = CYCLE_MS,
) -> dict[str, float | str]:
    """Measure ejection and filling of both ventricles.

    Parameters
    ----------
    curves_ml
        ``lv`` and ``rv`` -> volume in each frame, shape (t,); NaN where not measured.
    frame_times_ms, rr_ms
        Time of each frame, and length of the heart cycle.
    bsa_m2
        Body surface area; NaN where unknown.
    cycle_ms
        Shortest and longest heart cycle that is believed; for others only shares are given.

    Returns
    -------
    dict
        Columns of `FUNCTION_DICTIONARY`; NaN where undefined, with the reason beside it.
    """
    values: dict[str, float | str] = {}
    for side in _SIDES:
        volumes = np.asarray(curves_ml[side], dtype=float)
        at, length_ms = positions(volumes.size, frame_times_ms=frame_times_ms, rr_ms=rr_ms)
        seconds = length_ms / 1000.0 if is_cycle_ms(length_ms, cycle_ms) else math.nan
        curve, reason = fit_curve(volumes, at)
        found, ends = _measured(curve, seconds, bsa_m2) if curve else ({}, {})
        for stem, (unit, _, _, has_ends, indexed) in _STEMS.items():
            value = found.get(stem, math.nan)
            values[_name(side, stem, unit)] = value
            if has_ends:
                low, high = ends.get(stem, (math.nan, math.nan))
                values[_name(side, stem, unit, end="low")] = low
                values[_name(side, stem, unit, end="high")] = high
            if indexed:
                values[_name(side, f"{stem}_indexed", f"{unit}_m2")] = (
                    value / bsa_m2 if bsa_m2 > 0 else math.nan
                )
        values[f"{side}_curve_noise_ml"] = curve.noise if curve else math.nan
        values[f"n_frames_outlying_{side}"] = (
            float((curve.weights[np.isfinite(volumes)] < 0.5).sum()) if curve else math.nan
        )
        if curve and not math.isfinite(seconds):
            reason = "no_cycle_length"
        elif curve and math.isnan(found["filling_early"]):
            reason = "one_filling_wave"
        values[f"{side}_cycle_reason"] = reason
    return {name: values[name] for name in FUNCTION_DICTIONARY}


def _measured(
    curve: PeriodicCurve, seconds: float, bsa_m2: float
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Values and intervals of one ventricle, by stem."""
    one = measure_filling(curve)
    found = _by_stem(one, seconds)
    draws = draws_of(curve.redrawn(draws=_DRAWS, seed=_SEED, widening=_WIDENING), one)
    scaled = {
        "peak_ejection": draws["emptying_rate"] / seconds,
        "peak_filling_early": draws["early_rate"] / seconds,
        "peak_filling_late": draws["late_rate"] / seconds,
        "peak_filling_ratio": draws["rate_ratio"],
        "filling_early": 100.0 * draws["early_share"],
        "filling_third": 100.0 * draws["third_share"],
    }
    return found, {stem: _ends(found[stem], values) for stem, values in scaled.items()}


def _ends(value: float, draws: Floats) -> tuple[float, float]:
    if not math.isfinite(value) or not np.isfinite(draws).any():
        return math.nan, math.nan
    half = (1.0 - _LEVEL) / 2.0
    low, high = np.nanquantile(draws, [half, 1.0 - half])
    # Percentile and basic bootstrap together: which of the two holds depends on how much of the
    # peak the smoothing took, which no curve of few frames can show.
    lower = min(float(low), 2 * value - float(high))
    return min(max(lower, 0.0), value), max(float(high), 2 * value - float(low))


def _by_stem(one: Filling, seconds: float) -> dict[str, float]:
    ms = 1000.0 * seconds
    return {
        "peak_ejection": one.emptying_rate / seconds,
        "peak_ejection_time": one.emptying_at * ms,
        "peak_filling_early": one.early_rate / seconds,
        "peak_filling_early_time": one.early_at * ms,
        "peak_filling_late": one.late_rate / seconds,
        "peak_filling_late_time": one.late_at * ms,
        "peak_filling_ratio": one.early_rate / one.late_rate,
        "filling_early": 100.0 * one.early_share,
        "filling_late": 100.0 * (1.0 - one.early_share),
        "filling_third": 100.0 * one.third_share,
        "diastole_to_80": 100.0 * one.recovery_share,
        "diastasis": one.rest,
        "diastasis_duration": one.rest_share * ms,
        "systole_duration": ((one.empty_at - one.full_at) % 1.0) * ms,
        "ejection_norm": one.emptying_rate / one.full / seconds,
        "filling_early_norm": one.early_rate / one.full / seconds,
    }
