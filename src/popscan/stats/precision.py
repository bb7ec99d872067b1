"""How well a measurement repeats: limits of agreement, within-subject SD, intraclass correlation.

Sources: Bland and Altman, Lancet 1986;327:307 and Stat Methods Med Res 1999;8:135; Shrout and
Fleiss, Psychol Bull 1979;86:420 (ICC(1,1): one-way random effects, one measurement); Searle,
Casella and McCulloch, Variance Components, 1992 (mean group size of unbalanced data).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

#: Fewest subjects with two visits for which anything is reported.
FEWEST = 3
#: Limits of agreement are so many SDs of the difference away from the bias.
LIMIT = 1.96


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Bland-Altman analysis of two visits; NaN where there are fewer than `FEWEST` pairs.

    Attributes
    ----------
    n
        Pairs.
    bias, bias_low, bias_high
        Mean of second less first visit, with its interval (Student's t).
    sd
        Of the differences.
    loa_low, loa_high
        Limits of agreement: bias -+ 1.96 SD.
    loa_margin
        Half-width of the interval of either limit.
    slope, slope_p
        Change of the difference per unit of the pair's mean (least squares), and its p value.
    """

    n: int
    bias: float = np.nan
    bias_low: float = np.nan
    bias_high: float = np.nan
    sd: float = np.nan
    loa_low: float = np.nan
    loa_high: float = np.nan
    loa_margin: float = np.nan
    slope: float = np.nan
    slope_p: float = np.nan


@dataclass(frozen=True, kw_only=True)
class Repeatability:
    """One-way analysis of variance of repeated measurements; NaN where there are too few.

    Attributes
    ----------
    n_subjects, n_values
        Subjects with at least two values, and their values.
    mean
        Of all these values.
    sd_within, sd_within_low, sd_within_high
        Within-subject SD with its interval (chi squared; any number of visits).
    cov_pct
        Coefficient of variation: within-subject SD over the mean; NaN unless all values are
        positive.
    repeatability
        Difference that two measurements of one subject exceed in 5%: 1.96 sqrt(2) SD.
    icc, icc_low, icc_high
        ICC(1,1); its interval is exact where all subjects have as many visits.
    """

    n_subjects: int
    n_values: int
    mean: float = np.nan
    sd_within: float = np.nan
    sd_within_low: float = np.nan
    sd_within_high: float = np.nan
    cov_pct: float = np.nan
    repeatability: float = np.nan
    icc: float = np.nan
    icc_low: float = np.nan
    icc_high: float = np.nan


def limits_of_agreement(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Agreement:
    """Compare two visits of the same subjects.

    Parameters
    ----------
    first, second : array_like, shape (n,)
        Values; pairs with a missing one (NaN) are left out.
    level
        Of the intervals.
    """
    pairs = np.column_stack([np.asarray(first, float), np.asarray(second, float)])
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    n = len(pairs)
    if n < FEWEST:
        return Agreement(n=n)
    difference, mean = pairs[:, 1] - pairs[:, 0], pairs.mean(axis=1)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    t = float(stats.t.ppf((1 + level) / 2, n - 1))
    slope = p = np.nan
    if np.ptp(mean) > 0 and sd > 0:
        line = stats.linregress(mean, difference)
        slope, p = float(line.slope), float(line.pvalue)
    return Agreement(
        n=n,
        bias=bias,
        bias_low=bias - t * sd / np.sqrt(n),
        bias_high=bias + t * sd / np.sqrt(n),
        sd=sd,
        loa_low=bias - LIMIT * sd,
        loa_high=bias + LIMIT * sd,
        loa_margin=t * sd * float(np.sqrt(1 / n + LIMIT**2 / (2 * (n - 1)))),
        slope=slope,
        slope_p=p,
    )


def repeatability(values: ArrayLike, subjects: ArrayLike, *, level: float = 0.95) -> Repeatability:
    """Split the variance of repeated measurements into that between and that within subjects.

    Parameters
    ----------
    values : array_like, shape (n,)
        One measurement each; NaN are left out.
    subjects : array_like, shape (n,)
        Whose it is.
    level
        Of the intervals.
    """
    numbers, codes, sizes = _repeated(np.asarray(values, float), np.asarray(subjects))
    n, total = len(sizes), len(numbers)
    if n < FEWEST:
        return Repeatability(n_subjects=n, n_values=total)
    means = np.bincount(codes, weights=numbers) / sizes
    grand = float(numbers.mean())
    within = float(((numbers - means[codes]) ** 2).sum())
    between = float((sizes * (means - grand) ** 2).sum())
    free = total - n
    ms_within, ms_between = within / free, between / (n - 1)
    sd = float(np.sqrt(ms_within))
    tail = (1 - level) / 2
    icc = _icc(ms_between, ms_within, n=n, free=free, size=_mean_size(sizes), tail=tail)
    return Repeatability(
        n_subjects=n,
        n_values=total,
        mean=grand,
        sd_within=sd,
        sd_within_low=float(np.sqrt(within / stats.chi2.ppf(1 - tail, free))),
        sd_within_high=float(np.sqrt(within / stats.chi2.ppf(tail, free))),
        cov_pct=100 * sd / grand if (numbers > 0).all() else np.nan,
        repeatability=LIMIT * float(np.sqrt(2)) * sd,
        icc=icc[0],
        icc_low=icc[1],
        icc_high=icc[2],
    )


def _repeated(
    values: NDArray[np.float64], subjects: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Values of subjects with at least two of them, subject numbers, values per subject."""
    known = np.isfinite(values)
    _, codes, sizes = np.unique(subjects[known], return_inverse=True, return_counts=True)
    kept = sizes[codes] >= 2
    _, codes, sizes = np.unique(codes[kept], return_inverse=True, return_counts=True)
    return values[known][kept], codes, sizes


def _mean_size(sizes: NDArray[np.intp]) -> float:
    """Values per subject as the expected mean squares have them."""
    total = sizes.sum()
    return float((total - (sizes**2).sum() / total) / (len(sizes) - 1))


def _icc(
    between: float, within: float, *, n: int, free: int, size: float, tail: float
) -> tuple[float, float, float]:
    if within == 0:
        return (1.0, np.nan, np.nan) if between > 0 else (np.nan, np.nan, np.nan)
    ratio = between / within
    lower = ratio / float(stats.f.ppf(1 - tail, n - 1, free))
    upper = ratio * float(stats.f.ppf(1 - tail, free, n - 1))
    icc, low, high = ((f - 1) / (f + size - 1) for f in (ratio, lower, upper))
    return icc, low, high
