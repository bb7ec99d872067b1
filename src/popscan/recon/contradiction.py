"""Which shots of a slice contradict the others: a search for what explains all of them.

A shot is predicted above all by its neighbours. Two neighbouring shots that came late together
therefore explain each other, and seem to contradict those beside them. So shots are left out
alone and with their neighbours, and a set counts as found only where, without it, each of its
shots lies in another phase and each of the rest in its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from popscan.recon.agreement import Agreement, agreement_of
from popscan.recon.predicted import Hybrid, predicted_lines

#: So many standard deviations of what noise does to a score are taken off first.
N_SIGMA = 4.0
#: A shot lies in its own phase where no other scores more than this.
SURE = -0.4
#: Sets of shots of a larger share of the lines are not looked for beyond single shots.
LARGE = 0.3
#: Rounds at most; share of the worst score at which more than the worst is left out at once.
N_ROUNDS, NEARLY = 6, 0.75
#: Sets of neighbouring shots with which a search starts, those that score highest.
N_STARTS = 4

Units = NDArray[np.int64]
Lines = NDArray[np.bool_]


def settled(hybrid: Hybrid, units: Units, out: set[int], *, threshold: float) -> set[int]:
    """Return the units that stay found when what was found is left out and all are judged anew.

    Parameters
    ----------
    hybrid
        The slice.
    units : ndarray of int, shape (t, y)
        What is judged as one; -1 where nothing was acquired.
    out
        Units to begin with.
    threshold
        As `popscan.recon.rejection.THRESHOLD`.

    Returns
    -------
    set of int
        Lines beside spoilt ones, which they mispredict, come back from round to round.
    """
    numbers = [int(n) for n in np.unique(units[units >= 0])]
    return settled_folds(hybrid, units, [[n] for n in numbers], out, threshold=threshold)


def settled_folds(
    hybrid: Hybrid, units: Units, folds: list[list[int]], out: set[int], *, threshold: float
) -> set[int]:
    """As `settled`; units of a fold are predicted together."""
    seen = list[set[int]]()
    for _ in range(N_ROUNDS):
        found = _scores(hybrid, units, folds, out)
        # What is new must be nearly as bad as the worst; the rest may be its neighbours.
        worst = max((score for n, score in found.items() if n not in out), default=-1.0)
        fresh = max(threshold, NEARLY * worst)
        new = {n for n, score in found.items() if score > (threshold if n in out else fresh)}
        if new == out or new in seen:
            break
        seen.append(out)
        out = new
    return out


def contradicting(hybrid: Hybrid, units: Units, *, threshold: float) -> set[int] | None:
    """Return the shots that contradict the others; None where which they are is not clear.

    Parameters
    ----------
    hybrid
        The slice.
    units : ndarray of int, shape (t, y)
        The shot of each line; -1 where nothing was acquired.
    threshold
        As `popscan.recon.rejection.THRESHOLD`.

    Returns
    -------
    set of int, or None
        Empty where every shot lies in its own phase.
    """
    if _explains(hybrid, units, set(), threshold):
        return set()
    tried, found = set[frozenset[int]](), set[frozenset[int]]()
    for out in _candidates(hybrid, units, threshold):
        if out and frozenset(out) not in tried:
            tried.add(frozenset(out))
            if _explains(hybrid, units, out, threshold):
                found.add(frozenset(_fewest(hybrid, units, out, threshold)))
    # Two sets that explain all: nothing says which of them is wrong.
    return set(found.pop()) if len(found) == 1 else None


def _fewest(hybrid: Hybrid, units: Units, out: set[int], threshold: float) -> set[int]:
    """Return the shots without those that need not be among them: right ones between wrong ones."""
    for n in sorted(out):
        if len(out) > 1 and _explains(hybrid, units, out - {n}, threshold):
            return _fewest(hybrid, units, out - {n}, threshold)
    return out


def _candidates(hybrid: Hybrid, units: Units, threshold: float) -> Iterator[set[int]]:
    """Yield sets of shots that may be the wrong ones, the likeliest first."""
    yield settled(hybrid, units, set(), threshold=threshold)
    scored = []
    for group in _neighbours(units):
        inside = np.isin(units, list(group))
        found = agreement_of(hybrid, predicted_lines(hybrid, (units >= 0) & ~inside))
        scored.append((found.score(inside, n_sigma=N_SIGMA), sorted(group)))
    starts = [set(group) for _, group in sorted(scored, reverse=True)[:N_STARTS]]
    yield from starts
    for group in starts:
        yield settled(hybrid, units, group, threshold=threshold)


def _neighbours(units: Units) -> list[set[int]]:
    """Return pairs and threes of shots that lie side by side, up to the share `LARGE`."""
    counts = dict[tuple[int, int], int]()
    for frame in units:
        lines = frame[frame >= 0]
        for a, b in pairwise(lines):
            if a != b:
                key = (int(min(a, b)), int(max(a, b)))
                counts[key] = counts.get(key, 0) + 1
    most = max(counts.values(), default=0)
    pairs = [set(pair) for pair, n in counts.items() if 2 * n >= most]
    threes = [a | b for a, b in combinations(pairs, 2) if a & b]
    n_all = np.count_nonzero(units >= 0)
    groups = {frozenset(group) for group in pairs + threes}
    small = [g for g in groups if np.isin(units, list(g)).sum() < LARGE * n_all]
    return [set(g) for g in sorted(small, key=sorted)]


def _explains(hybrid: Hybrid, units: Units, out: set[int], threshold: float) -> bool:
    """Return whether without some shots they are in another phase, and the rest in their own."""
    kept = (units >= 0) & ~np.isin(units, sorted(out))
    numbers = [int(n) for n in np.unique(units[kept])]
    moved = hybrid
    if out:
        found = agreement_of(hybrid, predicted_lines(hybrid, kept))
        if any(found.score(units == n, n_sigma=N_SIGMA) <= threshold for n in out):
            return False
        moved = _moved(hybrid, units, out, found)
    for n in numbers:
        own = units == n
        alone = agreement_of(hybrid, predicted_lines(hybrid, kept & ~own))
        if alone.score(own, n_sigma=N_SIGMA) <= SURE:
            continue
        # Between two shots left out nothing predicts it: they stand in their true phase.
        if moved is hybrid:
            return False
        there = moved.mask & ~own
        if agreement_of(moved, predicted_lines(moved, there)).score(own, n_sigma=N_SIGMA) > SURE:
            return False
    return True


def _moved(hybrid: Hybrid, units: Units, out: set[int], found: Agreement) -> Hybrid:
    """Return the slice with the lines of some shots in the phase that explains them best."""
    n_t = len(units)
    kept = (units >= 0) & ~np.isin(units, sorted(out))
    data, mask = hybrid.data * 0, kept.copy()
    data[0].permute(0, 3, 1, 2)[kept] = hybrid.data[0].permute(0, 3, 1, 2)[kept]
    for n in sorted(out):
        delay = found.delay(units == n)
        for t, y in zip(*np.nonzero(units == n), strict=True):
            phase = (t + delay) % n_t
            if not mask[phase, y]:
                data[0, phase, :, :, y] = hybrid.data[0, t, :, :, y]
                mask[phase, y] = True
    return Hybrid(data=data, mask=mask, maps=hybrid.maps)


def _scores(
    hybrid: Hybrid, units: Units, folds: list[list[int]], out: set[int]
) -> dict[int, float]:
    """Return how much better another phase explains each unit, from -1 to about 1."""
    scores = {}
    kept = (units >= 0) & ~np.isin(units, sorted(out))
    whole: Agreement | None = None
    for fold in folds:
        inside = np.isin(units, fold)
        if (kept & inside).any():
            found = agreement_of(hybrid, predicted_lines(hybrid, kept & ~inside))
        else:  # all of it is left out already
            whole = whole or agreement_of(hybrid, predicted_lines(hybrid, kept))
            found = whole
        for n in fold:
            scores[n] = found.score(units == n, n_sigma=N_SIGMA)
    return scores
