"""Heart rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from popscan.protocols.cine_sax.cycle import CYCLE_MS, cycle_length_ms, is_cycle_ms


def heart_rate_bpm(
    *,
    rr_ms: float | None = None,
    frame_times_ms: Sequence[float] | None = None,
    cycle_ms: Sequence[float] = CYCLE_MS,
) -> float:
    """Heart rate from the RR interval, or else from frame times that cover one heart cycle.

    See `popscan.protocols.cine_sax.cycle.cycle_length_ms`.

    Parameters
    ----------
    rr_ms
        RR interval; ignored unless positive and finite.
    frame_times_ms
        Time of each frame after the R wave.
    cycle_ms
        Shortest and longest cycle that is believed. Converters write other things where the time
        between frames belongs (a pulse repetition time, 1 s).

    Returns
    -------
    float
        Beats per minute; NaN when neither is usable or the cycle is not believed.

    Examples
    --------
    >>> heart_rate_bpm(rr_ms=1000.0)
    60.0
    >>> heart_rate_bpm(frame_times_ms=[0, 100, 200, 300, 400, 500, 600, 700])
    75.0
    >>> heart_rate_bpm(rr_ms=26.0)
    nan
    """
    length = cycle_length_ms(rr_ms=rr_ms, frame_times_ms=frame_times_ms)
    return 60000.0 / length if is_cycle_ms(length, cycle_ms) else math.nan
