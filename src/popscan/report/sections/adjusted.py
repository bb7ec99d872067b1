"""Gaps adjusted for confounders, beside the gaps as they are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Bullets, Cell, Column, Details, Heading, Table, Text
from popscan.report.context import StudyContext
from popscan.report.figures.forest import axis_header, axis_limits, interval_cell
from popscan.report.sections.common import Options
from popscan.report.sections.gaps import outcome_order
from popscan.report.text import DASH, decimals, interval, p_value, places_for, plural, title_of
from popscan.report.tidy import complete, numbers, words

_NUMBERS = (
    "n", "n_reference", "gap_raw", "gap", "se", "ci_low", "ci_high", "p", "p_adj", "explained_pct",
)  # fmt: skip
_WORDS = ("attribute", "outcome", "group", "reference", "method", "adjusted_for", "kind", "note")
_SHOWN = 10
_READING = (
    "The orange tick is the crude gap of the same subjects, the circle the gap adjusted for the "
    "confounders, each divided by the standard error of the adjusted gap so that all "
    "rows share an axis. A gap that shrinks is explained by who is in the groups; what stays is "
    "not. Adjusting for what lies on the way from group to outcome (image quality, say) would hide "
    "what an audit looks for."
)


def adjusted_blocks(context: StudyContext, options: Options) -> list[Block]:
    """Return the table of adjusted gaps, clear ones first; nothing without one."""
    if not len(context.fairness_adjusted):
        return []
    table = complete(context.fairness_adjusted, *_NUMBERS, *_WORDS).copy()
    for column in _NUMBERS:
        table[column] = numbers(table[column])
    for column in _WORDS:
        table[column] = words(table[column])
    known = table[
        table["gap"].notna() & (table["se"] > 0) & (table["method"] != "unadjusted")
    ].copy()
    sentences = [*context.words.get("confounding", ()), *context.words.get("adjusted", ())]
    blocks: list[Block] = [Heading(text="Adjusted for confounders")]
    blocks += [Bullets(items=sentences)] if sentences else []
    if not len(known):
        return blocks if sentences else []
    blocks.append(Text(text=_READING, tone="note"))
    percent = known["kind"] == "binary"
    for column in ("gap_raw", "gap", "ci_low", "ci_high", "se"):
        known[column] = known[column].where(~percent, 100 * known[column])
    order = {name: i for i, name in enumerate(outcome_order(known, context.protocol))}
    known = known.assign(order=known["outcome"].map(order)).sort_values("order", kind="stable")
    for attribute in dict.fromkeys(known["attribute"]):
        part = known[known["attribute"] == attribute]
        clear = set(part.loc[part["p_adj"] <= options.alpha, "outcome"])
        names = sorted(dict.fromkeys(part["outcome"]), key=lambda name: name not in clear)
        shown = part["outcome"].isin(names[:_SHOWN])
        blocks.append(_table(part[shown], options))
        if not shown.all():
            summary = f"{plural(len(names) - _SHOWN, 'more outcome')} adjusted for confounders"
            blocks.append(Details(summary=summary, blocks=[_table(part[~shown], options)]))
    return blocks


def _without(part: pd.DataFrame) -> str:
    """Name the confounders that some or all rows go without."""
    lost = part.get("not_adjusted_for", pd.Series(dtype=str))
    names = dict.fromkeys(name for text in words(lost) for name in text.split(", "))
    named = [name for name in names if name]
    if not named:
        return ""
    whole = all(set(named) <= set(str(text).split(", ")) for text in lost)
    return f"; {'not' if whole else 'some rows not'} adjusted for {', '.join(named)}"


def _table(part: pd.DataFrame, options: Options) -> Table:
    """One attribute's adjusted gaps, by outcome."""
    drawn = {c: (part[c] / part["se"]).tolist() for c in ("ci_low", "ci_high", "gap")}
    limits = axis_limits(drawn["ci_low"], drawn["ci_high"], drawn["gap"])
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for outcome in dict.fromkeys(part["outcome"]):
        of = part[part["outcome"] == outcome]
        unit = " (% points)" if (of["kind"] == "binary").any() else ""
        headings[len(rows)] = f"{title_of(outcome)}{unit} · against {of['reference'].iloc[0]}"
        rows += [_row(row, limits, options) for row in of.to_dict("records")]
    held = max(part["adjusted_for"], key=len)
    return Table(
        caption=f"Gaps by {title_of(str(part['attribute'].iloc[0]), unit=False).lower()}, "
        f"adjusted for {held}{_without(part)}.",
        columns=[
            Column(title="Group"),
            Column(title="Method"),
            Column(title="n", numeric=True),
            Column(
                title="Gap in its standard errors",
                markup=axis_header(limits, left="lower than reference", right="higher"),
            ),
            Column(title="As it is", numeric=True),
            Column(title=f"Adjusted ({options.interval})", numeric=True),
            Column(title="Adjusted p", numeric=True, hint="corrected for multiplicity"),
        ],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
    )


def _row(row: Mapping[Hashable, Any], limits: tuple[float, float], options: Options) -> list[Cell]:
    places = places_for(float(row["ci_high"] - row["ci_low"]))
    text = f"{decimals(row['gap'], places)} ({interval(row['ci_low'], row['ci_high'], places)})"
    low, middle, high, raw = (
        float(row[c] / row["se"]) for c in ("ci_low", "gap", "ci_high", "gap_raw")
    )
    drawing = interval_cell(
        middle,
        low,
        high,
        limits=limits,
        strong=bool(row["p_adj"] <= options.alpha),
        mark=raw,
        alt=text,
    )
    return [
        Cell(text=str(row["group"])),
        Cell(text=str(row["method"])),
        Cell(text=options.count(row["n"])),
        Cell(markup=drawing),
        Cell(text=decimals(row["gap_raw"], places) if np.isfinite(row["gap_raw"]) else DASH),
        Cell(text=text),
        Cell(text=p_value(row["p_adj"])),
    ]
