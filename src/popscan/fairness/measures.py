"""One number for how unevenly several groups fare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popscan.stats.means import Floats


def spread(means: Floats) -> Floats:
    """Return the largest minus the smallest group mean.

    Parameters
    ----------
    means : ndarray, shape (..., groups)
        Group means; NaN are left out.

    Returns
    -------
    ndarray, shape (...)
        NaN without groups.
    """
    return _over_groups(np.nanmax, means) - _over_groups(np.nanmin, means)


def sd_groups(means: Floats) -> Floats:
    """Return the standard deviation across group means (ddof 0), each group counting once.

    Parameters
    ----------
    means : ndarray, shape (..., groups)
        Group means; NaN are left out.

    Returns
    -------
    ndarray, shape (...)
        NaN without groups.
    """
    return _over_groups(np.nanstd, means)


def skewed_error_ratio(means: Floats, *, better_is: str = "higher") -> Floats:
    """Return the largest over the smallest group error, SER (Puyol-Anton et al., MICCAI 2021).

    Parameters
    ----------
    means : ndarray, shape (..., groups)
        Group means of a score in 0..1.
    better_is : str
        ``higher``: the error is 1 - mean, as for Dice; ``lower``: the mean is the error.

    Returns
    -------
    ndarray, shape (...)
        At least 1; infinite when a group makes no error but another does, NaN when none does.
    """
    errors = 1 - means if better_is == "higher" else means
    worst, best = _over_groups(np.nanmax, errors), _over_groups(np.nanmin, errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((worst <= 0) & (best <= 0), np.nan, worst / np.maximum(best, 0))


def equity_scaled(means: Floats, overall: Floats) -> Floats:
    """Return the overall score divided by 1 + the sum of the groups' distances from it.

    The equity-scaled Dice of FairSeg (Tian et al., ICLR 2024).

    Parameters
    ----------
    means : ndarray, shape (..., groups)
        Group means; NaN are left out.
    overall : ndarray, shape (...)
        Mean over all units.

    Returns
    -------
    ndarray, shape (...)
        Equal to `overall` when all groups fare alike.
    """
    return overall / (1 + np.nansum(np.abs(means - np.asarray(overall)[..., None]), axis=-1))


def worst_and_best(means: Floats, *, better_is: str) -> tuple[int, int]:
    """Return the positions of the worst- and best-served group.

    Parameters
    ----------
    means : ndarray, shape (groups,)
        Group means, at least one not NaN.
    better_is : str
        ``neither`` has no worst: then lowest and highest.

    Returns
    -------
    worst, best : int
        Positions.
    """
    low, high = int(np.nanargmin(means)), int(np.nanargmax(means))
    return (high, low) if better_is == "lower" else (low, high)


def _over_groups(function: Callable[..., Any], means: Floats) -> Floats:
    """Apply a NaN-aware function along groups; all-NaN gives NaN without a warning."""
    array = np.asarray(means, dtype=np.float64)
    empty = np.asarray(np.isnan(array).all(axis=-1))
    filled = np.where(empty[..., None], 0.0, array)
    return np.where(empty, np.nan, function(filled, axis=-1))
