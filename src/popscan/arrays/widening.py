"""How much wider intervals have to be on scans unlike those that they were calibrated on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Most that an interval is widened, and the slopes and starts that are tried.
MOST = 10.0
_STARTS = tuple(np.arange(0.5, 1.55, 0.05).round(2).tolist())
_SLOPES = (0.0, *np.geomspace(0.1, 20.0, 40).round(3).tolist())
#: Degrees of freedom of the likelihood: with few, single gross errors do not decide.
_FREEDOM = 4.0


def widening(score: ArrayLike, *, start: float, slope: float) -> NDArray[np.float64]:
    """Return the factor for out-of-distribution scores: 1 up to `start`, then rising.

    NaN (a bundle without a detector) is 1; nothing is above `MOST`.

    Examples
    --------
    >>> widening([0.5, 1.0, 3.0, 99.0], start=1.0, slope=2.0).tolist()
    [1.0, 1.0, 5.0, 10.0]
    """
    beyond = np.nan_to_num(np.asarray(score, dtype=float) - start, nan=0.0)
    return np.minimum(1.0 + slope * np.maximum(beyond, 0.0), MOST)


def fit_widening(scores: ArrayLike, errors: ArrayLike) -> dict[str, float]:
    """Fit the factor to errors on scans of any score, by the likelihood of Student's t.

    Parameters
    ----------
    scores : shape (case,)
        Out-of-distribution scores.
    errors : shape (case, quantity)
        Errors in units of what is usual for the quantity on clean scans. NaN is left out.

    Returns
    -------
    dict
        ``start`` and ``slope`` (0 where wider intervals explain nothing).
    """
    own = np.asarray(scores, dtype=float)[:, None] * np.ones_like(np.asarray(errors, dtype=float))
    squared = np.asarray(errors, dtype=float) ** 2
    usable = np.isfinite(own) & np.isfinite(squared)
    own, squared = own[usable], squared[usable]
    best = {"start": 1.0, "slope": 0.0}
    lowest = _cost(own, squared, **best)
    for start in _STARTS:
        for slope in _SLOPES:
            cost = _cost(own, squared, start=start, slope=slope)
            if cost < lowest - 1e-9:
                best, lowest = {"start": start, "slope": slope}, cost
    return best


def _cost(
    scores: NDArray[np.float64], squared: NDArray[np.float64], *, start: float, slope: float
) -> float:
    """Return the negative log-likelihood per error."""
    if not scores.size:
        return 0.0
    factor = widening(scores, start=start, slope=slope)
    tail = (_FREEDOM + 1) / 2 * np.log1p(squared / factor**2 / _FREEDOM)
    return float(np.mean(np.log(factor) + tail))


def stored_widening(section: Mapping[str, Any] | None, score: float) -> float:
    """Return the factor that a bundle's section ``widening`` gives for a score; 1 without one."""
    if not section or not math.isfinite(score):
        return 1.0
    factor = widening(score, start=float(section["start"]), slope=float(section["slope"]))
    return round(float(factor), 4)
