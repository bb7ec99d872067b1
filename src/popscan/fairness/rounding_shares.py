"""Shares of rounded counts and their differences, also where subjects have several values."""

from __future__ import annotations

import math

import numpy as np

from popscan.stats import intervals
from popscan.stats.power import detectable_proportion

Limits = tuple[float, float]
#: How intervals of shares are made where no subject repeats; others are wider by `_widening`.
INDEPENDENT = ("wilson", "newcombe")
#: Step to which that factor is rounded up, lest it give counts away.
_STEP = 0.25


def _widening(limits: Limits, method: str, exact: Limits) -> float:
    """How many times wider an interval is than that of independent values: 1 for those.

    Rounded up, since with the exact width counts could be worked out.
    """
    width = limits[1] - limits[0]
    if method in INDEPENDENT or not width > 0 or not np.isfinite(exact).all():
        return 1.0
    return max(1.0, _STEP * math.ceil((exact[1] - exact[0]) / width / _STEP))


def rounded_share(
    counts: tuple[int, int],
    subjects: float,
    *,
    mean: float,
    method: str,
    exact: Limits,
    alpha: float,
) -> Limits:
    """Return the interval of a share of rounded counts.

    Parameters
    ----------
    counts
        Events and size, rounded.
    subjects
        Subjects with a value, rounded; NaN where they are not known.
    mean
        The share, exact.
    method
        How the exact interval was made.
    exact
        That interval.
    alpha
        1 - confidence.

    Returns
    -------
    low, high : float
        Of a share that all subjects have or none, where they have several values: of subjects; NaN
        where their number is not known.
    """
    events, n = counts
    if method not in INDEPENDENT and mean in (0.0, 1.0):
        if not subjects > 0:
            return float("nan"), float("nan")
        people = int(min(subjects, n))
        return intervals.wilson(int(mean) * people, people, alpha=alpha)
    return widened(intervals.wilson(events, n, alpha=alpha), events / n, method, exact, 0.0)


def widened(limits: Limits, middle: float, method: str, exact: Limits, least: float) -> Limits:
    """Return the limits of a share or of a difference of shares, wider where subjects repeat.

    Parameters
    ----------
    limits
        Of rounded counts, as if all values were independent.
    middle
        The share or difference.
    method
        How the exact interval was made.
    exact
        That interval.
    least
        Smallest possible value: 0 of a share, -1 of a difference.
    """
    times = _widening(limits, method, exact)
    if times == 1.0:
        return limits
    low, high = (middle + times * (limit - middle) for limit in limits)
    return max(low, least), min(high, 1.0)


def compared_shares(
    mine: tuple[int, int], theirs: tuple[int, int], alpha: float, method: str, exact: Limits
) -> dict[str, float]:
    """Compare two shares of rounded counts.

    Parameters
    ----------
    mine, theirs
        Events and size, rounded, of the group and of the reference.
    alpha
        1 - confidence.
    method
        How the exact interval of the difference was made.
    exact
        That interval.

    Returns
    -------
    dict
        Columns of the gap that counts decide. Where subjects have several values, all of them the
        same, counts do not say how sure the gap is: no interval.
    """
    counts = (*mine, *theirs)
    p, q = mine[0] / mine[1], theirs[0] / theirs[1]
    limits = intervals.risk_difference(*counts, alpha=alpha)
    times = _widening(limits, method, exact)
    low, high = widened(limits, p - q, method, exact, -1.0)
    ratio_low, ratio_high = intervals.risk_ratio(*counts, alpha=alpha)
    if times > 1.0:  # the ratio of shares as often wider, on its own scale
        ratio_low, ratio_high = _wider_ratio(p, q, (ratio_low, ratio_high), times)
    spread = math.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    fewer = [max(1, int(n / times**2)) for n in (mine[1], theirs[1])]
    detectable = detectable_proportion(fewer[0], round(q * fewer[1]), fewer[1], alpha=alpha)
    if method not in INDEPENDENT and exact[0] == exact[1]:
        low = high = detectable = float("nan")
    return {
        "gap": p - q, "ci_low": low, "ci_high": high, "cliffs_delta": p - q,
        "ratio": p / q if q > 0 else float("inf") if p > 0 else float("nan"),
        "ratio_ci_low": ratio_low, "ratio_ci_high": ratio_high,
        "hedges_g": (p - q) / spread if spread > 0 else float("nan"),
        "min_detectable_gap": detectable, "min_detectable_gap_corrected": float("nan"),
    }  # fmt: skip


def _wider_ratio(p: float, q: float, limits: Limits, times: float) -> Limits:
    """Limits of a ratio of shares, so many times further from it; NaN where a share is 0."""
    if not (p > 0 and q > 0 and limits[0] > 0):
        return float("nan"), float("nan")
    low, high = (p / q * (limit / (p / q)) ** times for limit in limits)
    return low, high
