"""T1 mapping among the series of an unknown visit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from popscan.sorting.facts import Facts, Named

#: Inversion times of a mapping sequence: how many, and how late the last is.
_TIMES, _LATE_MS, _MOST_SLICES = (3, 20), 900.0, 12
#: Some of its images wait for the next beat; scouts of the inversion time step on within one.
_LEAST_GAP_MS = 250.0
#: Values of a map in ms: median of what is not empty, and nearly the largest.
_MEDIAN_MS, _MOST_MS = (200.0, 2500.0), 4100.0


def find(series: Sequence[Facts]) -> list[list[Named]]:
    """Name the series of one visit: several inversion times of one plane, and a map beside them.

    Of several computed images of a plane (T1*, T2, proton density) none is named: their values do
    not say which of them is the map.
    """
    times = [_times_ms(facts, series) for facts in series]
    raw = [f for f, own in zip(series, times, strict=True) if _maps(own)]
    computed = [f for f in series if _is_computed(f) and any(f.same_plane(r) for r in raw)]
    return [_named(facts, own, computed) for facts, own in zip(series, times, strict=True)]


def _times_ms(facts: Facts, series: Sequence[Facts]) -> set[float]:
    """Return the inversion times of a sequence, of which each may lie in a series of its own."""
    if not facts.inversion_ms or facts.n_slices > _MOST_SLICES or facts.n_directions > 1:
        return set()
    if not _is_single(facts):
        return set(facts.inversion_ms)
    same = [f for f in series if _is_single(f) and _is_of_sequence(f, facts)]
    return {time for f in [facts, *same] for time in f.inversion_ms}


def _is_single(facts: Facts) -> bool:
    return facts.n_frames == 1 and len(facts.inversion_ms) == 1


def _is_of_sequence(one: Facts, other: Facts) -> bool:
    """Whether plane and times are those of one sequence; an echo time that is not known is none."""
    if one.signed != other.signed or not one.same_plane(other):
        return False
    if not math.isclose(one.echo_ms, other.echo_ms, rel_tol=0.01):
        return False
    times = (one.repetition_ms, other.repetition_ms)
    return all(map(math.isnan, times)) or math.isclose(*times, rel_tol=0.01)


def _maps(times_ms: set[float]) -> bool:
    if not _TIMES[0] <= len(times_ms) <= _TIMES[1] or max(times_ms) < _LATE_MS:
        return False
    ordered = sorted(times_ms)
    return max(b - a for a, b in itertools.pairwise(ordered)) >= _LEAST_GAP_MS


def _is_computed(facts: Facts) -> bool:
    """Whether this can be a map: computed from other images, of no echo, in ms.

    ShMOLLI of UK Biobank calls its maps original phase images, and gives them no times at all.
    """
    low, high = _MEDIAN_MS
    timeless = not facts.inversion_ms and math.isnan(facts.echo_ms)
    nameless = facts.dicom and facts.signed and math.isnan(facts.repetition_ms)
    return (
        (nameless or (facts.derived and not facts.signed))
        and timeless
        and facts.n_frames <= 2
        and low <= facts.median <= high
        and facts.high <= _MOST_MS
    )


def _named(facts: Facts, times_ms: set[float], computed: Sequence[Facts]) -> list[Named]:
    if _maps(times_ms):
        name = "t1_inversions_phase" if facts.signed else "t1_inversions"
        return [Named(name=name, sure=0.95, by=f"{len(times_ms)} inversion times of one plane")]
    here = [f for f in computed if f.same_plane(facts)]
    if len(here) == 1 and here[0] is facts:
        return [Named(name="t1_map", sure=0.7, by="computed, in the plane of inversion images")]
    return []
