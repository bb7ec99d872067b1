"""How often chance makes a gap of a classifier's measure as large: permutation in small groups.

Standard errors and limits of seven positives are too small a basis of a p value: of gaps that are
none, too many come out significant. Group membership is permuted within positives and within
negatives, so that how often each group has positives plays no part. Where scores of positives, and
of negatives, are distributed equally in both groups the p value is exact (Lehmann and Romano 2005,
section 15.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from popscan.fairness.prediction_measures import Side
from popscan.fairness.prediction_outcomes import Prediction
from popscan.stats import permute
from popscan.stats import prediction as scoring
from popscan.stats.means import Floats

#: Fewer subjects with a positive, or with a negative, in either group: membership is permuted.
FEW = 50
#: Draws at first, and where fewer than ten of them are as extreme.
_DRAWS, _MORE_DRAWS = 1999, 19_999
#: Weights of one block of draws, and most that are drawn in a second round.
_BLOCK, _MOST_WORK = 2_000_000, 20_000_000

_Measure = Callable[[Floats], Floats]
_MEASURES: Mapping[str, Callable[[Prediction, Floats, NDArray[np.bool_]], _Measure]] = {
    "auc": lambda _, score, positive: lambda w: scoring.roc_auc(score, positive, w),
    "balanced_accuracy": lambda prediction, score, positive: (
        lambda w: scoring.balanced_accuracy(score >= prediction.threshold, positive, w)
    ),
    "calibration_slope": lambda _, score, positive: (
        lambda w: scoring.calibration_slope(score, positive, w)
    ),
}


def p_by_chance(
    prediction: Prediction, measure: str, group: Side, reference: Side, *, seed: int
) -> float:
    """Return the two-sided p value of a gap by permutation of who is in the group.

    Parameters
    ----------
    prediction
        A classifier.
    measure
        ``auc``, ``balanced_accuracy`` or ``calibration_slope``.
    group, reference
        Their complete rows. Subjects with several rows move with all of them, among those that have
        positives alone, negatives alone, or both.
    seed
        Of the draws.

    Returns
    -------
    float
        Twice the smaller tail, each ``(1 + as extreme) / (1 + draws)``, at most 1; a draw without a
        value counts as extreme. NaN of other measures, where both groups have `FEW` subjects or
        more of either kind, and where a subject is in both groups.
    """
    if measure not in _MEASURES or min(*group.n_either, *reference.n_either) >= FEW:
        return float("nan")
    subjects, members, strata = _subjects(group, reference)
    if members is None:
        return float("nan")
    score = np.concatenate([group.score, reference.score])
    positive = np.concatenate([group.positive, reference.positive])
    value = _MEASURES[measure](prediction, score, positive)

    def gaps(chosen: NDArray[np.bool_]) -> Floats:
        weights = chosen[:, subjects].astype(np.float64)
        return value(weights) - value(1.0 - weights)

    observed = float(gaps(members[None])[0])
    if not np.isfinite(observed):
        return float("nan")
    rng = np.random.default_rng([seed, group.first, reference.first, len(score)])
    p, extreme = _tail(gaps, observed, members, strata, _DRAWS, rng)
    more = min(_MORE_DRAWS, _MOST_WORK // len(score))
    if extreme < 10 and more > _DRAWS:
        p, _ = _tail(gaps, observed, members, strata, more, rng)
    return p


def _subjects(
    group: Side, reference: Side
) -> tuple[NDArray[np.intp], NDArray[np.bool_] | None, NDArray[np.intp]]:
    """Return the subject of each row, and of each subject whether in the group, and its stratum.

    No membership where a subject is in both groups.
    """
    n, m = len(group.score), len(reference.score)
    positive = np.concatenate([group.positive, reference.positive])
    in_group = np.arange(n + m) < n
    if group.clusters is None or reference.clusters is None:
        return np.arange(n + m), in_group, positive.astype(np.intp)
    names, subjects = np.unique(
        np.concatenate([group.clusters, reference.clusters]), return_inverse=True
    )
    size = len(names)
    rows, inside, events = (
        np.bincount(subjects, weights=w, minlength=size)
        for w in (np.ones(n + m), in_group, positive)
    )
    strata = np.where(events == 0, 0, np.where(events == rows, 1, 2)).astype(np.intp)
    both = (inside > 0) & (inside < rows)
    return subjects, None if both.any() else inside > 0, strata


def _tail(
    gaps: Callable[[NDArray[np.bool_]], Floats],
    observed: float,
    members: NDArray[np.bool_],
    strata: NDArray[np.intp],
    draws: int,
    rng: np.random.Generator,
) -> tuple[float, int]:
    """Return p, and how many draws are in the smaller tail."""
    high = low = 0
    margin = 1e-9 * (1 + abs(observed))
    size = max(1, _BLOCK // len(members))
    for start in range(0, draws, size):
        n = min(size, draws - start)
        chosen = np.zeros((n, len(members)), dtype=bool)
        for stratum in np.unique(strata):
            here = np.flatnonzero(strata == stratum)
            k = int(members[here].sum())
            if k:
                picked = here[permute.subsets(len(here), k, n, rng=rng)]
                np.put_along_axis(chosen, picked, True, axis=1)
        found = gaps(chosen)
        high += int((~(found < observed - margin)).sum())
        low += int((~(found > observed + margin)).sum())
    extreme = min(high, low)
    return min(1.0, 2 * (1 + extreme) / (1 + draws)), extreme
