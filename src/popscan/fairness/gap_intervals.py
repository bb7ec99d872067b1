"""Intervals of gaps and ratios from bootstrap draws, cut at what an outcome can be."""

from __future__ import annotations

from typing import Any

import numpy as np

from popscan.fairness.design import AuditDesign
from popscan.fairness.ranges import gap_within
from popscan.stats import effects, intervals
from popscan.stats.means import Floats, Moments
from popscan.stats.resample import Draws

Limits = tuple[Floats, Floats]
STUDENTISED = "bootstrap studentised"


def cut_gap(row: dict[str, Any], k: int, own: Limits, base: Limits, bounds: Floats) -> None:
    """Cut a gap's interval, and its ratio's, at what the outcome can be.

    Parameters
    ----------
    row : dict
        With ``gap``, ``ci_low``, ``ci_high`` and ``ratio_ci_low``; changed.
    k : int
        Outcome.
    own, base : (low, high)
        Of the group's and the reference's means of all outcomes.
    bounds : ndarray, shape (K, 2)
        Range of each outcome.
    """
    limits = np.array([row["ci_low"]]), np.array([row["ci_high"]])
    one, other = (_at(k, side, bounds) for side in (own, base))
    low, high = gap_within(limits, one, other, bounds[k : k + 1])
    row["ci_low"] = float(np.fmin(low[0], row["gap"]))
    row["ci_high"] = float(np.fmax(high[0], row["gap"]))
    if bounds[k, 0] >= 0 and row["ratio_ci_low"] < 0:
        row["ratio_ci_low"] = 0.0


def _at(k: int, limits: Limits, bounds: Floats) -> Limits:
    """Limits of one outcome's mean; all that it can be where the bootstrap sees no spread.

    A group in which nothing failed is not known exactly: its draws are all 0, its rate is not.
    """
    low, high = limits[0][k : k + 1], limits[1][k : k + 1]
    flat = low == high
    return np.where(flat, bounds[k, 0], low), np.where(flat, bounds[k, 1], high)


def gap_intervals(
    draws: Draws, base_draws: Draws, own: Moments, base: Moments, *, design: AuditDesign
) -> tuple[Limits, Limits, str]:
    """Bootstrap intervals of gap and ratio, all outcomes at once.

    Parameters
    ----------
    draws, base_draws
        Of the group and of the reference.
    own, base
        Their moments.
    design
        Level and kind of interval.

    Returns
    -------
    gap, ratio : (low, high)
        Limits, each of shape (K,); those of the ratio mean something for positive means only.
    method : str
        What was done.
    """
    alpha, interval = design.alpha, design.interval
    gap, gap_draws = own.mean - base.mean, draws.mean - base_draws.mean
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, ratio_draws = own.mean / base.mean, draws.mean / base_draws.mean
        part, base_part = own.second / own.mean**2, base.second / base.mean**2
        if interval == "percentile":
            return (
                intervals.percentile(gap_draws, alpha=alpha),
                intervals.percentile(ratio_draws, alpha=alpha),
                "bootstrap percentile",
            )
        small = draws.se is not None or base_draws.se is not None
        if small and interval in ("auto", "studentised"):
            # A group too large to be studentised has a standard error that hardly varies.
            se = draws.se if draws.se is not None else own.se[None, :]
            base_se = base_draws.se if base_draws.se is not None else base.se[None, :]
            ratio_se = np.abs(ratio_draws) * np.hypot(se / draws.mean, base_se / base_draws.mean)
            own_ratio_se = np.abs(ratio) * np.hypot(own.se / own.mean, base.se / base.mean)
            freedom = effects.welch_freedom(own.se, own.n_rows, base.se, base.n_rows)
            farthest: dict[str, Any] = {"alpha": alpha, "freedom": freedom}
            return (
                intervals.studentised(
                    gap_draws, np.hypot(se, base_se), gap, np.hypot(own.se, base.se), **farthest
                ),
                intervals.studentised(ratio_draws, ratio_se, ratio, own_ratio_se, **farthest),
                STUDENTISED,
            )
        third = own.third - base.third
        acceleration = third / (6 * (own.second + base.second) ** 1.5)
        ratio_third = own.third / own.mean**3 - base.third / base.mean**3
        ratio_acceleration = ratio_third / (6 * (part + base_part) ** 1.5)
        return (
            intervals.bca(gap_draws, gap, acceleration, alpha=alpha),
            intervals.bca(ratio_draws, ratio, ratio_acceleration, alpha=alpha),
            "bootstrap bca",
        )


def wider(one: tuple[float, float], other: tuple[float, float]) -> dict[str, Any]:
    """Take at each end the wider of two intervals of a small group's gap.

    The permutation interval borrows the shape of the larger group, which is right when both have
    the same; the studentised bootstrap knows the group's own shape, as far as a small group shows
    it. Each covers too little where the other is right (``benchmarks/fairness_calibration.py``).

    Parameters
    ----------
    one, other : (low, high)
        Two intervals.
    """
    low, high = np.fmin(one[0], other[0]), np.fmax(one[1], other[1])
    return {"ci_low": float(low), "ci_high": float(high), "ci_method": "permutation, bootstrap t"}
