"""Confidence intervals: from bootstrap draws, and in closed form for proportions.

All bootstrap functions work down the columns of an array of draws (draws, K) and are exactly
antisymmetric: negating estimate and draws negates and swaps the limits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from popscan.stats.means import Floats

Limits = tuple[Floats, Floats]
#: Most that a bootstrap-t limit is farther from the estimate than Student's.
FARTHEST = 3.0


def percentile(draws: Floats, *, alpha: float) -> Limits:
    """Percentile interval.

    Parameters
    ----------
    draws : ndarray, shape (draws, K)
        NaN draws are left out.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : ndarray, shape (K,)
        NaN where no draw is finite.
    """
    k = draws.shape[1]
    return _quantiles(draws, np.full(k, alpha / 2), np.full(k, 1 - alpha / 2))


def expanded(alpha: float, n: int) -> float:
    """Return the level at which a percentile interval is as wide as Student's in small samples.

    Parameters
    ----------
    alpha : float
        Wanted 1 - confidence.
    n : int
        Size of the (smaller) group.

    Returns
    -------
    float
        Smaller than `alpha` (Hesterberg 2015, Am. Stat. 69, section 5).
    """
    if n < 2:
        return alpha
    reach = np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, 1 - alpha / 2)
    return float(2 * special.ndtr(-reach))


def bca(draws: Floats, estimate: ArrayLike, acceleration: ArrayLike, *, alpha: float) -> Limits:
    """Bias-corrected and accelerated interval (Efron 1987, JASA 82).

    Parameters
    ----------
    draws : ndarray, shape (draws, K)
        Bootstrap draws; NaN draws are left out.
    estimate : array, shape (K,)
        Estimate in the sample.
    acceleration : array, shape (K,)
        Sum of cubed influences over 6 times the 3/2 power of the sum of squared ones.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : ndarray, shape (K,)
        The percentile interval where no correction can be computed.
    """
    value = np.asarray(estimate, dtype=np.float64)
    finite = np.maximum(np.isfinite(draws).sum(axis=0), 1)
    below = (draws < value).sum(axis=0) + 0.5 * (draws == value).sum(axis=0)
    half = 0.5 / finite
    z0 = special.ndtri(np.clip(below / finite, half, 1 - half))
    a = np.nan_to_num(np.asarray(acceleration, dtype=np.float64))
    z = special.ndtri(alpha / 2)
    low = special.ndtr(z0 + (z0 + z) / (1 - a * (z0 + z)))
    high = special.ndtr(z0 + (z0 - z) / (1 - a * (z0 - z)))
    return _quantiles(draws, low, high)


def studentised(
    draws: Floats,
    draw_ses: Floats,
    estimate: ArrayLike,
    se: ArrayLike,
    *,
    alpha: float,
    freedom: ArrayLike | None = None,
) -> Limits:
    """Bootstrap-t interval: quantiles of ``(draw - estimate) / se of the draw``.

    Second-order accurate and, unlike the percentile interval, not too short in small groups. In
    very small ones, draws that happen to repeat a few values have hardly any spread and quantiles
    without end: limits lie at most `FARTHEST` times as far from the estimate as Student's.

    Parameters
    ----------
    draws, draw_ses : ndarray, shape (draws, K)
        Draws and their own standard errors; draws without spread are left out.
    estimate, se : array, shape (K,)
        Estimate and standard error in the sample.
    alpha : float
        1 - confidence.
    freedom : array, shape (K,), optional
        Degrees of freedom of Student's interval, which bounds this one.

    Returns
    -------
    low, high : ndarray, shape (K,)
        ``estimate`` twice where the sample has no spread; NaN where `se` is NaN.
    """
    value, spread = np.asarray(estimate, dtype=np.float64), np.asarray(se, dtype=np.float64)
    usable = draw_ses > 1e-9 * np.where(spread > 0, spread, 1.0)
    t = np.full(draws.shape, np.nan)
    np.divide(draws - value, draw_ses, out=t, where=usable)
    k = draws.shape[1]
    low, high = _quantiles(t, np.full(k, alpha / 2), np.full(k, 1 - alpha / 2))
    if freedom is not None:
        with np.errstate(invalid="ignore"):
            reach = FARTHEST * special.stdtrit(np.maximum(freedom, 1.0), 1 - alpha / 2)
        low, high = np.fmax(low, -reach), np.fmin(high, reach)
    flat = spread == 0
    return (
        np.where(flat, value, value - high * spread),
        np.where(flat, value, value - low * spread),
    )


def _quantiles(draws: Floats, low: Floats, high: Floats) -> Limits:
    """Quantiles with their own level in each column, linear between order statistics."""
    ordered = np.sort(draws, axis=0)  # NaN last
    finite = np.isfinite(ordered).sum(axis=0)
    columns = np.arange(draws.shape[1])
    limits = []
    for level in (low, high):
        with np.errstate(invalid="ignore"):
            position = np.where(np.isfinite(level), level, 0.5) * np.maximum(finite - 1, 0)
        below = np.floor(position).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(finite - 1, 0))
        share = position - below
        value = (1 - share) * ordered[below, columns] + share * ordered[above, columns]
        limits.append(np.where(finite > 0, value, np.nan))
    return limits[0], limits[1]


def median(values: Floats, *, alpha: float) -> tuple[float, float]:
    """Percentile bootstrap interval of the median, without drawing.

    In a bootstrap sample the rank of the median is that of the k-th of n uniforms, Beta(k, n - k +
    1), so the interval's ranks are quantiles of it (Efron 1979, section 3).

    Parameters
    ----------
    values : ndarray, shape (n,)
        Sorted, without NaN.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : float
        NaN without values.
    """
    n = len(values)
    if n == 0:
        return float("nan"), float("nan")
    k = (n + 1) / 2
    levels = special.betaincinv(k, n - k + 1, [alpha / 2, 1 - alpha / 2])
    low, high = np.minimum((levels * n).astype(np.intp), n - 1)
    return float(values[low]), float(values[high])


def wilson(events: int, n: int, *, alpha: float) -> tuple[float, float]:
    """Wilson score interval of a proportion; NaN for n = 0.

    Parameters
    ----------
    events, n : int
        Events among n.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : float
        Within 0..1.
    """
    if n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(events, n, alpha=alpha, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def risk_difference(
    events: int, n: int, events_reference: int, n_reference: int, *, alpha: float
) -> tuple[float, float]:
    """Newcombe's interval of a difference of proportions (Stat. Med. 1998, method 10).

    Parameters
    ----------
    events, n, events_reference, n_reference : int
        Events among all, in the group and in the reference.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : float
        NaN if either is empty.
    """
    if n == 0 or n_reference == 0:
        return float("nan"), float("nan")
    low, high = confint_proportions_2indep(
        events, n, events_reference, n_reference, method="newcomb", compare="diff", alpha=alpha
    )
    return float(low), float(high)


def risk_ratio(
    events: int, n: int, events_reference: int, n_reference: int, *, alpha: float
) -> tuple[float, float]:
    """Interval of a ratio of proportions, recovered from their Wilson limits.

    Method MOVER-R of Donner and Zou (Stat. Methods Med. Res. 2012); unlike the logarithmic
    interval it needs no correction where a group has no events.

    Parameters
    ----------
    events, n, events_reference, n_reference : int
        Events among all, in the group and in the reference.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : float
        `high` is infinite without events in the reference; NaN if there are no events at all or
        a group is empty.
    """
    if n == 0 or n_reference == 0 or events + events_reference == 0:
        return float("nan"), float("nan")
    p, q = events / n, events_reference / n_reference
    low_p, high_p = wilson(events, n, alpha=alpha)
    low_q, high_q = wilson(events_reference, n_reference, alpha=alpha)
    below, above = low_p * (2 * p - low_p), high_p * (2 * p - high_p)
    root = np.sqrt(max((p * q) ** 2 - below * high_q * (2 * q - high_q), 0.0))
    low = 0.0 if events == 0 else below / (p * q + root)
    if events_reference == 0:
        return float(low), float("inf")
    divisor = low_q * (2 * q - low_q)
    root = np.sqrt(max((p * q) ** 2 - above * divisor, 0.0))
    return float(low), float((p * q + root) / divisor)


def wilson_of_subjects(
    events: NDArray[np.bool_], clusters: NDArray[np.intp] | None, *, alpha: float
) -> tuple[float, float]:
    """Wilson interval of a share of rows of which subjects have several.

    The rows count as as many independent ones as have the variance that the shares of the subjects
    show (Rao and Scott 1992, Biometrics 48:577); where all rows are events, or none, as many as
    there are subjects.

    Parameters
    ----------
    events : ndarray of bool, shape (n,)
        What is counted.
    clusters : ndarray of int, shape (n,), optional
        Subject of each row; each row is one by default.
    alpha : float
        1 - confidence.

    Returns
    -------
    low, high : float
        Within 0..1; NaN for no rows.
    """
    n = len(events)
    if clusters is None or n == 0:
        return wilson(int(events.sum()), n, alpha=alpha)
    subjects = np.unique(clusters, return_inverse=True)[1]
    k, share = int(subjects.max()) + 1, float(events.mean())
    effective = float(k)
    if 0 < share < 1 and k > 1:
        residual = np.bincount(subjects, weights=events - share)
        variance = float((residual**2).sum()) / n**2 * k / (k - 1)
        effective = float(np.clip(share * (1 - share) / max(variance, 1e-300), 1.0, n))
    low, high = proportion_confint(share * effective, effective, alpha=alpha, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))
