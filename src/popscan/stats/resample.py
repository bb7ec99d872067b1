"""Bootstrap draws of group means, all outcomes and all groupings at once.

Two engines, chosen by the size of a group:

* up to `EXACT_BELOW` rows: the ordinary bootstrap, stratified by group (n rows drawn with
  replacement), as counts from one `bincount`;
* above: independent weights per row with mean 1 and variance 1 (the Poisson bootstrap; Chamandy
  et al. 2012, Google tech report; Praestgaard and Wellner 1993, Ann. Probab. 21). Such weights do
  not depend on the grouping, so one matrix of them serves every attribute and every outcome: rows
  are sorted by the cross of all attributes, each cell is one matrix product, cells add to groups.

Medians need no resampling of rows at all: the bootstrap distribution of an order statistic is
known (Efron 1979, Ann. Stat. 7, section 3), so its draws are drawn directly.

Seeds depend on the rows in a group, not on the group's name: renaming groups changes no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.stats.means import Floats, Rows
from popscan.stats.weights import blocks, unit_weights

#: Groups of at most this many rows get the ordinary stratified bootstrap.
EXACT_BELOW = 1000


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Bootstrap draws of one group, each of shape (draws, K).

    Attributes
    ----------
    mean
        Mean of the resampled group; NaN where a draw holds no value.
    se
        Its standard error in the same draw (for studentised intervals), or None for groups so
        large that nothing is studentised.
    """

    mean: Floats
    se: Floats | None


def group_draws(
    rows: Rows,
    groupings: Sequence[NDArray[np.intp]],
    *,
    n_boot: int,
    seed: int,
    clusters: NDArray[np.intp] | None = None,
    exact_below: int = EXACT_BELOW,
) -> list[dict[int, Draws]]:
    """Draw bootstrap means of every group of every grouping.

    Parameters
    ----------
    rows : Rows
        n rows, K outcomes.
    groupings : sequence of int arrays, shape (n,)
        Group code of each row, one array per attribute; -1 leaves a row out.
    n_boot : int
        Draws.
    seed : int
        Same seed and rows, same draws.
    clusters : int array, shape (n,), optional
        Code of the subject of each row, where a subject has rows in several groups: its rows then
        share their weights, so that the draws of two groups are correlated as the groups are.
    exact_below : int
        Groups with at most this many rows get the ordinary bootstrap.

    Returns
    -------
    list of dict
        Per grouping: group code -> `Draws`.
    """
    found: list[dict[int, Draws]] = [{} for _ in groupings]
    large: list[tuple[int, int]] = []
    for a, codes in enumerate(groupings):
        for code in np.unique(codes[codes >= 0]):
            members = np.flatnonzero(codes == code)
            if clusters is not None or len(members) > exact_below:
                large.append((a, int(code)))
                continue
            rng = np.random.default_rng([seed, int(members[0]), len(members)])
            found[a][int(code)] = _exact(rows.take(members), n_boot, rng)
    for (a, code), draws in _weighted(
        rows, groupings, large, n_boot=n_boot, seed=seed, clusters=clusters
    ).items():
        found[a][code] = draws
    return found


def sum_draws(
    table: Floats,
    codes: NDArray[np.intp],
    *,
    n_boot: int,
    seed: int,
    exact_below: int = EXACT_BELOW,
) -> dict[int, Floats]:
    """Draw bootstrap sums of the columns of a table, stratified by group.

    Whatever is a function of sums (means, covariances, regressions by their normal equations) can
    be computed from them for all draws at once.

    Parameters
    ----------
    table : ndarray, shape (n, c)
        Finite numbers.
    codes : ndarray of int, shape (n,)
        Group of each row; -1 leaves a row out.
    n_boot, seed : int
        Number of draws, and their seed.
    exact_below : int
        As in `group_draws`.

    Returns
    -------
    dict
        Group code -> array (n_boot, c).
    """
    return sums_draws([table], codes, n_boot=n_boot, seed=seed, exact_below=exact_below)[0]


def sums_draws(
    tables: Sequence[Floats],
    codes: NDArray[np.intp],
    *,
    n_boot: int,
    seed: int,
    exact_below: int = EXACT_BELOW,
) -> list[dict[int, Floats]]:
    """Draw bootstrap sums of several tables of the same rows, with the same weights.

    Parameters
    ----------
    tables : sequence of ndarray, each of shape (n, c)
        Finite numbers.
    codes, n_boot, seed, exact_below
        As in `sum_draws`, which draws the same of each table.

    Returns
    -------
    list of dict
        Per table: group code -> array (n_boot, c).
    """
    found: list[dict[int, Floats]] = [{} for _ in tables]
    for code in np.unique(codes[codes >= 0]):
        members = np.flatnonzero(codes == code)
        rng = np.random.default_rng([seed, int(members[0]), len(members)])
        parts = [table[members] for table in tables]
        sums = _sums(parts, n_boot, rng, ordinary=len(members) <= exact_below)
        for one, drawn in zip(found, sums, strict=True):
            one[int(code)] = drawn
    return found


def _sums(
    tables: Sequence[Floats], n_boot: int, rng: np.random.Generator, *, ordinary: bool
) -> list[Floats]:
    """Sum over resampled rows of one group, the same rows of every table."""
    n = len(tables[0])
    parts: list[list[Floats]] = [[] for _ in tables]
    for size in blocks(n_boot, n):
        weights: NDArray[Any]
        if ordinary:
            drawn = rng.integers(0, n, size=(size, n), dtype=np.int64)
            drawn += np.arange(size, dtype=np.int64)[:, None] * n
            weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        else:
            weights = unit_weights(rng, (size, n))
        exact = weights.astype(np.float64)
        del weights  # as large again
        for part, table in zip(parts, tables, strict=True):
            part.append(exact @ table)
    return [np.concatenate(part) for part in parts]


