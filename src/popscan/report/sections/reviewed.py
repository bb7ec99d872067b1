"""Headline numbers of all analysed subjects, and of those alone that quality control passed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import Cell, Column, Table
from popscan.report.context import StudyContext
from popscan.report.sections.biomarkers import measured
from popscan.report.sections.common import Options
from popscan.report.text import DASH, decimals, places_for, title_of
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import counted_as, final_status, verdicts
from popscan.scored import counted

#: Biomarkers in the table, the first in their order of display.
_MOST = 8
_FLAGGED = ("review", "fail")


def headline_table(context: StudyContext, options: Options) -> Table | None:
    """Return mean (SD) of Dice and biomarkers with and without the subjects flagged by QC.

    None where nobody analysed is flagged, and in a shared report: there the difference of the two
    would give away the few that were left out.
    """
    verdict = verdicts(context)
    outcome = final_status(context)
    flagged = set(verdict.index[verdict.isin(_FLAGGED)])
    if len(outcome):
        flagged &= set(map(str, outcome.index[outcome == "ok"]))
    if options.share or not flagged:
        return None
    rows, among = [], pd.Index(sorted(flagged), dtype=str)
    for title, values in _quantities(context, set(map(str, outcome.index[outcome == "ok"]))):
        rest = values[among.get_indexer(values.index) < 0]
        if len(rest) < len(values):
            rows.append(_row(title, values, rest))
    if not rows:
        return None
    columns = ("Analysed", "Mean (SD)", "Not flagged", "Mean (SD)", "Difference of means")
    return Table(
        caption=f"Headline numbers with and without the analysed {counted_as(context)} that "
        "quality control asks to review.",
        columns=[Column(title="Quantity"), *[Column(title=t, numeric=True) for t in columns]],
        rows=rows,
        dense=True,
    )


def _quantities(context: StudyContext, analysed: set[str]) -> list[tuple[str, pd.Series]]:
    """Return title and values by unit: Dice of unseen subjects, then biomarkers."""
    scores = counted(complete(context.scores, "unit", "dice"))
    dice = numbers(scores["dice"]).groupby(words(scores["unit"])).mean().dropna()
    found = [("Mean Dice", dice)] if len(dice) else []
    columns = measured(context)[:_MOST]
    units = words(complete(context.biomarkers, "unit")["unit"])
    for column in columns:
        values = pd.Series(numbers(context.biomarkers[column]).to_numpy(), index=units).dropna()
        found.append((title_of(column), values))
    if not analysed:
        return found
    among = pd.Index(sorted(analysed), dtype=str)
    return [(title, values[among.get_indexer(values.index) >= 0]) for title, values in found]


def _row(title: str, values: pd.Series, rest: pd.Series) -> list[Cell]:
    spread = float(values.std()) if len(values) > 1 else float(np.abs(values.mean()))
    places = places_for(spread)
    cells = [Cell(text=title)]
    for part in (values, rest):
        known = len(part) > 0
        text = (
            f"{decimals(part.mean(), places)} ({decimals(part.std(), places)})" if known else DASH
        )
        cells += [Cell(text=f"{len(part):,}"), Cell(text=text)]
    change = decimals(rest.mean() - values.mean(), places) if len(rest) else DASH
    return [*cells, Cell(text=change)]
