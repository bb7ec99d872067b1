"""Tests on ranks, and of several groups at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

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
    filled = [values for values in groups if len(values)]
    if len(filled) < 2:
        return PValue(p=float("nan"), name="kruskal-wallis")
    if np.ptp(np.concatenate(filled)) == 0:
        return PValue(p=1.0, name="kruskal-wallis")
    return PValue(p=float(stats.kruskal(*filled).pvalue), name="kruskal-wallis")


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
    sizes = np.array([len(values) for values in groups])
    p = np.full((len(groups), len(groups)), np.nan)
    if sizes.sum() < 2:
        return p
    n = int(sizes.sum())
    ranks = stats.rankdata(np.concatenate(list(groups)))
    _, ties = np.unique(ranks, return_counts=True)
    variance = n * (n + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (12 * (n - 1))
    parts = np.split(ranks, np.cumsum(sizes)[:-1])
    means = [part.mean() if len(part) else np.nan for part in parts]
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
