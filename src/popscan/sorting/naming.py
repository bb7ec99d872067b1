"""From what protocols say of single series to names of clusters; ``unknown`` where it is thin."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from popscan.sorting.facts import Facts, Floats, Named

UNKNOWN = "unknown"
#: A name that is less sure is none; so is one that a second name comes as close to as this.
LEAST_SURE, LEAST_AHEAD = 0.6, 0.1
#: A cluster lends its name to series without one where so many of its series have it: at least a
#: count, a share of all, and a share of those with a name.
_LENDING, _LENDING_SHARE, _AGREEING = 5, 0.8, 0.95
#: How sure a lent name is.
_LENT = 0.6
#: Names that need no protocol.
COMMON: Mapping[str, str] = {"scout": "scout", UNKNOWN: "unknown"}
_MOST_SCOUT = 90
#: Series whose change says where the middle of a visit is: share of the intensity, frames.
_CHANGES, _FRAMES = 0.05, 8
#: Stacks that move, of a folder of one subject: parallel within an angle (degrees), one above the
#: other within a distance; two of them at a small angle to each other are of two subjects.
_PARALLEL_DEG, _BESIDE_MM, _STACK, _NEAR_DEG = 3.0, 10.0, 3, 45.0

#: ``(series of a visit) -> names of each``, as protocols offer.
Finder = Callable[[Sequence[Facts]], list[list[Named]]]


def named_session(series: Sequence[Facts], finders: Sequence[Finder]) -> list[Facts]:
    """Return the series of one visit with their names, the surest first, and `Facts.aside_mm`.

    Parameters
    ----------
    series
        Of one visit.
    finders
        Of the protocols.

    Where a folder that was taken for a visit holds stacks of several subjects, each series is named
    by itself.
    """
    if len(series) > 1 and is_mixed(series):
        return [facts for one in series for facts in named_session([one], finders)]
    found: list[list[Named]] = [_scout(facts) for facts in series]
    for finder in finders:
        for names, more in zip(found, finder(series), strict=True):
            names.extend(more)
    middle = _middle(series)
    return [
        replace(
            facts,
            named=tuple(sorted(names, key=lambda n: (-n.sure, n.name))),
            aside_mm=_aside_mm(facts, middle),
        )
        for facts, names in zip(series, found, strict=True)
    ]


def is_mixed(series: Sequence[Facts]) -> bool:
    """Whether a visit that was guessed from a folder holds moving stacks of several subjects.

    A subject has one stack in each direction; a second one is shifted to the side, or stands at a
    small angle to the first. Several slices, in one series or in parallel ones, are a stack.
    """
    moving = [
        f
        for f in series
        if f.guessed and f.oriented and f.n_frames >= _FRAMES and f.change >= _CHANGES
    ]
    groups: list[list[Facts]] = []
    for facts in moving:
        near = (g for g in groups if _angle_deg(g[0], facts) <= _PARALLEL_DEG)
        if (group := next(near, None)) is None:
            groups.append([facts])
        else:
            group.append(facts)
    stacks = [group for group in groups if sum(f.n_slices for f in group) >= _STACK]
    if any(_is_beside(group[0], f) for group in stacks for f in group[1:]):
        return True
    return any(_angle_deg(a[0], b[0]) < _NEAR_DEG for a, b in itertools.combinations(stacks, 2))


def _angle_deg(one: Facts, other: Facts) -> float:
    return math.degrees(math.acos(min(1.0, abs(float(one.normal @ other.normal)))))


def _is_beside(one: Facts, other: Facts) -> bool:
    """Whether two parallel series do not lie one above the other, or are two stacks."""
    off = other.centre_mm - one.centre_mm
    along = float(off @ one.normal)
    both = min(one.n_slices, other.n_slices) >= _STACK
    beside = float(np.linalg.norm(off - along * one.normal))
    return beside > _BESIDE_MM or (both and abs(along) > _BESIDE_MM)


def _middle(series: Sequence[Facts]) -> Floats:
    """Return the place that changes most in a visit, LPS; NaN where nothing does."""
    places = [f.change_mm for f in series if f.change >= _CHANGES and f.n_frames >= _FRAMES]
    places = [place for place in places if np.isfinite(place).all()]
    return np.median(places, axis=0) if places else np.full(3, np.nan)


def _aside_mm(facts: Facts, middle: Floats) -> float:
    if facts.n_slices > 1 or not facts.oriented or not np.isfinite(middle).all():
        return math.nan
    return abs(float(facts.normal @ (facts.centre_mm - middle)))


def _scout(facts: Facts) -> list[Named]:
    """Few thick single images in several directions are there for planning."""
    thick = facts.slice_mm >= 4.0
    single = facts.n_frames == 1 or facts.n_images <= 3 * facts.n_directions
    if facts.n_directions > 1 and thick and single and facts.n_images <= _MOST_SCOUT:
        return [Named(name="scout", sure=0.9, by=f"{facts.n_directions} directions")]
    return []


def best(facts: Facts) -> Named | None:
    """Return the name of a series on its own evidence; None where it is thin or contradictory."""
    if not facts.named or facts.named[0].sure < LEAST_SURE:
        return None
    first = facts.named[0]
    others = [n for n in facts.named[1:] if n.name != first.name]
    if others and others[0].sure > first.sure - LEAST_AHEAD:
        return None
    return first


@dataclass(kw_only=True)
class Votes:
    """Names of the series of one cluster.

    Attributes
    ----------
    n
        Series.
    names
        Name -> series with it.
    """

    n: int = 0
    names: Counter[str] = field(default_factory=Counter)

    def add(self, name: str) -> None:
        """Count one series; `UNKNOWN` for none."""
        self.n += 1
        if name != UNKNOWN:
            self.names[name] += 1

    def lent(self) -> str:
        """Return the name that the cluster lends to series without one; `UNKNOWN` for none."""
        if not self.names:
            return UNKNOWN
        name, count = min(self.names.items(), key=lambda item: (-item[1], item[0]))
        enough = count >= _LENDING and count >= _LENDING_SHARE * self.n
        return name if enough and count >= _AGREEING * self.names.total() else UNKNOWN


def final(own: Named | None, votes: Votes) -> Named:
    """Return the name of a series, given its own and those of its cluster.

    A series that contradicts a cluster of one name is unknown: one of the two is wrong.
    """
    lent = votes.lent()
    if own is None:
        if lent == UNKNOWN:
            return Named(name=UNKNOWN, sure=0.0, by="")
        return Named(name=lent, sure=_LENT, by="its cluster")
    if lent not in (UNKNOWN, own.name):
        return Named(name=UNKNOWN, sure=0.0, by=f"its cluster is {lent}, it looks like {own.name}")
    return own
