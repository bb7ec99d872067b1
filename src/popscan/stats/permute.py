"""Permutation tests of means, and the intervals that they imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from popscan.stats.effects import welch_freedom
from popscan.stats.means import Floats, Rows, moments

_FIRST_DRAWS = 1999

_MOST_DRAWS = 99_999

_MOST_WORK = 8_000_000


@dataclass(frozen=True, kw_only=True)
class PValue:
    """Outcome of one test.

    Attributes
    ----------
    p
        Two-sided; NaN if the test cannot be made.
    name
        What was done, for the table.
    """

    p: float
    name: str


def welch(group: Rows, reference: Rows) -> PValue:
    """Welch's t test of two means, linearised for repeated rows.

    Parameters
    ----------
    group, reference : Rows
        One outcome each.

    Returns
    -------
    PValue
        NaN with fewer than two rows in a group; p is 1 (0) if there is no spread and the means
        agree (differ).
    """
    a, b = moments(group), moments(reference)
    se = float(np.hypot(a.se, b.se)[0])
    difference = float((a.mean - b.mean)[0])
    if not np.isfinite(se):
        return PValue(p=float("nan"), name="welch t")
    if se == 0:
        return PValue(p=float(difference == 0), name="welch t")
    freedom = float(welch_freedom(a.se, a.n_rows, b.se, b.n_rows)[0])
    return PValue(p=float(2 * stats.t.sf(abs(difference / se), freedom)), name="welch t")


def permutation(group: Rows, reference: Rows, *, rng: np.random.Generator) -> PValue:
    """Permute group membership under Welch's statistic, counting the sample itself.

    Only the smaller group is drawn (what is left is the other), so 30 subjects against 30,000
    cost no more than against 30. A first round of 1,999 draws is followed by up to 99,999 where
    fewer than 10 draws were as extreme, so that a small p survives correction.

    Parameters
    ----------
    group, reference : Rows
        One outcome each, without missing rows.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    PValue
        Twice the smaller tail, each ``(1 + as extreme) / (1 + draws)``, at most 1.
    """
    small, large = sorted((group, reference), key=lambda rows: len(rows.totals))
    if len(small.totals) < 2:
        return PValue(p=float("nan"), name="permutation (welch t)")
    totals = np.concatenate([small.totals, large.totals])[:, 0]
    counts = np.concatenate([small.counts, large.counts])[:, 0]
    totals = totals - totals.sum() / counts.sum() * counts
    n, k = len(totals), len(small.totals)
    observed = float(_split_t(totals, counts, np.arange(k)[None])[0])
    if not np.isfinite(observed):
        return welch(group, reference)
    extreme, draws = _tail(_split_draws(totals, counts, k, _FIRST_DRAWS, rng), observed)
    more = min(_MOST_DRAWS, _MOST_WORK // max(min(n, 4 * k), 1))
    if extreme < 10 and more > _FIRST_DRAWS:
        extreme, draws = _tail(_split_draws(totals, counts, k, more, rng), observed)
    return PValue(p=min(1.0, 2 * (1 + extreme) / (1 + draws)), name="permutation (welch t)")


def _tail(t: Floats, observed: float) -> tuple[int, int]:
    """Count the draws in the smaller tail, and all draws."""
    margin = 1e-9 * abs(observed)
    return min(int((t >= observed - margin).sum()), int((t <= observed + margin).sum())), len(t)


def _split_draws(
    totals: Floats, counts: Floats, k: int, draws: int, rng: np.random.Generator
) -> Floats:
    """Draw Welch's statistic of random splits: k rows against the rest.

    The same whatever the order of rows; with halves of equal size each split counts both ways,
    since either half may be called the group.
    """
    order = np.lexsort((counts, totals))
    totals, counts = totals[order], counts[order]
    n = len(totals)
    block = max(1, 500_000 // max(n if 4 * k >= n else k, 1))
    parts = []
    for start in range(0, draws, block):
        chosen = subsets(n, k, min(block, draws - start), rng=rng)
        parts.append(_split_t(totals, counts, chosen))
    t = np.concatenate(parts)
    t = t[np.isfinite(t)]
    return np.concatenate([t, -t]) if 2 * k == n else t


def _split_t(totals: Floats, counts: Floats, chosen: NDArray[np.intp]) -> Floats:
    """Welch's statistic of chosen rows against the rest, for each row of `chosen`."""
    k, n = chosen.shape[1], len(totals)
    ones = bool((counts == 1).all())  # one value a row: three of the five sums are known
    columns = [totals, totals * totals]
    columns += [] if ones else [counts, totals * counts, counts * counts]
    parts = [column[chosen].sum(axis=1) for column in columns]
    if ones:
        parts += [np.full(len(chosen), float(k)), parts[0], np.full(len(chosen), float(k))]
        columns += [counts, totals, counts]
    rest = [column.sum() - part for column, part in zip(columns, parts, strict=True)]
    mean_a, square_a = _mean_and_square(parts, k)
    mean_b, square_b = _mean_and_square(rest, n - k)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (mean_a - mean_b) / np.sqrt(square_a + square_b)


