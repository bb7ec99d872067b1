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


def rr_in_ms(rr_ms: float) -> dict[str, float | str]:
    """RR interval in ms where it was written in s or in microseconds, as its length shows.

    Returns
    -------
    dict
        ``rr_ms`` and ``rr_unit_assumed``; empty where `rr_ms` is believed, or where nothing else
        is.

    Examples
    --------
    >>> rr_in_ms(0.85), rr_in_ms(850.0), rr_in_ms(26.0)
    ({'rr_ms': 850.0, 'rr_unit_assumed': 's'}, {}, {})
    """
    if is_cycle_ms(rr_ms):
        return {}
    units = {"s": 1000.0, "us": 0.001}
    fit = [(unit, rr_ms * factor) for unit, factor in units.items() if is_cycle_ms(rr_ms * factor)]
    return {"rr_ms": fit[0][1], "rr_unit_assumed": fit[0][0]} if fit else {}


def times_in_ms(times_ms: ArrayLike | None) -> tuple[Floats | None, float]:
    """Frame times in ms where s and ms were mixed up, as the length of the cycle shows.

    Steps of exactly 1 s or 1 ms are what converters write for want of a time, and stay.

    Returns
    -------
    times : ndarray or None
    factor : float
        By which they were multiplied: 1000, 0.001, or 1.

    Examples
    --------
    >>> times_in_ms([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])[1]
    1000.0
    """
    if times_ms is None:
        return None, 1.0
    times = np.asarray(times_ms, dtype=float)
    length = cycle_length_ms(frame_times_ms=times)
    if not math.isfinite(length) or is_cycle_ms(length):
        return times, 1.0
    step = float(np.median(np.diff(times)))
    fit = [factor for factor in (1000.0, 0.001) if is_cycle_ms(length * factor)]
    if not fit or step in (1.0, 1000.0):
        return times, 1.0
    return times * fit[0], fit[0]


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
    """Say where frame times cover what is no heart cycle, and which units were assumed."""
    notes = []
    if factor := scan.meta.get("frame_time_factor"):
        units = "s for ms" if factor > 1 else "ms for s"
        notes.append(f"frame times are taken as {units}: as given, they cover no heart cycle")
    if scan.meta.get("rr_unit_assumed"):
        length = scan.meta.get("rr_ms", math.nan)
        notes.append(f"the RR interval is in another unit than expected: taken as {length:.4g} ms")
    if count := scan.meta.get("n_inverted_images"):
        notes.append(f"{count} images have the smallest value as white: they were inverted")
    length = cycle_length_ms(frame_times_ms=scan.frame_times_ms)
    if not math.isfinite(length) or is_cycle_ms(length):
        return notes
    return [
        *notes,
        f"the frames take {length:.4g} ms in all, which is no heart cycle ({CYCLE_MS[0]:g} to "
        f"{CYCLE_MS[1]:g} ms): converters write the repetition time of the pulse (dcm2niix) or "
        "1 s (SimpleITK, nibabel) as time step; frame_times_ms in the JSON sidecar mends it",
    ]
