"""The smallest difference of two proportions that a comparison could have shown."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special, stats

from popscan.stats.means import Floats, Rows

#: Tables of which the exact power is computed; larger ones have the normal approximation.
_MOST_CELLS = 400_000
_STEPS = 24
#: Fewer subjects with the event (or without) show nothing of how equal a subject's values are.
_FEW_EVENTS = 10


@lru_cache(maxsize=4096)
def detectable_proportion(
    n: int, events_reference: int, n_reference: int, *, alpha: float, power: float = 0.8
) -> float:
    """Return the smallest true difference of a proportion that is found with `power`.

    The observed spread of a group cannot say so where a group has no event: it has none, and any
    difference would seem to be found. The power is that of Fisher's exact test, over all tables
    that two groups of these sizes can give; where they are large, that of the normal
    approximation. The reference's true proportion is taken as observed, shrunk by half an event
    (Jeffreys), since none in a sample does not mean none at all.

    Parameters
    ----------
    n : int
        Size of the group.
    events_reference, n_reference : int
        Events and size of the reference.
    alpha : float
        Level of the test.
    power : float
        Wanted probability of finding it.

    Returns
    -------
    float
        A positive number: upward where fewer than half of the reference have the event, else
        downward. NaN where not even a certain event in the group would be found.

    Examples
    --------
    >>> round(detectable_proportion(20, 0, 200, alpha=0.05), 2)
    0.14
    """
    base = (events_reference + 0.5) / (n_reference + 1)
    if base > 0.5:
        events_reference = n_reference - events_reference
        base = 1 - base
    find = _exact(n, n_reference, base, alpha) or _normal(n, n_reference, base, alpha)
    low, high = 0.0, 1 - base
    if find(base + high) < power:
        return float("nan")
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if find(base + middle) >= power:
            high = middle
        else:
            low = middle
    return high


def detectable_share(group: Rows, reference: Rows, *, alpha: float, power: float = 0.8) -> float:
    """Return what `detectable_proportion` does, of subjects that have several values.

    Their values count as fewer independent ones, by the design effect: the spread of the subjects'
    totals over that of independent values. Each group has its own, since one may have more visits,
    or visits that agree more. In a group where too few subjects have the event, or too few do not,
    all values of a subject are taken as equal.

    Parameters
    ----------
    group, reference : Rows
        One row per subject: its events and its values; no row without values.
    alpha, power
        As in `detectable_proportion`.

    Returns
    -------
    float
        As in `detectable_proportion`.
    """
    n, m = (max(1, int(rows.counts.sum() / _design_effect(rows))) for rows in (group, reference))
    observed = round(float(reference.totals.sum() / reference.counts.sum()) * m)
    return detectable_proportion(n, observed, m, alpha=alpha, power=power)


def _design_effect(rows: Rows) -> float:
    """How many values of a group count as one: at most as if all of a subject were equal."""
    events, counts = rows.totals[:, 0], rows.counts[:, 0]
    equal = float((counts**2).sum() / counts.sum())
    if min((events > 0).sum(), (events < counts).sum()) < _FEW_EVENTS:
        return equal
    share = events.sum() / counts.sum()
    expected = float(share * (1 - share) * counts.sum())
    if not expected > 0:
        return equal
    return float(np.clip(((events - share * counts) ** 2).sum() / expected, 1.0, equal))


class _Exact:
    """Power of Fisher's exact test against a reference of known proportion."""

    def __init__(self, n: int, rejected: Floats, weights: Floats) -> None:
        self._n = n
        self._found = rejected @ weights  # chance to reject, by events of the group

    def __call__(self, risk: float) -> float:
        return float(stats.binom.pmf(np.arange(self._n + 1), self._n, risk) @ self._found)


class _Normal:
    """Power of the chi-squared test by the normal approximation."""

    def __init__(self, n: int, m: int, base: float, alpha: float) -> None:
        self._sizes, self._base, self._z = (n, m), base, special.ndtri(1 - alpha / 2)

    def __call__(self, risk: float) -> float:
        (n, m), base = self._sizes, self._base
        pooled = (n * risk + m * base) / (n + m)
        null = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        spread = np.sqrt(risk * (1 - risk) / n + base * (1 - base) / m)
        return float(special.ndtr((risk - base - self._z * null) / max(spread, 1e-12)))


def _normal(n: int, m: int, base: float, alpha: float) -> _Normal:
    return _Normal(n, m, base, alpha)


def _exact(n: int, m: int, base: float, alpha: float) -> _Exact | None:
    """Exact power, or None where there are too many tables to go through."""
    if n * (n + 1) > _MOST_CELLS:
        return None
    first, last = (int(v) for v in stats.binom.ppf([1e-6, 1 - 1e-6], m, base))
    y = np.arange(first, last + 1)
    if (n + len(y)) * (n + 1) > _MOST_CELLS:
        return None
    p = _fisher(n, m, first, last)
    weights = stats.binom.pmf(y, m, base)
    return _Exact(n, (p <= alpha * (1 + 1e-9)).astype(float), weights / weights.sum())


@lru_cache(maxsize=64)
def _fisher(n: int, m: int, first: int, last: int) -> Floats:
    """Two-sided p of Fisher's exact test, by events of the group and of the reference."""
    x = np.arange(n + 1)[None, :]
    total = np.arange(first, n + last + 1)[:, None]
    y = total - x
    possible = (y >= 0) & (y <= m)
    of_reference = _choose(m, np.arange(min(m, n + last) + 1))
    log = _choose(n, x) + of_reference[np.clip(y, 0, m)] - _choose(n + m, total)
    chance = np.where(possible, np.exp(log), 0.0)
    order = np.argsort(chance, axis=1)
    ranked = np.take_along_axis(chance, order, axis=1)
    summed = np.cumsum(ranked, axis=1)
    p = np.empty_like(chance)
    for row in range(len(chance)):  # tables as likely as the observed one count as extreme, too
        last_equal = np.searchsorted(ranked[row], ranked[row] * (1 + 1e-7), side="right") - 1
        p[row, order[row]] = summed[row, last_equal]
    return p[x[0][:, None] + np.arange(last - first + 1)[None, :], x[0][:, None]]


def _choose(n: int, k: np.ndarray) -> Floats:
    """Logarithm of a binomial coefficient."""
    return np.asarray(
        special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1), dtype=float
    )
