"""Means of groups as ratios of totals to counts, so that repeated scans need no second code path.

A *row* is what is resampled: one visit, or one subject with all its visits. A row holds the total
of its values and their count, both 0 where the value is missing. The mean of a group is
``sum(totals) / sum(counts)``; with one value a row this is the ordinary mean and the formulas
below reduce to the ordinary ones (the standard error to ``sd / sqrt(n)`` with ``n - 1``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Totals and counts per row, for K outcomes.

    Attributes
    ----------
    totals : ndarray of float64, shape (rows, K)
        Sum of the row's values; 0 where all are missing.
    counts : ndarray of float64, shape (rows, K)
        Number of the row's values that are not missing.
    """

    totals: Floats
    counts: Floats

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which rows have a value, shape (rows, K)."""
        return self.counts > 0

    def take(self, index: NDArray[Any]) -> Rows:
        """Return the rows selected by a boolean or integer index."""
        return Rows(totals=self.totals[index], counts=self.counts[index])

    def column(self, k: int) -> Rows:
        """Return outcome `k` alone, without its missing rows."""
        keep = self.counts[:, k] > 0
        return Rows(totals=self.totals[keep, k : k + 1], counts=self.counts[keep, k : k + 1])

    @cached_property
    def by_outcome(self) -> tuple[Floats, NDArray[np.float32]]:
        """Totals and counts with each outcome's next to each other in memory, (K, rows) each."""
        counts = np.ascontiguousarray(self.counts.T, dtype=np.float32)  # whole numbers, few
        return np.ascontiguousarray(self.totals.T), counts


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over the rows of one group that every interval needs; each of shape (K,).

    Attributes
    ----------
    n_rows
        Rows with a value.
    n_values
        Values (more than rows where subjects repeat).
    mean
        NaN without values.
    se
        Standard error of the mean (linearised for repeated rows); NaN below two rows.
    second, third
        Sums of squared and cubed influence values of the mean, whence the acceleration of BCa.
    """

    n_rows: Floats
    n_values: Floats
    mean: Floats
    se: Floats
    second: Floats
    third: Floats


def rows_from_values(values: ArrayLike, clusters: ArrayLike | None = None) -> Rows:
    """Make rows from values, one per value or one per cluster.

    Parameters
    ----------
    values : array, shape (n,) or (n, K)
        NaN where missing.
    clusters : array of int, shape (n,), optional
        Code 0..C-1 of the subject that each row belongs to.

    Returns
    -------
    Rows
        n rows, or C rows in order of the cluster codes.
    """
    array = np.ascontiguousarray(values, dtype=np.float64)  # sums depend on the order in memory
    if array.ndim == 1:
        array = array[:, None]
    counts = np.isfinite(array).astype(np.float64)
    totals = np.where(counts > 0, array, 0.0)
    if clusters is None:
        return Rows(totals=totals, counts=counts)
    codes = np.asarray(clusters, dtype=np.intp)
    shape = (int(codes.max(initial=-1)) + 1, array.shape[1])
    summed_totals, summed_counts = np.zeros(shape), np.zeros(shape)
    np.add.at(summed_totals, codes, totals)
    np.add.at(summed_counts, codes, counts)
    return Rows(totals=summed_totals, counts=summed_counts)


def moments(rows: Rows) -> Moments:
    """Return mean, standard error and influence sums of one group of rows.

    Parameters
    ----------
    rows : Rows
        The group; may be empty, which gives NaN.

    Returns
    -------
    Moments
        Arrays of shape (K,).
    """
    n_rows = (rows.counts > 0).sum(axis=0).astype(np.float64)
    n_values = rows.counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = rows.totals.sum(axis=0) / n_values
        influence = (rows.totals - mean * rows.counts) / n_values
        second = (influence**2).sum(axis=0)
        third = (influence**3).sum(axis=0)
        se = np.sqrt(second * n_rows / (n_rows - 1))
    undefined = n_values == 0
    return Moments(
        n_rows=n_rows,
        n_values=n_values,
        mean=np.where(undefined, np.nan, mean),
        se=np.where(n_rows < 2, np.nan, se),
        second=np.where(undefined, np.nan, second),
        third=np.where(undefined, np.nan, third),
    )
