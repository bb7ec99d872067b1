"""A check's *badness*: its value turned so that more is worse, and back to a limit.

It is the value, its negative, or its distance from the middle of its present limits in half-widths,
as its side (`Spec.bad`) says.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from popscan.qc.model import Limit, Spec

Floats = NDArray[np.float64]


def badness(spec: Spec, values: Floats) -> Floats:
    """Turn a check's values so that more is worse."""
    if spec.bad != "outside":
        return values if spec.bad == "high" else -values
    low, high = _pair(spec)
    if math.isinf(low) or math.isinf(high):  # one side alone is bad
        return values if math.isinf(low) else -values
    found: Floats = np.abs(values - 0.5 * (low + high)) / max(0.5 * (high - low), 1e-12)
    return found


def _pair(spec: Spec) -> tuple[float, float]:
    limit = spec.review if isinstance(spec.review, tuple) else spec.fail
    return limit if isinstance(limit, tuple) else (0.0, 1.0)


def limit_at(spec: Spec, bad: float, values: Floats | None = None) -> Limit:
    """Return the limit beyond which the badness is larger than `bad`, in few digits.

    There are as many as it takes to flag the same of `values`.
    """
    score = None if values is None else badness(spec, values)
    for digits in range(4, 17):
        limit = _limit_of(spec, bad, digits)
        if values is None or score is None:
            break
        flags = [spec.exceeds(v, limit) for v in values[np.isfinite(values)]]
        if np.array_equal(flags, score[np.isfinite(values)] > bad):
            break
    return limit


def _limit_of(spec: Spec, bad: float, digits: int) -> Limit:
    def short(value: float) -> float:
        return float(f"{value:.{digits}g}")

    if spec.bad != "outside":
        return short(bad if spec.bad == "high" else -bad)
    low, high = _pair(spec)
    if math.isinf(low) or math.isinf(high):
        return (low, short(bad)) if math.isinf(low) else (short(-bad), high)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    return short(middle - bad * half), short(middle + bad * half)


def finite_ends(score: Floats) -> tuple[float, float]:
    """Just beyond the smallest and the largest finite value."""
    held = score[np.isfinite(score)]
    low, high = (float(held.min()), float(held.max())) if held.size else (0.0, 0.0)
    room = 1.0 + abs(high - low)
    return low - room, high + room


def limit_words(limit: Limit, spec: Spec) -> str:
    """Say a limit, to as many digits as it has."""
    if isinstance(limit, tuple):
        return f"outside {limit[0]:.12g} to {limit[1]:.12g}"
    return f"{'>' if spec.bad == 'high' else '<'} {limit:.12g}"
