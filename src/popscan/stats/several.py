"""Tests on ranks, and of several groups at once."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from popscan.stats.means import Floats
from popscan.stats.permute import PValue


def mann_whitney(group: Floats, reference: Floats) -> PValue:
    """Mann-Whitney U test; exact for small samples without ties.

    Parameters
    ----------
    group, reference : ndarray, shape (n,), (m,)
        Values without NaN.

    Returns
    -------
    PValue
        NaN if either is empty.
    """
    if len(group) == 0 or len(reference) == 0:
        return PValue(p=float("nan"), name="mann-whitney")
    if np.ptp(np.concatenate([group, reference])) == 0:
        return PValue(p=1.0, name="mann-whitney")
    return PValue(p=float(stats.mannwhitneyu(group, reference).pvalue), name="mann-whitney")


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Ranks of values among all that are compared.

    Attributes
    ----------
    ranks : ndarray, shape (n,)
        From 1; equal values share their mean.
    ties : float
        Sum of ``t**3 - t`` over the sets of t equal values.
    """

    ranks: Floats
    ties: float


def ranked(values: Floats) -> Ranked:
    """Rank values without NaN; each is sorted once for all tests of one outcome."""
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    first = np.flatnonzero(np.diff(ascending, prepend=np.nan) != 0)
    counts = np.diff(first, append=len(values)).astype(np.float64)
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(first + 1 + (counts - 1) / 2, counts.astype(np.intp))
    return Ranked(ranks=ranks, ties=float((counts**3 - counts).sum()))


def split(ranks: Floats, groups: Sequence[Sized]) -> list[Floats]:
    """Return joint ranks group by group, as the values were joined."""
    ends = np.cumsum([len(group) for group in groups], dtype=np.intp)
    return [ranks[end - len(group) : end] for end, group in zip(ends, groups, strict=True)]


def kruskal(groups: Sequence[Floats]) -> PValue:
    """Kruskal-Wallis test of several groups.

    Parameters
    ----------
    groups : list of ndarray
        Values of each group without NaN; empty groups are left out.

    Returns
    -------
    PValue
        NaN with fewer than two groups; 1 if all values are equal.
    """
    joint = ranked(np.concatenate([*groups, np.empty(0)]))
    return kruskal_of(split(joint.ranks, groups), joint.ties)


def kruskal_of(groups: Sequence[Floats], ties: float) -> PValue:
    """Kruskal-Wallis test on joint ranks.

    Parameters
    ----------
    groups : list of ndarray
        Ranks of each group among the values of all of them; empty groups are left out.
    ties : float
        As in `Ranked`.

    Returns
    -------
    PValue
        As `kruskal`.
    """
    filled = [ranks for ranks in groups if len(ranks)]
    n = sum(map(len, filled))
    if len(filled) < 2:
        return PValue(p=float("nan"), name="kruskal-wallis")
    if ties == float(n) ** 3 - n:
        return PValue(p=1.0, name="kruskal-wallis")
    squares = sum(float(ranks.sum()) ** 2 / len(ranks) for ranks in filled)
    statistic = (12.0 / (n * (n + 1)) * squares - 3 * (n + 1)) / (1 - ties / (n**3 - n))
    return PValue(p=float(special.chdtrc(len(filled) - 1, statistic)), name="kruskal-wallis")


def dunn(groups: Sequence[Floats]) -> Floats:
    """Dunn's test of every pair of groups on their joint ranks, with its correction for ties.

    Parameters
    ----------
    groups : sequence of ndarray
        Values of each group without NaN (Dunn 1964, Technometrics 6).

    Returns
    -------
    ndarray, shape (groups, groups)
        Two-sided p values, not corrected; NaN on the diagonal and for empty groups.
    """
    joint = ranked(np.concatenate([*groups, np.empty(0)]))
    return dunn_of(split(joint.ranks, groups), joint.ties)


def dunn_of(groups: Sequence[Floats], ties: float) -> Floats:
    """Dunn's test of every pair of groups.

    Parameters
    ----------
    groups : sequence of ndarray
        Ranks of each group among the values of all of them.
    ties : float
        As in `Ranked`.

    Returns
    -------
    ndarray, shape (groups, groups)
        Two-sided p values, not corrected; NaN on the diagonal and for empty groups.
    """
    sizes = np.array([len(values) for values in groups])
    p = np.full((len(groups), len(groups)), np.nan)
    if sizes.sum() < 2:
        return p
    n = int(sizes.sum())
    variance = n * (n + 1) / 12 - ties / (12 * (n - 1))
    means = [part.mean() if len(part) else np.nan for part in groups]
    for i in range(len(groups)):
        for j in range(len(groups)):
            if i != j and sizes[i] and sizes[j]:
                se = np.sqrt(max(variance, 0.0) * (1 / sizes[i] + 1 / sizes[j]))
                difference = abs(means[i] - means[j])
                p[i, j] = 2 * stats.norm.sf(difference / se) if se > 0 else 1.0
    return p


def homogeneity(events: list[int], sizes: list[int]) -> PValue:
    """Chi-squared test that several proportions are equal.

    Parameters
    ----------
    events, sizes : list of int
        Events among all, per group; empty groups are left out.

    Returns
    -------
    PValue
        NaN with fewer than two groups; 1 without any (or with nothing but) events.
    """
    pairs = [(e, n - e) for e, n in zip(events, sizes, strict=True) if n > 0]
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    if len(table) < 2:
        return PValue(p=float("nan"), name="chi-squared")
    if (table.sum(axis=0) == 0).any():
        return PValue(p=1.0, name="chi-squared")
    return PValue(
        p=float(stats.chi2_contingency(table, correction=False).pvalue), name="chi-squared"
    )
