"""Biomarkers that are too many for the main table: one line each, all subjects together."""

from __future__ import annotations

import numpy as np

from popscan.report.blocks import Block, Cell, Details, Table
from popscan.report.context import StudyContext
from popscan.report.sections.common import Options, header, small
from popscan.report.text import DASH, decimals, places_for, plural, title_of
from popscan.report.tidy import numbers
from popscan.report.units import counted_as

#: Ends of intervals stand beside their biomarker in the data, not here.
_ENDS = ("_low", "_high")


def details(context: StudyContext, options: Options) -> list[Block]:
    """Return a table, folded, of mean and SD of every column of the protocol's details.

    Empty where the protocol has none, or none was measured.
    """
    rows, empty = [], 0
    for name, column in context.protocol.biomarkers.detail_columns().items():
        if column.kind != "number" or any(f"{end}_" in f"{name}_" for end in _ENDS):
            continue
        if name not in context.biomarkers:
            continue
        values = numbers(context.biomarkers[name]).dropna().to_numpy(dtype=float)
        if not values.size:
            empty += 1
            continue
        hidden = small(values.size, options)
        places = places_for(float(np.std(values)))
        spread = float(values.std(ddof=1)) if values.size > 1 else np.nan
        rows.append(
            [
                Cell(text=title_of(name)),
                Cell(text=column.meaning),
                Cell(text=options.count(values.size)),
                Cell(text=DASH if hidden else decimals(float(values.mean()), places)),
                Cell(text=DASH if hidden else decimals(spread, places)),
            ]
        )
    if not rows:
        return []
    note = f"{plural(empty, 'further biomarker')} could not be measured in any subject."
    table = Table(
        caption=f"Further biomarkers, all analysed {counted_as(context)}.",
        columns=header("Biomarker", "Definition", "n", "Mean", "SD", numeric_from=2),
        rows=rows,
        dense=True,
        note=note if empty else "",
    )
    return [Details(summary=f"{plural(len(rows), 'further biomarker')}", blocks=[table])]
