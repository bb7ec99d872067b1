"""Crossed groups: how each intersection of attributes fares, outcome by outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from popscan.protocol import Protocol
from popscan.report.blocks import Block, Figure, Heading
from popscan.report.context import StudyContext
from popscan.report.figures.fairness import CrossedPanel, crossed
from popscan.report.sections.biomarkers import first_columns
from popscan.report.sections.common import Options
from popscan.report.sections.gaps import outcome_order
from popscan.report.text import decimals, is_true, places_for, title_of
from popscan.report.tidy import complete, numbers, words
from popscan.stats.crossed import AND, TIMES, crossed_parts, known_groups

#: Outcomes that are drawn: as many as fit in two rows.
_MOST = 6


def crossed_blocks(context: StudyContext, options: Options) -> list[Block]:
    """Return one figure per intersection; nothing without one."""
    columns = ("attribute", "group", "outcome", "kind", "better_is", "too_few")
    table = complete(context.fairness_groups, *columns, "n", "mean", "sd").copy()
    for column in columns:
        table[column] = words(table[column])
    for column in ("n", "mean", "sd"):
        table[column] = numbers(table[column])
    is_crossed = table["attribute"].str.contains(TIMES, regex=False)
    singles = {
        str(attribute): frozenset(map(str, groups))
        for attribute, groups in table[~is_crossed].groupby("attribute")["group"]
    }
    table = table[is_crossed & table["group"].str.contains(AND, regex=False)]
    blocks: list[Block] = []
    for i, attribute in enumerate(dict.fromkeys(table["attribute"])):
        part = table[table["attribute"] == attribute]
        sides = _sides(attribute, list(map(str, part["group"])), singles)
        if sides is None:
            continue
        names = set(part.loc[part["mean"].notna(), "outcome"])
        order = [name for name in _wanted(context.protocol) if name in names]
        rest = outcome_order(part, context.protocol)
        order += [name for name in rest if name in names and name not in order]
        chosen = [_panel(part[part["outcome"] == name], sides, options) for name in order[:_MOST]]
        if chosen:
            blocks.append(
                Figure(
                    markup=crossed(chosen, name=f"crossed{i}"),
                    caption=f"{title_of(attribute)}: mean of each crossed group and its size. "
                    "Orange: worse than the mean of all, blue: better, grey: different on an "
                    "outcome that has no better side; full colour from one within-group SD. Groups "
                    "that are too small are counted, not described.",
                )
            )
    return [Heading(text="Where groups cross"), *blocks] if blocks else []


def _wanted(protocol: Protocol) -> list[str]:
    """Return outcomes in order of preference: losses, quality, errors of what is followed."""
    errors = [f"{name}_abs_error" for name in first_columns(protocol)[:4]]
    return ["not_analysed", "qc_fail", "dice_mean", *errors, "atlas_distance_mm", "qc_not_pass"]


def _sides(
    attribute: str, groups: Sequence[str], singles: Mapping[str, frozenset[str]]
) -> dict[str, tuple[str, str]] | None:
    """Return the column and the row of each crossed group; None where a name can be read twice."""
    known = known_groups(attribute, singles)
    anything = (None,) * len(known)
    # Where a single group is not in a shared table, names that can only be read once still are.
    parts = {g: crossed_parts(g, known) or crossed_parts(g, anything) for g in groups}
    found = {g: (own[0], AND.join(own[1:])) for g, own in parts.items() if own is not None}
    return found if len(found) == len(parts) else None


def _panel(
    part: pd.DataFrame, sides: Mapping[str, tuple[str, str]], options: Options
) -> CrossedPanel:
    """One outcome: rows are the second attribute's groups, columns the first's."""
    split = [sides[str(group)] for group in part["group"]]
    known = part[part["mean"].notna() & (part["n"] > 0)]
    overall = float(np.average(known["mean"], weights=known["n"])) if len(known) else math.nan
    spread = float(np.sqrt(np.average(known["sd"].fillna(0) ** 2, weights=known["n"])))
    factor = 100.0 if (part["kind"] == "binary").any() else 1.0
    better = part["better_is"].iloc[0]
    sign = {"higher": -1.0, "lower": 1.0}.get(better, 0.0)
    places = places_for(factor * spread)
    cells = {}
    for (column, row), (_, of) in zip(split, part.iterrows(), strict=True):
        size = options.count(of["n"])
        few = bool(is_true(pd.Series([of["too_few"]])).iloc[0]) or not np.isfinite(of["mean"])
        if few:
            cells[row, column] = (f"too few ({size})" if of["n"] else "–", math.nan, 0.0)
            continue
        away = (of["mean"] - overall) / spread if spread > 0 else 0.0
        percent = "%" if factor == 100 else ""
        text = f"{decimals(factor * of['mean'], places)}{percent}\nn = {size}"
        cells[row, column] = (text, float(away), float(np.sign(away) * sign))
    return CrossedPanel(
        title=title_of(str(part["outcome"].iloc[0])),
        rows=sorted({row for _, row in split}),
        columns=sorted({column for column, _ in split}),
        cells=cells,
    )
