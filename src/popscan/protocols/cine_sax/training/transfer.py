"""From the errors of cross-fitted networks to those to expect of another, stronger one.

A bundle's own validation patients are few: their errors say how large errors are on average, but
little of the tail that intervals are made of. Cross-fitting has errors of every labelled patient,
but of networks that were trained shorter, with biases of their own. So the shape is taken from the
latter, about their median and without gross errors, and the size from the former: the mean
absolute error of the bundle, as large as its few patients allow (the upper limit of nine bootstrap
draws in ten). It is at least the bundle's error on its training patients, to whom a network is
nearer than to anybody else, and at most that of the cross-fitted networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Draws of the bootstrap, and the share of them that the limit is not below.
_DRAWS, _CONFIDENCE = 2000, 0.9
#: Beyond this quantile errors of cross-fitted networks are gross, and as large as it.
_GROSS = 0.95


def _known(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array)]


def size_limit(errors: ArrayLike) -> float:
    """Return the upper limit of the mean absolute error of which `errors` are a sample.

    Not of the root mean square, which hangs on one gross error. NaN without errors.

    Examples
    --------
    >>> size_limit([2.0, -2.0, 2.0])
    2.0
    """
    known = np.abs(_known(errors))
    if not known.size:
        return math.nan
    draws = np.random.default_rng(0).integers(known.size, size=(_DRAWS, known.size))
    return float(np.quantile(known[draws].mean(axis=1), _CONFIDENCE))


def transferred(
    crossed: Sequence[float], own: Sequence[float], *, trained: Sequence[float] = ()
) -> list[float]:
    """Return the errors to expect of a network on patients that it never saw.

    Parameters
    ----------
    crossed
        Errors of cross-fitted networks, each on patients that it never saw.
    own
        Errors of the network in question on patients that it never saw; without any the size stays
        that of `crossed`.
    trained
        Its errors on patients that it was trained on: a lower bound of what to expect.

    Returns
    -------
    As many as `crossed` has finite values, in its order, with a median of 0.

    Examples
    --------
    >>> transferred([6.0, 2.0, 4.0], [1.0, -1.0])
    [1.5, -1.5, 0.0]
    """
    errors = _known(crossed)
    if not errors.size:
        return []
    errors = errors - np.median(errors)
    gross = float(np.quantile(np.abs(errors), _GROSS))
    errors = errors.clip(-gross, gross)
    usual = float(np.abs(errors).mean())
    limit = size_limit(own)
    if not (math.isfinite(limit) and usual > 0):
        return errors.tolist()
    least = np.abs(_known(trained)).mean() if _known(trained).size else 0.0
    return (errors * (max(min(limit, usual), least) / usual)).tolist()
