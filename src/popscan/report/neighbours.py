"""Whom a subject resembles: other visits of the same person, and those with like measurements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Bullets, Cell, Column, Table
from popscan.report.text import number, title_of
from popscan.report.tidy import numbers, words


def other_visits(units: list[str], unit: str) -> list[str]:
    """Return the other visits of the subject, in order."""
    person = unit.partition("_ses-")[0]
    return [other for other in units if other != unit and other.partition("_ses-")[0] == person]


def places(biomarkers: pd.DataFrame, unit: str, columns: list[str]) -> dict[str, float]:
    """Return the percentage of subjects with a smaller value, by column; where it is defined."""
    at = np.flatnonzero((words(biomarkers["unit"]) == unit).to_numpy())
    found = {}
    for column in columns:
        values = numbers(biomarkers[column])
        if not at.size or not np.isfinite(values.iloc[at[-1]]):
            continue
        known = values.drop(values.index[at]).dropna()
        if len(known):
            found[column] = 100 * float((known < values.iloc[at[-1]]).mean())
    return found


def most_similar(
    biomarkers: pd.DataFrame, unit: str, columns: list[str], *, count: int = 5
) -> pd.DataFrame:
    """Return the subjects whose values are nearest.

    Nearness is the root mean square difference of the columns that both have, each in standard
    deviations of the study.

    Parameters
    ----------
    biomarkers
        ``unit`` and `columns`.
    unit
        The subject.
    columns
        Compared.
    count
        Most rows.

    Returns
    -------
    DataFrame
        ``unit``, ``distance`` and `columns`, the nearest first; empty where nothing can be
        compared.
    """
    units = words(biomarkers["unit"])
    values = biomarkers[columns].apply(numbers)
    here = np.flatnonzero((units == unit).to_numpy())
    if not columns or not here.size:
        return pd.DataFrame()
    spread = values.std().to_numpy()
    scaled = values.to_numpy() / np.where(spread > 0, spread, np.nan)
    squares = (scaled - scaled[here[-1]]) ** 2
    known = np.isfinite(squares)
    n = known.sum(axis=1)
    enough = n >= max(1, int(known[here[-1]].sum()) // 2)
    mean = np.where(known, squares, 0.0).sum(axis=1) / np.maximum(n, 1)
    distance = np.where(enough & (units != unit).to_numpy(), np.sqrt(mean), np.inf)
    order = np.argsort(distance, kind="stable")[:count]
    order = order[np.isfinite(distance[order])]
    rows = biomarkers.iloc[order][["unit", *columns]]
    return rows.assign(distance=distance[order]).reset_index(drop=True)


def resembling(
    values: pd.DataFrame,
    units: list[str],
    unit: str,
    columns: list[str],
    pages: Mapping[str, str],
) -> list[Block]:
    """Return other visits, where a subject stands among all, and whom it resembles.

    Parameters
    ----------
    values
        Biomarkers of the study.
    units
        All units.
    unit
        The subject.
    columns
        Biomarkers that are compared, where the study has them.
    pages
        Unit -> file of those who have a page.
    """
    blocks: list[Block] = []
    visits = other_visits(units, unit)
    if visits:
        rows = [[Cell(text=other, href=pages.get(other, ""))] for other in visits]
        blocks.append(Table(caption="Other visits.", columns=[Column(title="Visit")], rows=rows))
    columns = [column for column in columns if column in values]
    near = most_similar(values, unit, columns) if columns and "unit" in values else None
    if near is None or not len(near):
        return blocks
    share = places(values, unit, columns)
    stands = [
        f"{title_of(column, unit=False)} is larger than that of {rank:.0f}% of the subjects."
        for column, rank in share.items()
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
