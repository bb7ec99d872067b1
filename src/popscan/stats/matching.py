"""Adjustment by matched pairs."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from popscan.stats.means import Floats
from popscan.stats.problem import Adjusted, Problem, adjusted


def matching(problem: Problem) -> Adjusted:
    """Pairs matched on the propensity to be in the group, within 0.2 standard deviations.

    Each member of the group (the most typical of it first) gets the nearest free member of
    the reference (Austin 2011, Multivar. Behav. Res. 46); the gap is the mean difference within
    pairs: that of people like those in the group.

    Parameters
    ----------
    problem : Problem
        What to compare.

    Returns
    -------
    Adjusted
        ``extra`` holds ``pairs``, ``matched_pct`` (of the group), and the largest standardised
        difference of a confounder before and after (``smd_before``, ``smd_after``; below 0.1
        counts as balanced).
    """
    if problem.clusters is not None:
        return Adjusted(note="subjects repeat: pairs would not be independent")
    if problem.confounders.shape[1] == 0:
        return Adjusted(note="nothing to match on")
    logit = _propensity(problem)
    chosen, partners = _pair(logit, problem.group, 0.2 * float(logit.std()))
    extra = {
        "pairs": float(len(chosen)),
        "matched_pct": 100.0 * len(chosen) / max(int(problem.group.sum()), 1),
        "smd_before": _imbalance(problem, np.flatnonzero(problem.group),
                                 np.flatnonzero(~problem.group)),
        "smd_after": _imbalance(problem, chosen, partners),
    }  # fmt: skip
    if len(chosen) < 5:
        return Adjusted(note="fewer than 5 pairs: the groups do not overlap", extra=extra)
    difference = problem.y[chosen] - problem.y[partners]
    notes = []
    if extra["matched_pct"] < 80:
        notes.append(f"only {extra['matched_pct']:.0f}% of the group have a match")
    if extra["smd_after"] > 0.1:
        notes.append("confounders are not balanced by matching")
    se = float(difference.std(ddof=1) / np.sqrt(len(difference)))
    return adjusted(
        float(difference.mean()),
        se,
        len(difference) - 1.0,
        problem.alpha,
        "; ".join(notes),
        **extra,
    )


def _propensity(problem: Problem) -> Floats:
    """Log odds of being in the group given the confounders (weakly penalised)."""
    from sklearn.linear_model import LogisticRegression

    x = problem.confounders.to_numpy(dtype=float)
    spread = x.std(axis=0)
    standard = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    fit = LogisticRegression(C=100.0, max_iter=500).fit(standard, problem.group)
    return np.asarray(fit.decision_function(standard), dtype=np.float64)


def _pair(
    logit: Floats, group: NDArray[np.bool_], caliper: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Greedy pairs without replacement, hardest first; ties by position."""
    members = np.flatnonzero(group)
    members = members[np.argsort(-logit[members], kind="stable")]
    free = np.flatnonzero(~group)
    free = free[np.argsort(logit[free], kind="stable")]
    keys = logit[free].tolist()
    pool = free.tolist()
    chosen, partners = [], []
    for member in members.tolist():
        place = bisect_left(keys, logit[member])
        near = [i for i in (place - 1, place) if 0 <= i < len(keys)]
        if not near:
            break
        best = min(near, key=lambda i: abs(keys[i] - logit[member]))
        if abs(keys[best] - logit[member]) <= caliper:
            chosen.append(member)
            partners.append(pool.pop(best))
            keys.pop(best)
    return np.array(chosen, dtype=np.intp), np.array(partners, dtype=np.intp)


def _imbalance(problem: Problem, a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
    """Largest standardised mean difference of a confounder between two sets of rows."""
    if len(a) < 2 or len(b) < 2:
        return float("nan")
    x = problem.confounders.to_numpy(dtype=float)
    group = problem.group
    pooled = np.sqrt((x[group].var(axis=0) + x[~group].var(axis=0)) / 2)
    difference = np.abs(x[a].mean(axis=0) - x[b].mean(axis=0))
    return float(np.max(difference / np.where(pooled > 0, pooled, 1.0)))
