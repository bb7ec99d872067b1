"""Sections that other parts of popscan add."""

from __future__ import annotations

import pandas as pd

from popscan.protocol import load
from popscan.report.blocks import Block, Bullets, Figure, Section, Text, nothing
from popscan.report.context import Extra, StudyContext
from popscan.report.names import structures
from popscan.report.sections.common import Options, frame_table
from popscan.report.tidy import numbers


def sections(context: StudyContext, options: Options) -> list[Section]:
    """Return the further sections; in a shared report those that may be shared."""
    shown = [extra for extra in context.extras if extra.shared or not options.share]
    return [_section(extra, options) for extra in shown]


def of_protocol(context: StudyContext, options: Options) -> list[Section]:
    """Return the sections that the study's protocol adds; in a shared report those that may be."""
    made = [load(where)(context) for where in context.protocol.report_blocks]
    return [
        _section(extra, options)
        for extra in made
        if extra is not None and (extra.shared or not options.share)
    ]


def _section(extra: Extra, options: Options) -> Section:
    lines = extra.shared_sentences if options.share else extra.sentences
    blocks: list[Block] = [Bullets(items=list(lines))] if lines else []
    blocks += [Figure(markup=markup, caption=caption) for markup, caption in extra.figures]
    tables = extra.tables
    if options.share and extra.shared_tables is not None:
        tables = extra.shared_tables
    for caption, table in tables:
        shown = _with_titles(_without_small_cells(table, options))
        if len(shown):
            blocks.append(frame_table(shown, caption=caption, max_rows=options.max_rows))
    blocks += [Text(text=note, tone="note") for note in extra.notes]
    return Section(
        ident=extra.ident,
        title=extra.title,
        lead=extra.lead,
        blocks=blocks or nothing("There is nothing to show."),
    )


def _with_titles(table: pd.DataFrame) -> pd.DataFrame:
    """Name structures by their titles."""
    if "structure" not in table:
        return table
    return table.assign(structure=table["structure"].replace(dict(structures())))


def _without_small_cells(table: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Leave out rows that rest on few people; round what is left of the counts."""
    counts = [c for c in map(str, table.columns) if c == "n" or c.startswith("n_")]
    if not options.share or not counts:
        return table
    sizes = table[counts].apply(numbers)
    small = ((sizes > 0) & (sizes < options.minimum)).any(axis=1)
    kept = table[~small].copy()
    for column in counts:
        kept[column] = numbers(kept[column]).map(options.rounded, na_action="ignore")
    return kept
