"""Intervals around an estimate from its errors on calibration subjects: distribution-free or not.

An error on a calibration subject is divided by a scale of how unsure the estimate was; the
interval of a new subject is the estimate plus and minus a factor times its own scale. Split
conformal prediction with normalised scores (Papadopoulos et al. 2002; Lei et al., JASA 2018,
doi:10.1080/01621459.2017.1307116).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Method = Literal["auto", "tolerance", "student", "conformal"]
#: How sure it is that an interval by ``tolerance`` holds its share of new subjects.
_CONFIDENCE = 0.9
#: From how many subjects on ``auto`` is ``conformal``.
MANY = 40


def scale(spread: ArrayLike, spreads: ArrayLike) -> Floats:
    """Return how unsure estimates are, from how far their samples are spread.

    ``sqrt(m^2 + spread^2)`` with m the root mean square of the calibration subjects' spreads: a
    spread of nothing does not make an estimate certain, since all samples can be wrong together,
    so the scale is never below m.

    Parameters
    ----------
    spread
        Standard deviation of the samples of one or more estimates.
    spreads
        Those of the calibration subjects. If any of them, or `spread`, is not known (NaN), or all
        are 0, the scale is 1: every estimate is as unsure as any other.
    """
    own, known = np.asarray(spread, dtype=float), np.asarray(spreads, dtype=float)
    base = float(np.mean(known**2)) if known.size else math.nan
    if not base > 0:
        return np.ones_like(own)
    return np.where(np.isfinite(own), np.sqrt(base + own**2), 1.0)


def factor(scores: ArrayLike, *, level: float, method: Method = "student") -> float:
    """Return by what a scale is multiplied to cover a new subject with probability `level`.

    Parameters
    ----------
    scores
        Errors of the calibration subjects over their scales; signs do not matter.
    level
        Wanted coverage, between 0 and 1.
    method
        ``conformal``: the ``ceil((n + 1) level)``-th smallest, which covers at least `level` of
        new subjects whatever the distribution, on average over calibration sets; with few subjects
        it hangs on one or two of them. ``student``: root mean square times Student's t with n
        degrees of freedom, exact for normal errors without bias, and steadier with few subjects.
        ``tolerance``: as wide as it takes for nine calibration sets in ten to cover `level` of new
        subjects (a tolerance interval of normal errors without bias), where ``student`` covers it
        on average over calibration sets: half of them less. With 14 subjects a quarter wider.
        ``auto``: ``conformal`` from `MANY` subjects on, ``tolerance`` with fewer.

    Returns
    -------
    NaN without scores, or where n subjects are too few for `level` (conformal, n = 14: above
    0.933).

    Examples
    --------
    >>> factor([1, -3, 2], level=0.5, method="conformal")
    2.0
    >>> factor([1, -3, 2], level=0.9, method="conformal")
    nan
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level!r} is not between 0 and 1")
    absolute = np.sort(np.abs(np.asarray(scores, dtype=float)))
    absolute = absolute[np.isfinite(absolute)]
    n = absolute.size
    if n == 0:
        return math.nan
    if method == "auto":
        method = "conformal" if n >= MANY else "tolerance"
    if method == "conformal":
        rank = math.ceil((n + 1) * level - 1e-9)
        return float(absolute[rank - 1]) if rank <= n else math.nan
    rms = float(np.sqrt(np.mean(absolute**2)))
    if method == "tolerance":
        largest = rms * math.sqrt(n / float(stats.chi2.ppf(1 - _CONFIDENCE, df=n)))
        return largest * float(stats.norm.ppf(0.5 + level / 2))
    return rms * float(stats.t.ppf(0.5 + level / 2, df=n))


def half_width(
    spread: float,
    *,
    errors: Sequence[float],
    spreads: Sequence[float],
    level: float,
    method: Method = "student",
) -> float:
    """Return half the width of the interval of one new subject.

    Parameters
    ----------
    spread
        Standard deviation of its samples; NaN where there are none.
    errors, spreads
        Estimate less truth of each calibration subject, and the spread of its samples; without
        spreads, intervals are of one width.
    level, method
        As in `factor`.
    """
    scores = np.asarray(errors, dtype=float)
    if not (math.isfinite(spread) and len(spreads)):
        return factor(scores, level=level, method=method)
    scores = scores / scale(spreads, spreads)
    return factor(scores, level=level, method=method) * float(scale(spread, spreads))


def interval_score(errors: Sequence[float], widths: ArrayLike, *, level: float) -> float:
    """Return the mean interval score: width, and a fine for each truth outside; lower is better.

    Gneiting and Raftery, JASA 2007, doi:10.1198/016214506000001437, eq. 43: a symmetric interval
    of half-width w around an estimate with error e costs ``2 w + 2 / (1 - level) max(|e| - w, 0)``.
    """
    e, w = np.abs(np.asarray(errors, dtype=float)), np.asarray(widths, dtype=float)
    return float(np.mean(2 * w + 2 / (1 - level) * np.maximum(e - w, 0)))


def informative(
    errors: Sequence[float],
    spreads: Sequence[float],
    *,
    level: float = 0.9,
    margin: float = 0.2,
) -> bool:
    """Return whether intervals that follow the spread clearly beat intervals of one width.

    By the interval score with each subject left out. On few subjects such a choice picks luck
    rather than merit, and intervals chosen so cover too little; so it takes a score better by
    `margin`. Repeat it within every fold where coverage is measured (`leave_one_out`, ``choose``).
    """
    s = np.asarray(spreads, dtype=float)
    if len(errors) < 3 or not (np.isfinite(s).all() and (s > 0).any()):
        return False
    following, one_width = (
        interval_score(errors, leave_one_out(errors, used, level=level)[1], level=level)
        for used in (spreads, [math.nan] * len(errors))
    )
    return following < (1 - margin) * one_width


def leave_one_out(
    errors: Sequence[float],
    spreads: Sequence[float],
    *,
    level: float,
    method: Method = "student",
    choose: bool = False,
) -> tuple[NDArray[np.bool_], Floats]:
    """Return whether each subject is covered, and its half-width, calibrated on the others.

    With `choose`, whether the spread is used is decided on the others too (`informative`).
    With ``conformal`` and 14 subjects at level 0.9 this is 13 of 14 by construction: the one with
    the largest score is never covered by the rest.
    """
    e, s = np.asarray(errors, dtype=float), np.asarray(spreads, dtype=float)
    widths = np.empty(len(e))
    for i in range(len(e)):
        others, theirs = np.delete(e, i).tolist(), np.delete(s, i).tolist()
        if choose and not informative(others, theirs, level=level):
            theirs = []
        widths[i] = half_width(
            float(s[i]), errors=others, spreads=theirs, level=level, method=method
        )
    return np.abs(e) <= widths, widths
