"""Numbers adjusted for the size of a body part by the residual method.

``adjusted = value - b (size - mean size)``, where b and the mean are those of a reference group
(Jack et al. 1989, doi:10.1148/radiology.172.2.2748837). It needs a group of people, so it is no
measurement of one subject: who belongs to the group changes everybody's value a little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Fewer people than this give no slope.
MIN_REFERENCE = 10


@dataclass(frozen=True, kw_only=True)
class Slope:
    """Least-squares line of a number on a size, in a reference group.

    Attributes
    ----------
    slope, ci_low, ci_high
        b and its interval.
    mean_size
        Mean size of the group.
    n
        People of the group with both.
    r
        Correlation of both.
    """

    slope: float
    ci_low: float
    ci_high: float
    mean_size: float
    n: int
    r: float


def size_slope(values: ArrayLike, size: ArrayLike, *, alpha: float = 0.05) -> Slope | None:
    """Fit the line of a reference group.

    Parameters
    ----------
    values, size : array_like, shape (subject,)
        Of the group; NaN where unknown, and left out there.
    alpha
        1 - confidence level.

    Returns
    -------
    Slope or None
        None for fewer than `MIN_REFERENCE` people, or where all have one size.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    y, x = _pair(values, size)
    known = np.isfinite(y) & np.isfinite(x)
    y, x = y[known], x[known]
    if x.size < MIN_REFERENCE or np.ptp(x) <= 0:
        return None
    from scipy import stats

    line = stats.linregress(x, y)
    half = float(stats.t.ppf(1 - alpha / 2, x.size - 2)) * line.stderr
    return Slope(
        slope=float(line.slope),
        ci_low=float(line.slope - half),
        ci_high=float(line.slope + half),
        mean_size=float(x.mean()),
        n=int(x.size),
        r=float(line.rvalue),
    )


def residual_adjusted(
    values: ArrayLike, size: ArrayLike, line: Slope | None
) -> NDArray[np.float64]:
    """Return values as they would be at the reference group's mean size.

    Parameters
    ----------
    values, size : array_like, shape (subject,)
        NaN where unknown.
    line
        Of the reference group; None gives NaN.

    Examples
    --------
    >>> line = size_slope(np.arange(10.0), 2 * np.arange(10.0))
    >>> residual_adjusted([5.0, 6.0], [9.0, 11.0], line)
    array([5., 5.])
    """
    y, x = _pair(values, size)
    if line is None:
        return np.full(y.shape, math.nan)
    return np.asarray(y - line.slope * (x - line.mean_size), dtype=np.float64)


def _pair(values: ArrayLike, size: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.asarray(values, dtype=float), np.asarray(size, dtype=float)
    if y.shape != x.shape:
        raise ValueError(f"shapes differ: {y.shape} and {x.shape}")
    return y, x
