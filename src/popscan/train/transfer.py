"""From the errors of cross-fitted networks to those to expect of another, stronger one.

A bundle's own validation patients are few, and may by luck be easy ones. Cross-fitting has errors
of every labelled patient, but of networks that were trained shorter. So the errors of all patients
are multiplied by the ratio of both root mean squares on the patients that neither network saw. The
ratio is at most 1, but never so small that the errors fall below what the bundle's own show: those
on its validation patients, and those on its training patients, to whom a network is nearer than to
anybody else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np


def _rms(values: Sequence[float]) -> float:
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return float(np.sqrt(np.mean(known**2))) if known.size else math.nan


def transferred(
    crossed: Mapping[str, float],
    own: Mapping[str, float],
    *,
    trained: Sequence[float] = (),
) -> list[float]:
    """Return the errors to expect of a network on patients that it never saw.

    Parameters
    ----------
    crossed
        Patient -> error of the cross-fitted network that never saw them.
    own
        Patient -> error of the network in question, of patients that it never saw. Those that are
        in `crossed` too give the ratio; without any it is 1.
    trained
        Its errors on patients that it was trained on: a lower bound of what to expect.

    Returns
    -------
    As many as `crossed` has finite values, in its order.

    Examples
    --------
    >>> transferred({"a": 4.0, "b": -2.0, "c": 6.0}, {"a": 2.0, "b": 1.0})
    [2.0, -1.0, 3.0]
    """
    errors = [error for error in crossed.values() if math.isfinite(error)]
    both = [u for u in own if math.isfinite(own[u]) and math.isfinite(crossed.get(u, math.nan))]
    ratio = _rms([own[u] for u in both]) / _rms([crossed[u] for u in both]) if both else 1.0
    if not math.isfinite(ratio):
        ratio = 1.0
    least = max([r for r in (_rms(list(own.values())), _rms(trained)) if math.isfinite(r)] or [0.0])
    usual = _rms(errors)
    if usual > 0:
        ratio = max(min(ratio, 1.0), least / usual)
    return [error * ratio for error in errors]
