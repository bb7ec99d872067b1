"""Area under the ROC curve: within strata, with its variance, interval, and chance under the null.

Strata are what scores are compared within: the folds of a cross-validation, whose models' scores
need not share a scale. Without strata all is one stratum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats


@dataclass(frozen=True, kw_only=True)
class Auc:
    """An area under the ROC curve.

    Attributes
    ----------
    value
        Share of pairs of a positive and a negative of one stratum in which the positive scores
        higher, ties counted half; NaN without pairs.
    contributions : ndarray, shape (n,)
        Each row's part in the deviation; their squares add up to DeLong's variance (DeLong et al.
        1988, doi:10.2307/2531595).
    n_positive, n_negative
        Rows that are in some pair.
    """

    value: float
    contributions: NDArray[np.float64]
    n_positive: int
    n_negative: int

    @property
    def variance(self) -> float:
        """DeLong's variance; NaN without pairs."""
        return float((self.contributions**2).sum()) if self.value == self.value else math.nan


def auc(scores: ArrayLike, positive: ArrayLike, strata: ArrayLike | None = None) -> Auc:
    """Return the area under the ROC curve over all pairs within strata.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Finite; higher means positive.
    positive : array_like of bool, shape (n,)
        Which rows are.
    strata : array_like, shape (n,), optional
        Rows are compared with rows of their own stratum.

    Returns
    -------
    Auc
        ``value`` is NaN if no stratum has both kinds of rows.

    Examples
    --------
    >>> auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]).value
    0.75
    """
    values, is_positive = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    parts = np.zeros(len(values), dtype=int) if strata is None else np.asarray(strata)
    contributions = np.zeros(len(values))
    pairs = wins = 0.0
    n_positive = n_negative = 0
    for part in np.unique(parts):
        here = np.flatnonzero(parts == part)
        high, low = here[is_positive[here]], here[~is_positive[here]]
        if not (len(high) and len(low)):
            continue
        n_positive, n_negative = n_positive + len(high), n_negative + len(low)
        over, under = _placements(values[high], values[low])
        number = len(high) * len(low)
        pairs, wins = pairs + number, wins + over.sum() * len(low)
        contributions[high] = number * _centred(over)
        contributions[low] = number * _centred(under)
    value = wins / pairs if pairs else math.nan
    return Auc(
        value=float(value),
        contributions=contributions / max(pairs, 1.0),
        n_positive=n_positive,
        n_negative=n_negative,
    )


def _placements(
    high: NDArray[np.float64], low: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the others that each positive beats, and by which each negative is beaten."""
    ranks = stats.rankdata(np.concatenate([high, low]))
    over = (ranks[: len(high)] - stats.rankdata(high)) / len(low)
    under = 1.0 - (ranks[len(high) :] - stats.rankdata(low)) / len(high)
    return over, under


def _centred(placements: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations whose squares add up to the unbiased variance of the mean."""
    n = len(placements)
    return (placements - placements.mean()) / math.sqrt(n * max(n - 1, 1))


def null_variance(positive: ArrayLike, strata: ArrayLike | None = None) -> float:
    """Variance of the area where scores have nothing to do with the labels (Mann and Whitney)."""
    is_positive = np.asarray(positive, dtype=bool)
    parts = np.zeros(len(is_positive), dtype=int) if strata is None else np.asarray(strata)
    total, variance = 0.0, 0.0
    for part in np.unique(parts):
        here = is_positive[parts == part]
        high, low = int(here.sum()), int((~here).sum())
        total += high * low
        variance += high * low * (high + low + 1) / 12.0
    return variance / total**2 if total else math.nan


def interval(found: Auc, *, alpha: float = 0.05, inflation: float = 1.0) -> tuple[float, float]:
    """Return the confidence interval of an area.

    DeLong's variance on the logit scale. Where that says nothing (no pair, or hardly any, is out
    of order), the score-type interval of Newcombe (2006, doi:10.1002/sim.2324, method 5) is taken,
    which does not shrink to a point; the wider of the two always is.

    Parameters
    ----------
    found
        The area.
    alpha
        1 - confidence.
    inflation
        Factor on the standard error, where rows are not independent (cross-validation).

    Returns
    -------
    tuple of float
        Both NaN without pairs.
    """
    value, n, m = found.value, found.n_positive, found.n_negative
    if not (value == value and n and m):
        return math.nan, math.nan
    z = stats.norm.isf(alpha / 2) * inflation
    low, high = _newcombe(value, n, m, z)
    if 0.0 < value < 1.0:
        half = z * math.sqrt(found.variance) / (value * (1.0 - value))
        centre = math.log(value / (1.0 - value))
        low = min(low, float(stats.logistic.cdf(centre - half)))
        high = max(high, float(stats.logistic.cdf(centre + half)))
    return low, high


def _newcombe(value: float, n: int, m: int, z: float) -> tuple[float, float]:
    """Limits at which the observed area lies `z` standard errors away."""

    def error(area: float) -> float:
        spread = (1 - area) / (2 - area) + area / (1 + area)
        more = (n + m) / 2 - 1
        return math.sqrt(max(area * (1 - area) * (1 + more * spread), 0.0) / (n * m))

    def limit(end: float, sign: float) -> float:
        def beyond(area: float) -> float:
            return sign * (area - value) - z * error(area)

        # Just off the observed area: there the error is 0 where all pairs are in order.
        near = value + sign * 1e-9
        if sign * (end - near) <= 0 or beyond(end) <= 0:
            return end
        return float(optimize.brentq(beyond, near, end)) if beyond(near) < 0 else value

    return limit(0.0, -1.0), limit(1.0, 1.0)


def inflation_of_subjects(found: Auc, clusters: NDArray[np.intp] | None) -> float:
    """Return the factor on the standard error where subjects have several rows.

    Parameters
    ----------
    found
        The area.
    clusters : ndarray of int, shape (n,), optional
        Subject of each row; each row is one by default.
    """
    if clusters is None:
        return 1.0
    codes = np.unique(clusters, return_inverse=True)[1]
    if found.value in (0.0, 1.0):
        # Nothing is known of how rows of a subject hang together: as if they were one.
        return math.sqrt(len(codes) / (int(codes.max(initial=0)) + 1))
    if not found.variance > 0:
        return 1.0
    sums = np.bincount(codes, weights=found.contributions)
    return math.sqrt(max(float((sums**2).sum()) / found.variance, 1e-12))
