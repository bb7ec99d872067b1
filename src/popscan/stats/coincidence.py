"""How many pairs of a table's rows chance makes equal in all columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Pairs of rows that rates are measured on, and that columns are regressed on earlier ones with.
_PAIRS, _REGRESSED = 20_000, 4_000
#: Rates at zero are those of the nearest tenth of the differences.
_NEAR = 0.1
#: Fewest pairs that a rate is measured on; a column with fewer counts for nothing.
_FEWEST = 20
#: Fewest pairs of one subject's visits for rates of their own. With fewer, those of different
#: subjects hold, and each column counts a decade less: a subject resembles itself.
_FEWEST_OWN, _RESEMBLANCE = 50, 1.0
#: Equal pairs that must be seen before their number corrects the rates.
_SEEN = 10


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Expected numbers of pairs of rows that are equal by chance.

    Attributes
    ----------
    log10_pairs, log10_own_pairs
        Pairs of rows of any subjects, and of one subject; the excess of equal pairs over the rates
        is counted in.
    apart, own
        By column, the log10 of the rate at which two rows that agree in the columns before agree in
        it, too: rows of any subjects, and of one subject.
    """

    log10_pairs: float
    log10_own_pairs: float
    apart: np.ndarray
    own: np.ndarray

    def log10_expected(self, known: np.ndarray, *, apart: bool) -> float:
        """Return the log10 of the pairs expected equal in the known columns (bool, by column)."""
        if apart:
            return self.log10_pairs + float(self.apart[known].sum())
        return self.log10_own_pairs + float(self.own[known].sum())


def chance_of_equal_rows(values: np.ndarray, keys: np.ndarray, subjects: np.ndarray) -> Chance:
    """Estimate how many pairs of rows are equal by chance, from pairs that are not copies.

    A column's rate is the density of differences at zero times its finest step, or the share of
    equal values if that is larger; and at least that of what is left of it by linear regression on
    the columns before, of values and of logarithms, in pairs that are near there: differences,
    products and ratios of earlier columns say nothing new. Where more pairs agree in the first
    columns than follows from the rates, all expected numbers are larger by as much.

    Parameters
    ----------
    values
        (rows, columns); NaN for missing.
    keys
        Number of the group of equal rows that each row is of. Such pairs are left out of the rates:
        they may be copies.
    subjects
        Number of each row's subject.
    """
    n = len(values)
    log10_pairs = float(np.log10(max(n * (n - 1) / 2, 1)))
    steps = np.array([_step(column) for column in values.T])
    apart = _log10_rates(values, steps, _any_pairs(n), keys)
    pairs = _own_pairs(subjects)
    pairs = pairs[:, keys[pairs[0]] != keys[pairs[1]]]
    if pairs.shape[1] >= _FEWEST_OWN:
        own = _log10_rates(values, steps, pairs, keys)
    else:
        own = np.minimum(apart + _RESEMBLANCE, 0.0)
    more = _excess(values, keys, log10_pairs + np.cumsum(apart))
    log10_own_pairs = float(np.log10(max(_n_pairs(subjects), 1)))
    return Chance(
        log10_pairs=log10_pairs + more,
        log10_own_pairs=log10_own_pairs + more,
        apart=apart,
        own=own,
    )


def _step(values: np.ndarray) -> float:
    """Return a column's finest step; NaN for a constant."""
    gaps = np.diff(np.unique(values[np.isfinite(values)]))
    return float(gaps.min()) if len(gaps) else float("nan")


def _any_pairs(n: int) -> np.ndarray:
    """Return pairs of rows, (2, pairs): all, or as many as are enough."""
    if n * (n - 1) / 2 <= _PAIRS:
        return np.array(np.triu_indices(n, 1))
    rng = np.random.default_rng(0)
    first = rng.integers(0, n, _PAIRS)
    return np.array([first, (first + rng.integers(1, n, _PAIRS)) % n])


def _own_pairs(subjects: np.ndarray) -> np.ndarray:
    """Return pairs of neighbouring rows of one subject, (2, pairs)."""
    order = np.argsort(subjects, kind="stable")
    same = np.flatnonzero(np.diff(subjects[order]) == 0)[:_PAIRS]
    return np.array([order[same], order[same + 1]])


