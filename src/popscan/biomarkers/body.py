"""Body size and heart rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def bsa_m2(height_cm: float, weight_kg: float) -> float:
    """Body surface area after Mosteller (N Engl J Med 1987, doi:10.1056/NEJM198710223171717).

    NaN unless both are positive and finite.

    Examples
    --------
    >>> bsa_m2(180.0, 80.0)
    2.0
    """
    if not (height_cm > 0 and weight_kg > 0) or math.isinf(height_cm * weight_kg):
        return math.nan
    return math.sqrt(height_cm * weight_kg / 3600.0)


def bmi_kg_m2(height_cm: float, weight_kg: float) -> float:
    """Body mass index, weight over height squared; NaN unless both are positive and finite.

    Examples
    --------
    >>> bmi_kg_m2(200.0, 80.0)
    20.0
    """
    if not (height_cm > 0 and weight_kg > 0) or math.isinf(height_cm * weight_kg):
        return math.nan
    return weight_kg / (height_cm / 100.0) ** 2


def heart_rate_bpm(
    *,
    rr_ms: float | None = None,
    frame_times_ms: Sequence[float] | None = None,
    min_frames: int = 6,
) -> float:
    """Heart rate from the RR interval, or else from frame times that cover one heart cycle.

    Frame times give the interval as their span plus one (median) step, which is right for
    retrospectively gated cines; a prospectively gated one stops early and reads too fast, so
    `rr_ms` is preferred wherever it is known.

    Parameters
    ----------
    rr_ms
        RR interval; ignored unless positive and finite.
    frame_times_ms
        Time of each frame after the R wave.
    min_frames
        Fewer frames say nothing of the cycle's length.

    Returns
    -------
    float
        Beats per minute; NaN when neither is usable.

    Examples
    --------
    >>> heart_rate_bpm(rr_ms=1000.0)
    60.0
    >>> heart_rate_bpm(frame_times_ms=[0, 100, 200, 300, 400, 500, 600, 700])
    75.0
    """
    if rr_ms is not None and math.isfinite(rr_ms) and rr_ms > 0:
        return 60000.0 / rr_ms
    if frame_times_ms is None:
        return math.nan
    times = np.asarray(frame_times_ms, dtype=float)
    if times.size < min_frames or not np.isfinite(times).all():
        return math.nan
    steps = np.diff(times)
    if (steps <= 0).any():
        return math.nan
    return float(60000.0 / (times[-1] - times[0] + np.median(steps)))
