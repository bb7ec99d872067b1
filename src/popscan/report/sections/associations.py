"""Associations of biomarkers with age, sex and body size, as forests in a table."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Details, Table, nothing
from popscan.report.context import StudyContext
from popscan.report.figures.forest import axis_header, axis_limits, interval_cell
from popscan.report.sections.common import Options
from popscan.report.text import (
    decimals,
    interval,
    number,
    p_value,
    places_for,
    plural,
    title_of,
    unit_of,
)
from popscan.report.tidy import complete, numbers, words

_INTERCEPTS = ("intercept", "const", "(intercept)")
_NUMBERS = ("estimate", "ci_low", "ci_high", "p", "q", "n")
#: Terms that a model was to have and has not, in its note.
_LOST = re.compile(r"not adjusted for ([^;]+)")
#: Biomarkers of each term that are shown without opening anything.
_SHOWN = 12


def _spread(tables: tuple[pd.DataFrame, ...], column: str) -> float:
    """SD of a column of the first table that has it as numbers; NaN if none has."""
    for table in tables:
        if column in table:
            values = numbers(table[column])
            if values.nunique() > 2:
                return float(values.std())
    return float("nan")


def _tidy(context: StudyContext) -> pd.DataFrame:
    """Return what was estimated, with `scale` (SD of the outcome) and `step` (SD of the term)."""
    table = complete(context.associations, "outcome", "term", *_NUMBERS).copy()
    for column in _NUMBERS:
        table[column] = numbers(table[column])
    table["outcome"], table["term"] = words(table["outcome"]), words(table["term"])
    table["note"] = words(table["note"]) if "note" in table else ""
    table = table[~table["term"].str.lower().isin(_INTERCEPTS) & table["estimate"].notna()].copy()
    outcomes = {o: _spread((context.biomarkers,), o) for o in table["outcome"].unique()}
    sources = (context.participants, context.biomarkers)
    terms = {t: _spread(sources, t) for t in table["term"].unique()}
    scale = table["outcome"].map(outcomes).astype(float)
    table["scale"] = scale.where(scale > 0)
    if "step" not in table:
        table["step"] = table["term"].map(terms).astype(float)
    return table


def _row(row: pd.Series, limits: tuple[float, float], options: Options) -> list[Cell]:
    places = places_for(float(row["ci_high"] - row["ci_low"]))
    ends = interval(row["ci_low"], row["ci_high"], places)
    text = f"{decimals(row['estimate'], places)} ({ends})"
    adjusted = row["q"] if np.isfinite(row["q"]) else row["p"]
    drawing = interval_cell(
        row["drawn"], row["drawn_low"], row["drawn_high"],
        limits=limits, strong=bool(adjusted < 0.05), alt=text,
    )  # fmt: skip
    return [
        Cell(text=title_of(row["outcome"])),
        Cell(markup=drawing),
        Cell(text=text),
        Cell(text=p_value(row["p"])),
        Cell(text=p_value(row["q"])),
        Cell(text=options.count(row["n"])),
    ]


def _heading(term: str, step: float) -> str:
    level = re.fullmatch(r"(\w+)\[(.+)\]", term)
    if level:
        return f"{title_of(level[1], unit=False)}: {level[2]}"
    name = title_of(term)
    if not np.isfinite(step):
        return name
    unit = unit_of(term)
    what = title_of(term, unit=False)
    what = what if what.isupper() else what.lower()
    spread = f"{number(step, digits=2)} {unit}".strip()
    return f"Per {unit.removesuffix('s') or 'unit'} of {what}, drawn per SD ({spread})"


def _without(part: pd.DataFrame) -> str:
    """Name the terms that models go without, and whose models those are."""
    lost: dict[str, list[str]] = {}
    for outcome, notes in part.groupby("outcome", sort=False)["note"]:
        for match in map(_LOST.search, words(notes)):
            if match and str(outcome) not in lost.setdefault(match[1], []):
                lost[match[1]].append(str(outcome))
    n = part["outcome"].nunique()
    parts = [
        f"not adjusted for {names}" + ("" if len(of) == n else f" ({', '.join(map(title_of, of))})")
        for names, of in lost.items()
    ]
    return "".join(f"; {text}" for text in parts)


def associations(context: StudyContext, options: Options) -> list[Block]:
    """Return the table of associations, or why there is none.

    Drawn in standard deviations of the biomarker, per standard deviation of a term that is a
    number, so that all rows share one axis; written in the units of the model.
    """
    table = _tidy(context)
    if not len(table):
        return nothing("No model could be fitted, so there are no associations to show.")
    step = table["step"].fillna(1.0) / table["scale"]
    for new, old in (("drawn", "estimate"), ("drawn_low", "ci_low"), ("drawn_high", "ci_high")):
        table[new] = table[old] * step
    ends = (table[c].tolist() for c in ("drawn_low", "drawn_high", "drawn"))
    limits = axis_limits(*ends)

    def forest(part: pd.DataFrame) -> Table:
        rows: list[list[Cell]] = []
        headings: dict[int, str] = {}
        for term in dict.fromkeys(part["term"]):
            found = part[part["term"] == term]
            headings[len(rows)] = _heading(term, float(found["step"].iloc[0]))
            rows += [_row(row, limits, options) for _, row in found.iterrows()]
        return Table(
            caption="Change of each biomarker with each term, adjusted for the other terms of "
            f"its model{_without(part)}.",
            columns=[
                Column(title="Biomarker"),
                Column(
                    title="In SDs of the biomarker",
                    markup=axis_header(limits, left="lower", right="higher"),
                ),
                Column(title="Estimate (95% interval)", numeric=True),
                Column(title="p", numeric=True),
                Column(title="q", numeric=True, hint="p corrected for multiplicity"),
                Column(title="n", numeric=True),
            ],
            rows=rows,
            groups=headings,
            sortable=False,
            dense=True,
            note="Filled: below 0.05 after correction. An association is not a cause.",
        )

    outcomes = list(dict.fromkeys(table["outcome"]))
    shown = table["outcome"].isin(outcomes[:_SHOWN])
    blocks: list[Block] = [forest(table[shown])]
    if not shown.all():
        summary = f"Associations of {plural(len(outcomes) - _SHOWN, 'more biomarker')}"
        blocks.append(Details(summary=summary, blocks=[forest(table[~shown])]))
    return blocks
