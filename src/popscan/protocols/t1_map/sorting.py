"""T1 mapping among the series of an unknown visit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from popscan.sorting.facts import Facts, Named

#: Inversion times of a mapping sequence: how many, and how late the last is.
_TIMES, _LATE_MS, _MOST_SLICES = (3, 20), 900.0, 12
#: Values of a map in ms: median of what is not empty, and nearly the largest.
_MEDIAN_MS, _MOST_MS = (200.0, 2500.0), 4100.0


def find(series: Sequence[Facts]) -> list[list[Named]]:
    """Name the series of one visit: several inversion times of one plane, and a map beside them."""
    times = [_times_ms(facts, series) for facts in series]
    raw = [f for f, own in zip(series, times, strict=True) if _maps(own)]
    return [_named(facts, own, raw) for facts, own in zip(series, times, strict=True)]


def _times_ms(facts: Facts, series: Sequence[Facts]) -> set[float]:
    """Return the inversion times of a plane, of which each may lie in a file of its own."""
    if not facts.inversion_ms or facts.n_slices > _MOST_SLICES or facts.n_directions > 1:
        return set()
    same = [f for f in series if f.signed == facts.signed and f.same_plane(facts)]
    return {time for f in [facts, *same] for time in f.inversion_ms}


def _maps(times_ms: set[float]) -> bool:
    return _TIMES[0] <= len(times_ms) <= _TIMES[1] and max(times_ms) >= _LATE_MS


def _named(facts: Facts, times_ms: set[float], raw: Sequence[Facts]) -> list[Named]:
    if _maps(times_ms):
        name = "t1_inversions_phase" if facts.signed else "t1_inversions"
        return [Named(name=name, sure=0.95, by=f"{len(times_ms)} inversion times of one plane")]
    computed = not facts.inversion_ms and math.isnan(facts.echo_ms) and facts.n_frames <= 2
    beside = any(facts.same_plane(f) for f in raw)
    low, high = _MEDIAN_MS
    if computed and beside and low <= facts.median <= high and facts.high <= _MOST_MS:
        return [Named(name="t1_map", sure=0.7, by="computed, in the plane of inversion images")]
    return []
