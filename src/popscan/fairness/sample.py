"""Rows and bootstrap draws of each attribute's groups, shared by all tables of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from popscan.fairness.groups import Grouping
from popscan.stats.means import Floats, Moments, Rows, moments, rows_from_values
from popscan.stats.resample import Draws, group_draws


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is resampled for one attribute.

    Attributes
    ----------
    rows : Rows
        One per unit, or one per subject and group.
    codes : ndarray of int, shape (rows,)
        Group of each row.
    draws
        Group -> bootstrap draws of its means.
    moments
        Group -> means and standard errors.
    clustered
        Whether rows are subjects with possibly several units.
    spans
        Whether a subject has units in several groups.
    """

    rows: Rows
    codes: NDArray[np.intp]
    draws: dict[int, Draws]
    moments: dict[int, Moments]
    clustered: bool
    spans: bool

    @cached_property
    def members(self) -> dict[int, NDArray[np.intp]]:
        """Group -> places of its rows, in order."""
        return {int(code): np.flatnonzero(self.codes == code) for code in np.unique(self.codes)}

    def column(self, code: int, k: int) -> Rows:
        """Return the rows of one group with a value of outcome `k`."""
        totals, counts = self.rows.by_outcome[0][k], self.rows.by_outcome[1][k]
        members = self.members[code]
        keep = members[counts[members] > 0]
        own = counts[keep].astype(np.float64)
        return Rows(totals=totals[keep][:, None], counts=own[:, None])


def draw_samples(
    values: Floats,
    groupings: Sequence[Grouping],
    clusters: NDArray[np.intp] | None,
    *,
    n_boot: int,
    seed: int,
) -> list[Sample]:
    """Draw the means of every group of every attribute.

    Parameters
    ----------
    values : ndarray, shape (units, outcomes)
        NaN where missing.
    groupings : sequence of Grouping
        Attributes and intersections.
    clusters : ndarray of int, shape (units,), optional
        Subject of each unit.
    n_boot, seed : int
        Number of draws, and their seed.

    Returns
    -------
    list of Sample
        One per grouping.
    """
    if values.size == 0:
        empty = rows_from_values(values)
        return [_sample(empty, g.codes, {}, False, False) for g in groupings]
    if clusters is None:
        rows = rows_from_values(values)
        found = group_draws(rows, [g.codes for g in groupings], n_boot=n_boot, seed=seed)
        return [
            _sample(rows, g.codes, draws, False, False)
            for g, draws in zip(groupings, found, strict=True)
        ]
    return [_clustered(values, g, clusters, n_boot, seed) for g in groupings]


def _clustered(
    values: Floats, grouping: Grouping, clusters: NDArray[np.intp], n_boot: int, seed: int
) -> Sample:
    """Sample of one attribute with one row per subject and group."""
    pairs, row_of = np.unique(
        np.stack([clusters, grouping.codes], axis=1), axis=0, return_inverse=True
    )
    rows = rows_from_values(values, row_of.reshape(-1))
    subjects, codes = pairs[:, 0].astype(np.intp), pairs[:, 1].astype(np.intp)
    spans = len(np.unique(subjects)) < len(subjects)
    draws = group_draws(
        rows, [codes], n_boot=n_boot, seed=seed, clusters=subjects if spans else None
    )[0]
    return _sample(rows, codes, draws, True, spans)


def _sample(
    rows: Rows, codes: NDArray[np.intp], draws: dict[int, Draws], clustered: bool, spans: bool
) -> Sample:
    """Add the moments of each group."""
    found = {int(code): moments(rows.take(codes == code)) for code in np.unique(codes)}
    return Sample(
        rows=rows, codes=codes, draws=draws, moments=found, clustered=clustered, spans=spans
    )
