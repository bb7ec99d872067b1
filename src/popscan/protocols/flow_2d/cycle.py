"""How long a frame and the cycle last, and how much of it the frames cover."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popscan.ingest.checks import number_of
from popscan.protocols.cine_sax.cycle import is_cycle_ms


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """Times of a series.

    Attributes
    ----------
    frame_ms
        Length of a frame; NaN where nothing says it.
    rr_ms
        RR interval: of the header, else the frames' whole length.
    covered_pct
        Share of the header's RR interval that the frames cover; NaN where one of both is unknown.
    uneven_pct
        Largest deviation of a distance of frames from the median one, of that: a frame may be lost.
        NaN without frame times.
    by
        What `frame_ms` follows from: ``frame times``, ``RR interval`` (the frames are taken to fill
        it), or empty.
    """

    frame_ms: float
    rr_ms: float
    covered_pct: float
    uneven_pct: float
    by: str


def cycle_of(n_frames: int, *, meta: Mapping[str, Any], frame_times_ms: ArrayLike | None) -> Cycle:
    """Return the times of a series.

    Frame times count where the frames' whole length can be a heart cycle: converters write the
    repetition time of the pulse for want of another. Else the frames fill the RR interval.

    Parameters
    ----------
    n_frames
        Frames of the series.
    meta
        Of the scan: ``rr_ms``, else ``heart_rate_bpm``.
    frame_times_ms
        Times of the frames; None where they are not known.
    """
    rr_ms = number_of(meta.get("rr_ms")) or math.nan
    rate = number_of(meta.get("heart_rate_bpm")) or math.nan
    if not is_cycle_ms(rr_ms):
        rr_ms = 60_000.0 / rate if is_cycle_ms(60_000.0 / rate) else math.nan
    step = uneven = math.nan
    if frame_times_ms is not None and n_frames > 1:
        times = np.asarray(frame_times_ms, dtype=float)
        if times.size == n_frames and np.isfinite(times).all() and (np.diff(times) > 0).all():
            steps = np.diff(times)
            step = float(np.median(steps))
            uneven = 100.0 * float(np.abs(steps / step - 1.0).max())
    if not is_cycle_ms(step * n_frames):
        step = uneven = math.nan
    if math.isfinite(step):
        whole = rr_ms if math.isfinite(rr_ms) else step * n_frames
        covered = 100.0 * step * n_frames / rr_ms
        return Cycle(
            frame_ms=step, rr_ms=whole, covered_pct=covered, uneven_pct=uneven, by="frame times"
        )
    by = "RR interval" if math.isfinite(rr_ms) else ""
    return Cycle(
        frame_ms=rr_ms / n_frames, rr_ms=rr_ms, covered_pct=math.nan, uneven_pct=math.nan, by=by
    )
