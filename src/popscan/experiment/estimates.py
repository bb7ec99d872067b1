"""Means and differences with intervals for two sources of chance.

A gap is uncertain for two reasons: other test subjects would give another one, and so would another
training. Both enter the intervals here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, or a difference between two groups.

    Attributes
    ----------
    value
        Over subjects and seeds.
    low, high
        Interval for other subjects and other seeds; with one seed for other subjects alone.
    seed_sd
        Standard deviation between the seeds; NaN for one seed.
    seed_low, seed_high
        Smallest and largest of the seeds.
    n_seeds
        How many there are.
    """

    value: float
    low: float
    high: float
    seed_sd: float
    seed_low: float
    seed_high: float
    n_seeds: int


def difference(values: Floats, members: NDArray[np.bool_], *, alpha: float = 0.05) -> Estimate:
    """Return group minus reference with an interval for both sources of chance.

    Parameters
    ----------
    values : ndarray, shape (seeds, subjects)
        One number per training and test subject; NaN where missing.
    members : ndarray of bool, shape (subjects,)
        Who is of the group; the others are the reference.
    alpha
        1 - confidence.

    Returns
    -------
    Estimate
        The variance is that of the difference of two means over subjects (Welch) plus that over
        seeds; degrees of freedom after Satterthwaite. One seed: subjects alone. NaN without
        subjects on either side.
    """
    seeds = np.array([_nanmean(row[members]) - _nanmean(row[~members]) for row in values])
    by_subject = np.array([_nanmean(column) for column in values.T])
    sides = by_subject[members], by_subject[~members]
    return _estimate(_nanmean(sides[0]) - _nanmean(sides[1]), seeds, sides, alpha)


def average(values: Floats, *, alpha: float = 0.05) -> Estimate:
    """Return the mean over subjects and seeds with an interval for both sources of chance.

    Parameters
    ----------
    values : ndarray, shape (seeds, subjects)
        One number per training and test subject; NaN where missing.
    alpha
        1 - confidence.

    Returns
    -------
    Estimate
        As of `difference`, of one group alone.
    """
    seeds = np.array([_nanmean(row) for row in values])
    by_subject = np.array([_nanmean(column) for column in values.T])
    return _estimate(_nanmean(by_subject), seeds, [by_subject], alpha)


def _estimate(value: float, seeds: Floats, sides: Sequence[Floats], alpha: float) -> Estimate:
    variances, freedom = [], []
    for side in sides:
        own = side[np.isfinite(side)]
        variances.append(float(np.var(own, ddof=1)) / own.size if own.size > 1 else np.nan)
        freedom.append(own.size - 1.0)
    good = seeds[np.isfinite(seeds)]
    seed_sd = float(np.std(good, ddof=1)) if good.size > 1 else np.nan
    if good.size > 1:
        variances.append(seed_sd**2 / good.size)
        freedom.append(good.size - 1.0)
    total = float(np.sum(variances))
    below = sum(v**2 / f for v, f in zip(variances, freedom, strict=True) if f > 0)
    half = (
        float(stats.t.ppf(1 - alpha / 2, total**2 / below)) * np.sqrt(total) if below > 0 else 0.0
    )
    half = half if np.isfinite(total) else np.nan
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        seed_sd=seed_sd,
        seed_low=float(good.min()) if good.size else np.nan,
        seed_high=float(good.max()) if good.size else np.nan,
        n_seeds=int(good.size),
    )


def _nanmean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