def _exact(rows: Rows, n_boot: int, rng: np.random.Generator) -> Draws:
    """Ordinary bootstrap of one group."""
    centre = rows.totals.sum(axis=0) / np.maximum(rows.counts.sum(axis=0), 1)
    x0 = rows.counts
    x1 = rows.totals - centre * x0  # centred: sums of squares keep their digits
    table = np.concatenate([x0, x1, x1 * x1, x1 * x0, x0 * x0, x0 > 0], axis=1)
    (sums,) = _sums([table], n_boot, rng, ordinary=True)
    s0, s1, s11, s10, s00, present = np.split(sums, 6, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = s1 / s0
        squares = np.maximum(s11 - 2 * mean * s10 + mean**2 * s00, 0.0)
        se = np.sqrt(squares * present / (present - 1)) / s0
    return Draws(mean=mean + centre, se=se)


def _weighted(
    rows: Rows,
    groupings: Sequence[NDArray[np.intp]],
    wanted: Sequence[tuple[int, int]],
    *,
    n_boot: int,
    seed: int,
    clusters: NDArray[np.intp] | None,
) -> dict[tuple[int, int], Draws]:
    """Poisson bootstrap of the large groups, with one set of weights for all of them."""
    if not wanted:
        return {}
    k = rows.totals.shape[1]
    cells, membership = _cross(groupings, wanted)
    order = np.flatnonzero(cells >= 0)
    order = order[np.argsort(cells[order], kind="stable")]
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    table, centre, scale, pattern = _float32_table(rows.take(order))
    rng = np.random.default_rng([seed, len(order)])
    n_clusters = 0 if clusters is None else int(clusters.max()) + 1
    means = {key: np.empty((n_boot, k)) for key in wanted}
    done = 0
    for size in blocks(n_boot, len(order)):
        weights = unit_weights(rng, (size, len(order) if clusters is None else n_clusters))
        if clusters is not None:
            weights = weights[:, clusters[order]]
        cell_sums = np.stack(
            [weights[:, i:j] @ table[i:j] for i, j in zip(starts, ends, strict=True)], axis=0
        ).astype(np.float64)
        for g, key in enumerate(wanted):
            sums = cell_sums[membership[g]].sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = sums[:, :k] / sums[:, k + pattern]
            means[key][done : done + size] = mean * scale + centre
        done += size
    return {key: Draws(mean=value, se=None) for key, value in means.items()}


def _cross(
    groupings: Sequence[NDArray[np.intp]], wanted: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.intp], list[NDArray[np.bool_]]]:
    """Cell of each row in the cross of the wanted groups; which cells make up each group."""
    flags = np.stack([groupings[a] == code for a, code in wanted], axis=1)
    kinds, first, cells = np.unique(flags, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(len(kinds), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(kinds))  # by appearance: names play no part
    kinds = kinds[np.argsort(first)]
    cells = rank[cells.reshape(-1)]
    used = kinds.any(axis=1)
    compact = np.where(used, np.cumsum(used) - 1, -1)
    return compact[cells], [kinds[used, g] for g in range(len(wanted))]


def _float32_table(
    rows: Rows,
) -> tuple[NDArray[np.float32], Floats, Floats, NDArray[np.intp]]:
    """Standardised totals beside the distinct columns of counts, for float32 products."""
    centre = rows.totals.sum(axis=0) / np.maximum(rows.counts.sum(axis=0), 1)
    centred = rows.totals - centre * rows.counts
    scale = np.sqrt((centred**2).mean(axis=0))
    scale[scale == 0] = 1.0
    counts, pattern = _different_columns(rows.counts)
    table = np.concatenate([centred / scale, counts], axis=1).astype(np.float32)
    return np.ascontiguousarray(table), centre, scale, pattern


def _different_columns(counts: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the different columns as `numpy.unique` orders them, and which each column is.

    Equal columns are found by their bytes, so that only different ones are compared.
    """
    places: dict[bytes, int] = {}
    first: list[int] = []
    which: list[int] = []
    for k, column in enumerate(np.ascontiguousarray(counts.T)):
        place = places.setdefault(column.tobytes(), len(places))
        if place == len(first):
            first.append(k)
        which.append(place)
    different, order = np.unique(counts[:, first], axis=1, return_inverse=True)
    return different, np.asarray(order).reshape(-1)[np.asarray(which, dtype=np.intp)]


def quantile_draws(
    ordered: np.ndarray, level: float, *, n_boot: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw from the exact bootstrap distribution of a quantile.

    Parameters
    ----------
    ordered : ndarray, shape (n,)
        Sorted values without NaN, n >= 1.
    level : float
        0..1.
    n_boot : int
        Draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (n_boot,)
        Quantiles (linear between order statistics, as `numpy.quantile`) of bootstrap samples.

    Notes
    -----
    The k-th smallest of n uniforms is Beta(k, n - k + 1); given it, the next one is
    ``u + (1 - u) Beta(1, n - k)``.
    """
    n = len(ordered)
    position = level * (n - 1)
    k = int(position) + 1
    u = rng.beta(k, n - k + 1, size=n_boot)
    below = ordered[np.minimum((u * n).astype(np.intp), n - 1)]
    if k == n:
        return below
    u = u + (1 - u) * rng.beta(1, n - k, size=n_boot)
    above = ordered[np.minimum((u * n).astype(np.intp), n - 1)]
    return below + (position - int(position)) * (above - below)
