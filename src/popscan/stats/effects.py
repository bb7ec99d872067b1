"""Effect sizes, and the smallest difference that a comparison could have shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from popscan.stats.means import Floats


def hedges_g(group: Floats, reference: Floats) -> float:
    """Return the standardised mean difference, corrected for small samples (Hedges 1981).

    Parameters
    ----------
    group, reference : ndarray, shape (n,), (m,)
        Values; NaN are left out.

    Returns
    -------
    float
        Positive when the group's mean is higher; NaN below two values or without spread.
    """
    a, b = group[np.isfinite(group)], reference[np.isfinite(reference)]
    freedom = len(a) + len(b) - 2
    if len(a) < 2 or len(b) < 2:
        return float("nan")
    pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom
    if pooled <= 0:
        return float("nan")
    log_correction = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    correction = np.exp(log_correction) / np.sqrt(freedom / 2)
    return float((a.mean() - b.mean()) / np.sqrt(pooled) * correction)


def cliffs_delta(group: Floats, reference: Floats) -> float:
    """Return P(group > reference) - P(group < reference), in O(n log n) (Cliff 1993).

    Parameters
    ----------
    group, reference : ndarray, shape (n,), (m,)
        Values; NaN are left out.

    Returns
    -------
    float
        -1..1; NaN if either is empty.
    """
    a, b = (np.sort(values[np.isfinite(values)]) for values in (group, reference))
    return cliffs_delta_sorted(a, b)


def cliffs_delta_sorted(group: Floats, reference: Floats) -> float:
    """Return what `cliffs_delta` does, of values in order and without NaN.

    Parameters
    ----------
    group, reference : ndarray, shape (n,), (m,)
        Ascending values.

    Returns
    -------
    float
        -1..1; NaN if either is empty.
    """
    a, b = group, reference
    if len(a) == 0 or len(b) == 0:
        return float("nan")
    smaller = np.searchsorted(b, a, side="left").sum(dtype=np.float64)
    not_larger = np.searchsorted(b, a, side="right").sum(dtype=np.float64)
    return float((smaller + not_larger) / (len(a) * len(b)) - 1)


def welch_freedom(
    se: ArrayLike, n: ArrayLike, se_reference: ArrayLike, n_reference: ArrayLike
) -> Floats:
    """Return Welch and Satterthwaite's degrees of freedom of a difference of means.

    Parameters
    ----------
    se, se_reference : array
        Standard errors of the two means.
    n, n_reference : array
        Group sizes.

    Returns
    -------
    ndarray
        NaN where a group has fewer than two values or neither has spread.
    """
    a, b = np.square(np.asarray(se, float)), np.square(np.asarray(se_reference, float))
    na, nb = np.asarray(n, float), np.asarray(n_reference, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = (a + b) ** 2 / (a**2 / (na - 1) + b**2 / (nb - 1))
    return np.where(np.isfinite(freedom), freedom, np.nan)


def min_detectable_gap(
    se: ArrayLike,
    n: ArrayLike,
    se_reference: ArrayLike,
    n_reference: ArrayLike,
    *,
    alpha: float,
    power: float = 0.8,
) -> Floats:
    """Return the smallest true difference that a two-sided Welch test finds with `power`.

    Parameters
    ----------
    se, se_reference : array
        Standard errors of the two means.
    n, n_reference : array
        Group sizes.
    alpha : float
        Level of the test; the level after correction when many tests are made.
    power : float
        Wanted probability of finding it.

    Returns
    -------
    ndarray
        In the outcome's unit; NaN where undefined. The t approximation
        ``(t_{1 - alpha/2} + t_power) * se`` is within 1% of the exact noncentral t above 10 degrees
        of freedom.
    """
    freedom = welch_freedom(se, n, se_reference, n_reference)
    total = np.hypot(np.asarray(se, float), np.asarray(se_reference, float))
    return (stats.t.ppf(1 - alpha / 2, freedom) + stats.t.ppf(power, freedom)) * total