def _mean_and_square(sums: Sequence[Floats], n: int) -> tuple[Floats, Floats]:
    """Mean and squared standard error from sums of x1, x1*x1, x0, x1*x0, x0*x0."""
    s1, s11, s0, s10, s00 = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = s1 / s0
        squares = np.maximum(s11 - 2 * mean * s10 + mean**2 * s00, 0.0)
        return mean, squares * n / (n - 1) / s0**2


def subsets(n: int, k: int, draws: int, *, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw subsets of k out of n without replacement, all at once.

    Parameters
    ----------
    n, k, draws : int
        Population, subset size, number of subsets.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of intp, shape (draws, k)
        Each row holds distinct numbers of 0..n-1; order within a row means nothing.
    """
    if 4 * k >= n:
        keys = rng.random((draws, n), dtype=np.float32)
        return np.argpartition(keys, k - 1, axis=1)[:, :k] if k < n else np.argsort(keys, axis=1)
    chosen = np.sort(rng.integers(0, n, size=(draws, k)), axis=1)
    while True:
        # By symmetry among the n, redrawing repeats until none is left is uniform over subsets.
        repeated = np.zeros(chosen.shape, dtype=bool)
        repeated[:, 1:] = chosen[:, 1:] == chosen[:, :-1]
        rows = np.flatnonzero(repeated.any(axis=1))
        if len(rows) == 0:
            return chosen
        fresh = chosen[rows]
        fresh[repeated[rows]] = rng.integers(0, n, size=int(repeated.sum()))
        chosen[rows] = np.sort(fresh, axis=1)


def permutation_interval(
    group: Rows, reference: Rows, *, alpha: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the interval of a gap from the permutation distribution of its t statistic.

    As Student's, but with quantiles of Welch's statistic over random splits of the pooled
    residuals: a small group borrows the shape of the distribution (its skewness, the odd failed
    case that 20 subjects happen not to hold) from the large one, which no bootstrap of it can.

    Parameters
    ----------
    group, reference : Rows
        One outcome each, without missing rows.
    alpha : float
        1 - confidence.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    low, high : float
        NaN below two rows; the gap twice if neither group has spread.
    """
    mine, theirs = moments(group), moments(reference)
    gap, se = float((mine.mean - theirs.mean)[0]), float(np.hypot(mine.se, theirs.se)[0])
    if not se > 0:
        return (gap, gap) if se == 0 else (float("nan"), float("nan"))
    residuals = [
        rows.totals[:, 0] - moment.mean[0] * rows.counts[:, 0]
        for rows, moment in ((group, mine), (reference, theirs))
    ]
    totals = np.concatenate(residuals)
    counts = np.concatenate([group.counts, reference.counts])[:, 0]
    k = min(map(len, residuals))
    t = _split_draws(totals, counts, k, _FIRST_DRAWS, rng)
    if len(t) == 0:
        return float("nan"), float("nan")
    if len(residuals[0]) > k:  # draws are of the smaller group, which is the reference
        t = -t
    low, high = np.quantile(t, [alpha / 2, 1 - alpha / 2])
    return gap - float(high) * se, gap - float(low) * se
