"""Values that an outcome can have at all, and what follows for intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from popscan.fairness.words import largest_values
from popscan.stats.means import Floats

#: Beginning of an outcome's name -> smallest and largest possible value.
_SCORES = {"dice": (0.0, 1.0), "ssim": (0.0, 1.0), "jaccard": (0.0, 1.0)}
#: End of a name -> range of what is computed from probabilities.
_PREDICTED = {"brier": (0.0, 1.0), "residual": (-1.0, 1.0)}
#: Part of a name -> an outcome that cannot be negative.
_DISTANCES = ("hd95", "msd", "nrmse", "entropy", "uncertainty", "distance")
#: Share of values above 1 from which a score counts to 100.
_MOST = 0.75
#: Part of a name -> a difference, which can have either sign.
_SIGNED = {"error", "change", "difference", "gap", "zscore", "net", "offset", "curved"}
#: End of a name -> a biomarker that cannot be negative.
_AMOUNTS = ("_ml", "_g", "_ml_m2", "_g_m2", "_mm3", "_mm", "_cm2", "_l_min", "_l_min_m2", "_bpm")


def possible_range(outcome: str, kind: str = "continuous") -> tuple[float, float]:
    """Return the smallest and the largest value that an outcome can have.

    Parameters
    ----------
    outcome : str
        Name in the tables.
    kind : str
        ``binary`` is 0..1.

    Returns
    -------
    low, high : float
        Infinite where nothing bounds it: an error or a change can have either sign.

    Examples
    --------
    >>> possible_range("dice_mean"), possible_range("hd95_mm"), possible_range("size_pct_error")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    parts = outcome.lower().removeprefix("predicted_").split("_")
    if kind == "binary":
        return 0.0, 1.0
    if "abs" in parts and "error" in parts:
        return 0.0, math.inf
    if _SIGNED & set(parts):
        return -math.inf, math.inf
    if parts[-1] in _PREDICTED:
        return _PREDICTED[parts[-1]]
    if parts[0] in _SCORES:
        return _SCORES[parts[0]]
    if set(parts) & set(_DISTANCES) or outcome.lower().endswith(_AMOUNTS):
        return 0.0, math.inf
    most = (bound for stem, bound in largest_values().items() if stem in parts)
    return -math.inf, min(most, default=math.inf)  # a wrong volume can make a share below 0


def ranges_of(keys: Sequence[Mapping[str, str]], values: Floats) -> Floats:
    """Return the range of every outcome, as far as its values keep to it.

    A score most of whose values are above 1, and all at most 100, is one in percent; any other
    bound that a value breaks is none.

    Parameters
    ----------
    keys : sequence of mappings
        With ``outcome`` and ``kind``.
    values : ndarray, shape (units, K)
        NaN where missing.

    Returns
    -------
    ndarray, shape (K, 2)
        Smallest and largest possible value.
    """
    bounds = np.array([possible_range(k["outcome"], k["kind"]) for k in keys]).reshape(-1, 2)
    for k, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if not len(known):
            continue
        if bounds[k, 1] == 1 and _is_percent(known):
            bounds[k, 1] = 100.0
        bounds[k, 0] = -math.inf if known.min() < bounds[k, 0] else bounds[k, 0]
        bounds[k, 1] = math.inf if known.max() > bounds[k, 1] else bounds[k, 1]
    return bounds


def _is_percent(known: Floats) -> bool:
    """Whether a score counts to 100 and not to 1; one odd value does not make it so."""
    return bool(len(known) and (known > 1).mean() >= _MOST and known.max() <= 100)


def odd_values(keys: Sequence[Mapping[str, str]], values: Floats) -> list[str]:
    """Say of which outcomes all values are equal, or some are what the outcome cannot be.

    Parameters
    ----------
    keys, values
        As in `ranges_of`. Yes/no outcomes are often the same for all, and are not named.

    Returns
    -------
    list of str
        Sentences without values.
    """
    notes = []
    for key, column in zip(keys, values.T, strict=True):
        known = column[np.isfinite(column)]
        name, is_number = key["outcome"], key["kind"] == "continuous"
        if is_number and len(known) > 1 and np.ptp(known) == 0:
            notes.append(f"{name}: all values are equal, so groups cannot differ.")
        low, high = possible_range(name, key["kind"])
        if high == 1 and _is_percent(known):
            high = 100.0
        beyond = int(((known < low) | (known > high)).sum())
        if beyond:
            limit = f"above {high:g}" if np.isinf(low) else f"below {low:g}"
            limit = f"outside {low:g} to {high:g}" if np.isfinite([low, high]).all() else limit
            notes.append(
                f"{name}: {beyond} of {len(known)} values are {limit}, which cannot be; they count "
                "as they are."
            )
    return notes


def within(low: Floats, high: Floats, bounds: Floats) -> tuple[Floats, Floats]:
    """Cut intervals of means at what the outcome can be.

    A mean of values in a range lies in it, so that cutting takes no truth out of an interval.

    Parameters
    ----------
    low, high : ndarray, shape (K,)
        Limits.
    bounds : ndarray, shape (K, 2)
        As `possible_range` gives them.
    """
    return np.maximum(low, bounds[:, 0]), np.minimum(high, bounds[:, 1])


def gap_within(
    limits: tuple[Floats, Floats],
    own: tuple[Floats, Floats],
    base: tuple[Floats, Floats],
    bounds: Floats,
) -> tuple[Floats, Floats]:
    """Cut intervals of gaps where one group's mean would lie beyond the outcome's range.

    A group's mean of at least 0 and a reference's of at most 7 mm are never more than 7 mm apart
    in one direction, whatever a bootstrap of eleven subjects says.

    Parameters
    ----------
    limits, own, base : (low, high), each of shape (K,)
        Of the gap, of the group's mean and of the reference's, the latter two within `bounds`.
    bounds : ndarray, shape (K, 2)
        As `possible_range` gives them.
    """
    floor, ceiling = bounds[:, 0], bounds[:, 1]
    with np.errstate(invalid="ignore"):
        low = np.fmax(floor - base[1], own[0] - ceiling)
        high = np.fmin(ceiling - base[0], own[1] - floor)
        return np.fmax(limits[0], low), np.fmin(limits[1], high)
