"""Visits in which two protocols differ by more than measurement explains, on the front page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from popscan.report.blocks import Bullets, Card, Cards, Cell, Column, Section, Table
from popscan.report.names import name_of

#: Rows that the page shows; the table in the study has all of them.
MOST_ROWS = 200
#: Visits that one command names.
MOST_UNITS = 20


def differing_visits(
    visits: pd.DataFrame | None, pages: Mapping[tuple[str, str], str]
) -> list[Section]:
    """Return the section; none where no protocol of the study has limits.

    Parameters
    ----------
    visits
        `popscan.study.agreeing_visits.agreement_visits`.
    pages
        Protocol and unit -> page of a subject.
    """
    if visits is None:
        return []
    flagged = visits[visits["verdict"] == "review"]
    n, beyond = visits["unit"].nunique(), flagged["unit"].nunique()
    blocks: list[Any] = [
        Cards(
            cards=[
                Card(value=str(n), label="visits that two protocols measured"),
                Card(
                    value=str(beyond), label="to be looked at: beyond the limits",
                    tone="warn" if beyond else "",
                ),
            ]
        )
    ]  # fmt: skip
    if beyond:
        blocks += [_table(flagged, pages), Bullets(items=_commands(flagged))]
    return [
        Section(
            ident="differing",
            title="Visits to be looked at",
            lead="One quantity, two protocols, one visit. The limits are what measurement explains "
            "where labels are right. Beyond them the labels of one protocol may be wrong, or the "
            "two are not of one visit. Nobody is excluded for it." + _sources(visits),
            blocks=blocks,
        )
    ]


def _sources(visits: pd.DataFrame) -> str:
    """Return a sentence on where the limits come from, for each pair of protocols."""
    pairs = visits[["first", "second", "limits_from"]].drop_duplicates()
    return "".join(
        f" {second} against {first}: limits from {source}."
        for first, second, source in pairs.itertuples(index=False, name=None)
        if source
    )


def _table(flagged: pd.DataFrame, pages: Mapping[tuple[str, str], str]) -> Table:
    titles = ("visit", "biomarker", "first", "second", "difference", "limits")
    rows = [_row(row, pages) for row in flagged.head(MOST_ROWS).to_dict("records")]
    return Table(
        caption="Differences beyond what measurement explains",
        columns=[Column(title=title) for title in titles],
        rows=rows,
        note=""
        if len(flagged) <= MOST_ROWS
        else f"The first {MOST_ROWS} of {len(flagged):,} rows; all are in tables/agreement_visits.",
    )


def _row(row: Mapping[Any, Any], pages: Mapping[tuple[str, str], str]) -> list[Cell]:
    unit, in_pct = str(row["unit"]), row["limits_of"] == "difference_pct"
    sides = [
        Cell(
            text=f"{row[f'{side}_value']:.1f} ({row[side]})",
            href=pages.get((str(row[side]), unit), ""),
        )
        for side in ("first", "second")
    ]
    return [
        Cell(text=unit),
        Cell(text=name_of(str(row["column"])).full()),
        *sides,
        Cell(text=f"{row[str(row['limits_of'])]:+.1f}{'%' if in_pct else ''}"),
        Cell(text=f"{row['low']:.1f} to {row['high']:.1f}"),
    ]


def _commands(flagged: pd.DataFrame) -> list[str]:
    """Return how to see the images of these visits."""
    every = list(dict.fromkeys(map(str, flagged["unit"])))
    units = every[:MOST_UNITS]
    some = f"the first {len(units)} of " if len(units) < len(every) else ""
    these = f"{some}{len(every)} visits" if some else "these visits"
    names = dict.fromkeys([*map(str, flagged["first"]), *map(str, flagged["second"])])
    return [
        f"Images and contours of {these}: popscan review STUDY/{name} --subjects {','.join(units)}"
        for name in names
    ]
