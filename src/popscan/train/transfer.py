"""From the errors of cross-fitted networks to those to expect of another, stronger one.

A bundle's own validation patients are few, and may by luck be easy ones. Cross-fitting has errors
of every labelled patient, but of networks that were trained shorter, with biases of their own. So
of these errors the shape is taken, about their mean, and multiplied by the ratio of both networks'
mean absolute errors on the patients that neither saw. That ratio hangs on few patients: the upper
limit of nine bootstrap draws in ten of them is taken, at most 1. And no error is made so small that
all together fall below what the bundle's own show: those on its validation patients, and those on
its training patients, to whom a network is nearer than to anybody else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Draws of the bootstrap, and the share of them that the limit is not below.
_DRAWS, _CONFIDENCE = 2000, 0.9


def _size(values: ArrayLike) -> float:
    """Return the mean absolute value: the root mean square hangs on one gross error."""
    known = np.asarray(values, dtype=float)
    known = np.abs(known[np.isfinite(known)])
    return float(known.mean()) if known.size else math.nan


def ratio_limit(own: ArrayLike, other: ArrayLike) -> float:
    """Return the upper limit of the ratio of two networks' mean absolute errors.

    Parameters
    ----------
    own, other
        Errors of both on the same patients.

    Returns
    -------
    At most 1; 1 without patients, or where the other network has no errors.

    Examples
    --------
    >>> ratio_limit([1.0, -1.0, 1.0], [2.0, 2.0, -2.0])
    0.5
    """
    pairs: NDArray[np.float64] = np.abs(np.stack([np.asarray(own), np.asarray(other)], axis=1))
    if not len(pairs) or not pairs[:, 1].any():
        return 1.0
    draws = np.random.default_rng(0).integers(len(pairs), size=(_DRAWS, len(pairs)))
    sums = pairs[draws].sum(axis=1)
    ratios = np.divide(sums[:, 0], sums[:, 1], out=np.ones(_DRAWS), where=sums[:, 1] > 0)
    return min(1.0, float(np.quantile(ratios, _CONFIDENCE)))


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
        in `crossed` too give the ratio (`ratio_limit`).
    trained
        Its errors on patients that it was trained on: a lower bound of what to expect.

    Returns
    -------
    As many as `crossed` has finite values, in its order, with a mean of 0.
    """
    errors = np.array([error for error in crossed.values() if math.isfinite(error)])
    if not errors.size:
        return []
    errors -= errors.mean()
    about = dict(zip((u for u, e in crossed.items() if math.isfinite(e)), errors, strict=True))
    both = [u for u in own if math.isfinite(own[u]) and u in about]
    ratio = ratio_limit([own[u] for u in both], [about[u] for u in both])
    least = max([s for s in (_size(list(own.values())), _size(trained)) if math.isfinite(s)] or [0])
    if (usual := _size(errors)) > 0:
        ratio = max(ratio, least / usual)
    return [float(error) for error in errors * ratio]
