"""How long a heart cycle can last."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import Scan

Floats = NDArray[np.float64]

#: Shortest and longest heart cycle that is believed, in ms: 200 and 30 beats a minute.
CYCLE_MS = (300.0, 2000.0)


def is_cycle_ms(length_ms: float, limits_ms: Sequence[float] = CYCLE_MS) -> bool:
    """Whether a heart cycle can last so long; False for NaN.

    Examples
    --------
    >>> is_cycle_ms(800.0), is_cycle_ms(26.0), is_cycle_ms(float("nan"))
    (True, False, False)
    """
    return bool(limits_ms[0] <= length_ms <= limits_ms[1])


def cycle_length_ms(
    *, rr_ms: float | None = None, frame_times_ms: ArrayLike | None = None, min_frames: int = 6
) -> float:
    """Length of the heart cycle as the source gives it, believed or not.

    Frame times give it as their span plus one (median) step, which is right for retrospectively
    gated cines; a prospectively gated one stops early and reads too short, so `rr_ms` is preferred
    wherever it is known.

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
        NaN when neither is usable.

    Examples
    --------
    >>> cycle_length_ms(frame_times_ms=[0, 100, 200, 300, 400, 500, 600, 700])
    800.0
    """
    if rr_ms is not None and math.isfinite(rr_ms) and rr_ms > 0:
        return float(rr_ms)
    if frame_times_ms is None:
        return math.nan
    times = np.asarray(frame_times_ms, dtype=float)
    if times.size < min_frames or not np.isfinite(times).all():
        return math.nan
    steps = np.diff(times)
    if (steps <= 0).any():
        return math.nan
    return float(times[-1] - times[0] + np.median(steps))


def positions(
    count: int, *, frame_times_ms: Sequence[float] | None, rr_ms: float | None
) -> tuple[Floats, float]:
    """Positions of frames in the cycle as shares of it, and its length in ms (NaN if unknown).

    Frames without usable times are taken as equally spaced over the cycle; an RR interval that is
    shorter than the frames take is not that of these frames, and their own length counts.
    """
    even = np.arange(count) / count
    length = cycle_length_ms(rr_ms=rr_ms, frame_times_ms=frame_times_ms)
    if frame_times_ms is None:
        return even, length
    times = np.asarray(frame_times_ms, dtype=float)
    if times.size != count or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        return even, length
    own = cycle_length_ms(frame_times_ms=times)
    if not length > times[-1] - times[0]:
        length = own
    if not math.isfinite(length):
        return even, length
    return (times - times[0]) / length, length


def cycle_notes(scan: Scan) -> list[str]:
    """Say where frame times cover what is no heart cycle."""
    length = cycle_length_ms(frame_times_ms=scan.frame_times_ms)
    if not math.isfinite(length) or is_cycle_ms(length):
        return []
    return [
        f"the frames take {length:.4g} ms in all, which is no heart cycle ({CYCLE_MS[0]:g} to "
        f"{CYCLE_MS[1]:g} ms): converters write the repetition time of the pulse (dcm2niix) or "
        "1 s (SimpleITK, nibabel) as time step; frame_times_ms in the JSON sidecar mends it"
    ]
