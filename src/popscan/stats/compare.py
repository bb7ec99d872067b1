"""Tests of a group against a reference.

The default for means is Welch's statistic with its permutation distribution where groups are small
or values skewed (Janssen 1997; Chung and Romano 2013: exact when the groups have the same
distribution, right in the limit when only their means agree), and with Student's t elsewhere.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from popscan.stats.means import Rows
from popscan.stats.permute import PValue, permutation, welch

#: Largest smaller group that is permuted; beyond it Student's t serves.
PERMUTE_UP_TO = 500


def small_for_skewness(group: Rows, reference: Rows) -> bool:
    """Whether Student's t cannot be trusted for these two groups.

    It needs about ``25 * skewness**2`` values (Cochran 1977, section 2.15), and never fewer than
    100 here; the skewness of the pooled values decides, which permutations leave as it is.

    Parameters
    ----------
    group, reference : Rows
        One outcome each, without missing rows.

    Returns
    -------
    bool
        Never true above `PERMUTE_UP_TO` rows in the smaller group.
    """
    smaller = min(len(group.totals), len(reference.totals))
    if smaller > PERMUTE_UP_TO:
        return False
    pooled = np.concatenate([group.totals, reference.totals])[:, 0]
    counts = np.concatenate([group.counts, reference.counts])[:, 0]
    values = pooled / counts
    spread = values.std()
    skewness = float(((values - values.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
    return bool(smaller <= max(100.0, 25 * skewness**2))


def mean_test(group: Rows, reference: Rows, *, rng: np.random.Generator) -> PValue:
    """Permutation where the groups are `small_for_skewness`, else Welch's t.

    Groups that clearly scatter differently are not exchangeable, and a permutation of them may
    find too much: there the larger p of both tests counts.

    Parameters
    ----------
    group, reference : Rows
        One outcome each, without missing rows.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    PValue
        With the name of the test that was made.
    """
    by_t = welch(group, reference)
    if not small_for_skewness(group, reference):
        return by_t
    permuted = permutation(group, reference, rng=rng)
    if by_t.p > permuted.p and spreads_differ(group, reference):
        return PValue(p=by_t.p, name="welch t (spreads differ)")
    return permuted


def spreads_differ(group: Rows, reference: Rows, *, level: float = 0.01) -> bool:
    """Whether two groups clearly scatter differently (Brown and Forsythe 1974, about medians).

    Parameters
    ----------
    group, reference : Rows
        One outcome each, without missing rows.
    level : float
        Level of the test.

    Returns
    -------
    bool
        False with fewer than three rows in a group, or without any spread.
    """
    values, others = ((rows.totals / rows.counts)[:, 0] for rows in (group, reference))
    if min(len(values), len(others)) < 3 or np.ptp(values) + np.ptp(others) == 0:
        return False
    return bool(stats.levene(values, others, center="median").pvalue < level)


def proportions(events: int, n: int, events_reference: int, n_reference: int) -> PValue:
    """Fisher's exact test where an expected count is below 5, else chi-squared.

    Parameters
    ----------
    events, n, events_reference, n_reference : int
        Events among all, in the group and in the reference.

    Returns
    -------
    PValue
        NaN if a group is empty; p is 1 without any (or with nothing but) events.
    """
    if n == 0 or n_reference == 0:
        return PValue(p=float("nan"), name="fisher exact")
    table = np.array(
        [[events, n - events], [events_reference, n_reference - events_reference]], dtype=float
    )
    expected = table.sum(axis=0) * table.sum(axis=1)[:, None] / table.sum()
    if expected.min() < 5:
        return PValue(p=float(stats.fisher_exact(table).pvalue), name="fisher exact")
    p = stats.chi2_contingency(table, correction=False).pvalue
    return PValue(p=float(p), name="chi-squared")
