"""Logistic models of how likely a result is wrong: signs in, a probability out."""

from __future__ import annotations

import math
from collections.abc import Mapping


def added_odds(
    signs: Mapping[str, float],
    weights: Mapping[str, tuple[float, float, float]],
    *,
    nearest: float,
    farthest: float,
) -> dict[str, float]:
    """Return the log-odds that every sign adds; 0 for one that does not apply.

    Parameters
    ----------
    signs
        Sign -> its value; NaN for one that does not apply.
    weights
        Sign -> its median and spread in right results, and the log-odds that a spread adds.
    nearest, farthest
        A sign counts from so many spreads from its median to so many.
    """
    added = {}
    for name, (centre, spread, weight) in weights.items():
        z = (signs[name] - centre) / spread
        added[name] = weight * min(max(z, nearest), farthest) if math.isfinite(z) else 0.0
    return added


def probability(added: Mapping[str, float], *, intercept: float) -> float:
    """Return the probability that log-odds and their intercept make.

    Examples
    --------
    >>> probability({"a": 50.0}, intercept=-1.0) > 0.99
    True
    """
    return 1.0 / (1.0 + math.exp(-intercept - sum(added.values())))
