"""Phase-contrast flow among the series of an unknown visit."""

from __future__ import annotations

from collections.abc import Sequence

from popscan.sorting.facts import Facts, Named

_MIN_FRAMES = 5


def find(series: Sequence[Facts]) -> list[list[Named]]:
    """Name the series of one visit: a velocity encoding says it, or the phase of the same plane."""
    phases = [f for f in series if f.venc and f.signed and f.n_frames >= _MIN_FRAMES]
    return [_named(facts, phases) for facts in series]


def _named(facts: Facts, phases: Sequence[Facts]) -> list[Named]:
    if facts.n_frames < _MIN_FRAMES or facts.n_slices > 3:
        return []
    if facts.venc:
        name = "flow_phase" if facts.signed else "flow_magnitude"
        return [Named(name=name, sure=0.95, by="velocity encoding in the header")]
    beside = any(facts.same_plane(f) and facts.n_frames == f.n_frames for f in phases)
    if beside and not facts.signed:
        return [Named(name="flow_magnitude", sure=0.9, by="plane and frames of a flow series")]
    return []