def _log10_rates(
    values: np.ndarray, steps: np.ndarray, pairs: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """Return the log10 of each column's rate of equal values given equal ones before."""
    pairs = pairs[:, keys[pairs[0]] != keys[pairs[1]]]
    first, second = values[pairs[0]], values[pairs[1]]
    apart = first - second
    size = (np.abs(first) + np.abs(second)) / 2
    positive = np.array([bool((column[np.isfinite(column)] > 0).all()) for column in values.T])
    logs = np.full_like(apart, np.nan)
    logs[:, positive] = np.log(first[:, positive] / second[:, positive])
    rates = np.zeros(values.shape[1])
    for column, step in enumerate(steps):
        own = apart[np.isfinite(apart[:, column]), column]
        if len(own) < _FEWEST or not np.isfinite(step):
            continue
        near = max(float(np.quantile(np.abs(own), _NEAR)), step)
        cells = 2 * np.floor(near / step + 1e-6) + 1
        rate = max(
            float((own == 0).mean()), float((np.abs(own) <= near * (1 + 1e-9)).mean()) / cells
        )
        rate = max(rate, 1.0 / (len(own) * cells))
        for left in _left_over(apart, logs, size, column):
            within = max(float(np.quantile(np.abs(left), _NEAR)), step / 2)
            rate = max(rate, float((np.abs(left) <= within).mean()) * step / (2 * within))
        rates[column] = np.log10(min(rate, 1.0))
    return rates


def _left_over(
    apart: np.ndarray, logs: np.ndarray, size: np.ndarray, column: int
) -> list[np.ndarray]:
    """Return what is left of a column's differences by regression on the earlier columns.

    By differences and by those of logarithms, each in the column's unit. Where too few pairs have
    all columns nothing is known to be left: a single zero.
    """
    if column == 0:
        return []
    found = []
    for target, before, unit in (
        (apart[:, column], apart[:, :column], np.ones(len(apart))),
        (logs[:, column], logs[:, :column], size[:, column]),
    ):
        if not np.isfinite(target).any():
            continue
        before = before[:, np.isfinite(before).any(axis=0)]
        complete = np.flatnonzero(np.isfinite(target) & np.isfinite(before).all(axis=1))
        complete = complete[:_REGRESSED]
        if len(complete) < 3 * before.shape[1] + _FEWEST:
            return [np.zeros(1)]
        x, y = before[complete], target[complete]
        scale = np.abs(x).mean(axis=0)
        x = x / np.where(scale > 0, scale, 1.0)
        keep = max(len(y) // 2, 3 * x.shape[1] + _FEWEST)
        near = np.argsort((x**2).sum(axis=1), kind="stable")[:keep]
        slope = np.linalg.lstsq(x[near], y[near], rcond=None)[0]
        found.append((y[near] - x[near] @ slope) * unit[complete][near])
    return found


def _excess(values: np.ndarray, keys: np.ndarray, log10_expected: np.ndarray) -> float:
    """Return by how much more pairs agree in the first columns than expected (log10, at least 0).

    Pairs that agree in all columns are not counted: they may be copies.
    """
    worst = 0.0
    codes = np.zeros(len(values), dtype=np.int64)
    known = np.ones(len(values), dtype=bool)
    for column, expected in enumerate(log10_expected):
        known &= np.isfinite(values[:, column])
        numbers = np.unique(values[:, column], return_inverse=True)[1].astype(np.int64)
        codes = np.unique(codes * (numbers.max() + 1) + numbers, return_inverse=True)[1]
        seen = _n_pairs(codes[known]) - _n_pairs(keys[known])
        if seen < _SEEN:
            break
        worst = max(worst, float(np.log10(seen)) - float(expected))
    return worst


def _n_pairs(codes: np.ndarray) -> float:
    """Return how many pairs have the same code."""
    counts = np.bincount(codes).astype(np.float64) if len(codes) else np.zeros(1)
    return float((counts * (counts - 1) / 2).sum())
