"""Whom a subject resembles: other visits of the same person, and those with like measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.report.blocks import Block, Bullets, Cell, Column, Table
from popscan.report.text import number, title_of
from popscan.report.tidy import numbers, words

#: Of so many rows all distances are computed.
_FEW = 2000
#: More than sums of squares can be off by, as a share of their terms.
_ROUNDING = 1e-9


def _person(unit: str) -> str:
    return unit.partition("_ses-")[0]


class Others:
    """Everybody's biomarkers, brought in order once: every page of a subject looks through them.

    Parameters
    ----------
    biomarkers
        ``unit``, and biomarkers.
    units
        All units of the study.
    columns
        Biomarkers that are compared; those that the table lacks are left out.
    """

    def __init__(
        self, biomarkers: pd.DataFrame, units: Sequence[str], columns: Sequence[str]
    ) -> None:
        self.columns = [c for c in columns if c in biomarkers] if "unit" in biomarkers else []
        self._biomarkers = biomarkers
        self._visits: dict[str, list[str]] = {}
        for unit in units:
            self._visits.setdefault(_person(unit), []).append(unit)
        names = words(biomarkers["unit"]).tolist() if self.columns else []
        #: What is counted: visits where a subject has several.
        self.counted = "visits" if len(self._visits) < len(units) else "subjects"
        self._rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            self._rows.setdefault(name, []).append(row)
        values = biomarkers[self.columns].apply(numbers)
        spread = values.std().to_numpy()
        self._values = values.to_numpy()
        self._scaled = self._values / np.where(spread > 0, spread, np.nan)
        self._known = np.isfinite(self._scaled).astype(float)
        middle = values.mean().to_numpy() / np.where(spread > 0, spread, np.nan)
        self._filled = np.where(self._known > 0, self._scaled - middle, 0.0)
        self._ranked = [np.sort(column[np.isfinite(column)]) for column in self._values.T]

    def visits(self, unit: str) -> list[str]:
        """Return the other visits of the subject, in order."""
        return [other for other in self._visits.get(_person(unit), []) if other != unit]

    def places(self, unit: str) -> dict[str, float]:
        """Return the percentage of units with a smaller value, by column, where defined."""
        here, found = self._rows.get(unit, []), {}
        for k, column in enumerate(self.columns if here else []):
            value, own = self._values[here[-1], k], self._values[here, k]
            n = len(self._ranked[k]) - int(np.isfinite(own).sum())
            if np.isfinite(value) and n:
                below = int(np.searchsorted(self._ranked[k], value)) - int((own < value).sum())
                found[column] = 100 * (below / n)
        return found

    def nearest(self, unit: str, *, count: int = 5) -> pd.DataFrame:
        """Return the subjects whose values are nearest.

        Nearness is the root mean square difference of the columns that both have, each in standard
        deviations of the study.

        Parameters
        ----------
        unit
            The subject.
        count
            Most rows.

        Returns
        -------
        DataFrame
            ``unit``, ``distance`` and the columns, the nearest first; empty where nothing can be
            compared.
        """
        here = self._rows.get(unit, [])
        if not here:
            return pd.DataFrame()
        places = self._near(here, count=count)
        squares = (self._scaled[places] - self._scaled[here[-1]]) ** 2
        known = np.isfinite(squares)
        n = known.sum(axis=1)
        enough = n >= max(1, int(self._known[here[-1]].sum()) // 2)
        mean = np.where(known, squares, 0.0).sum(axis=1) / np.maximum(n, 1)
        distance = np.where(enough, np.sqrt(mean), np.inf)
        distance[np.isin(places, here)] = np.inf
        order = np.argsort(distance, kind="stable")[:count]
        order = order[np.isfinite(distance[order])]
        rows = self._biomarkers.iloc[places[order]][["unit", *self.columns]]
        return rows.assign(distance=distance[order]).reset_index(drop=True)

    def _near(self, here: Sequence[int], *, count: int) -> NDArray[np.intp]:
        """Return the places, in order, among which the `count` nearest are surely.

        Squares of differences are summed as three products, which is quick for very many rows
        and off by rounding; what is nearer than that allows is kept.
        """
        total = len(self._scaled)
        mine, known = self._filled[here[-1]], self._known[here[-1]]
        n = self._known @ known
        others = np.flatnonzero(n >= max(1, int(known.sum()) // 2))
        others = others[~np.isin(others, here)]
        if len(others) <= count or total <= _FEW:
            return np.arange(total)
        filled = self._filled[others]
        sums = filled**2 @ known - 2 * (filled @ mine) + self._known[others] @ mine**2
        mean = sums / n[others]
        size = (filled**2 @ known + float(mine @ mine)) / n[others]
        nearest = np.argpartition(mean, count - 1)[:count]
        reach = float((mean[nearest] + _ROUNDING * size[nearest]).max())
        near: NDArray[np.intp] = others[mean - _ROUNDING * size <= reach]
        return near


def resembling(others: Others, unit: str, pages: Mapping[str, str]) -> list[Block]:
    """Return other visits, where a subject stands among all, and whom it resembles.

    Parameters
    ----------
    others
        Of the study.
    unit
        The subject.
    pages
        Unit -> file of those who have a page.
    """
    blocks: list[Block] = []
    visits = others.visits(unit)
    if visits:
        rows = [[Cell(text=other, href=pages.get(other, ""))] for other in visits]
        blocks.append(Table(caption="Other visits.", columns=[Column(title="Visit")], rows=rows))
    columns = others.columns
    near = others.nearest(unit) if columns else None
    if near is None or not len(near):
        return blocks
    counted = others.counted
    stands = [
        f"{title_of(column, unit=False)} is larger than that of {rank:.0f}% of the {counted}."
        for column, rank in others.places(unit).items()
    ]
    rows = [
        [Cell(text=str(row["unit"]), href=pages.get(str(row["unit"]), "")),
         Cell(text=number(row["distance"])), *(Cell(text=number(row[c])) for c in columns)]
        for _, row in near.iterrows()
    ]  # fmt: skip
    head = [Column(title="Subject"), Column(title="Distance (SD)", numeric=True)]
    head += [Column(title=title_of(c), numeric=True, hint=c) for c in columns]
    return [
        *blocks,
        Bullets(items=stands),
        Table(caption="Subjects with the most similar values.", columns=head, rows=rows),
    ]
