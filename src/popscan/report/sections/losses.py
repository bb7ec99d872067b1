"""Who is lost on the way, by group, and whether QC excludes one group more."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Details, Figure, Heading, Table
from popscan.report.context import StudyContext
from popscan.report.figures.fairness import FunnelPanel, funnels
from popscan.report.sections.common import Options
from popscan.report.sections.parts import bullets_of, gap_cell, tidy
from popscan.report.text import DASH, decimals, interval, is_true, p_value, title_of

#: Row that sums up the stages.
_ALL = "all stages"


def funnel(context: StudyContext, options: Options) -> list[Block]:
    """Return the funnel of each attribute: sentences, figure, table of tests."""
    if not len(context.fairness_funnel):
        return []
    values = (
        "n_units", "n_entered", "n_lost", "position", "lost_pct", "ci_low_pct", "ci_high_pct",
        "kept_pct", "gap_pct", "gap_ci_low_pct", "gap_ci_high_pct", "p", "p_adj",
    )  # fmt: skip
    texts = ("attribute", "group", "reference", "stage", "test", "too_few")
    table = tidy(context.fairness_funnel, texts, values)
    blocks: list[Block] = [Heading(text="Who is lost on the way"), *bullets_of(context, "funnel")]
    drawn = [
        panel
        for attribute in dict.fromkeys(table["attribute"])
        if " x " not in attribute
        and (panel := _funnel_panel(table[table["attribute"] == attribute], options)).kept_pct
    ]
    if drawn:
        blocks.append(
            Figure(
                markup=funnels(drawn[:4]),
                caption="Share of each group that is left after each stage. Groups that are too "
                "small are in the table.",
            )
        )
    details = [_funnel_table(table[table["attribute"] == a], options) for a in
               dict.fromkeys(table["attribute"])]  # fmt: skip
    blocks.append(Details(summary="Losses by group and stage, with tests", blocks=details))
    return blocks


def _funnel_panel(part: pd.DataFrame, options: Options) -> FunnelPanel:
    stages = part[part["stage"] != _ALL].sort_values("position", kind="stable")
    total = part[part["stage"] == _ALL].set_index("group")
    small = is_true(total["too_few"])
    kept = {}
    for group in dict.fromkeys(part["group"]):
        shares = stages.loc[stages["group"] == group, "kept_pct"].tolist()
        if group in small.index and not small[group] and np.isfinite(shares).all():
            kept[group] = shares
    return FunnelPanel(
        title=title_of(str(part["attribute"].iloc[0])),
        stages=list(dict.fromkeys(stages["stage"])),
        kept_pct=kept,
        sizes={group: f"of {options.count(total['n_units'][group])}" for group in kept},
    )


def _funnel_table(part: pd.DataFrame, options: Options) -> Table:
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    lossy = part[(part["n_lost"] > 0) | part["n_lost"].isna() | (part["stage"] == _ALL)]
    for stage in dict.fromkeys(lossy.sort_values("position", kind="stable")["stage"]):
        of = part[part["stage"] == stage]
        headings[len(rows)] = f"{title_of(stage)} · against {of['reference'].iloc[0]}"
        for _, row in of.iterrows():
            few = is_true(pd.Series([row["too_few"]])).iloc[0]
            shares = (
                [Cell(text=DASH), Cell(text="too few", tone="mute"), Cell(text=DASH)]
                if few
                else [
                    Cell(text=decimals(row["lost_pct"], 1)),
                    Cell(text=interval(row["ci_low_pct"], row["ci_high_pct"], 1)),
                    Cell(
                        text=gap_cell(row["gap_pct"], row["gap_ci_low_pct"], row["gap_ci_high_pct"])
                    ),
                ]
            )
            counts = [Cell(text=options.count(row[c])) for c in ("n_entered", "n_lost")]
            tested = [Cell(text=p_value(row[c])) for c in ("p", "p_adj")]
            rows.append([Cell(text=row["group"]), *counts, *shares, *tested])
    titles = ("Entered", "Lost", "Lost %", options.interval, "Against reference, points", "p",
              "Adjusted p")  # fmt: skip
    return Table(
        caption=f"Losses by {title_of(str(part['attribute'].iloc[0]), unit=False).lower()}.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
        note="Stages at which no subject was lost are left out.",
    )


def exclusion(context: StudyContext, options: Options) -> list[Block]:
    """Return how QC's exclusions compare at equal true quality."""
    sentences = bullets_of(context, "exclusion")
    if not len(context.fairness_exclusion) or not sentences:
        return []
    texts = ("attribute", "group", "reference", "method", "note")
    values = ("n", "n_reference", "gap_raw", "gap", "ci_low", "ci_high", "p_adj")
    table = tidy(context.fairness_exclusion, texts, values)
    known = table[table["gap"].notna()]
    blocks: list[Block] = [
        Heading(text="Does QC exclude one group more, at equal true quality?"),
        *sentences,
    ]
    if len(known):
        rows = [
            [
                Cell(text=title_of(row["attribute"])),
                Cell(text=f"{row['group']} against {row['reference']}"),
                Cell(text=row["method"]),
                Cell(text=options.count(row["n"])),
                Cell(text=decimals(100 * row["gap_raw"], 1)),
                Cell(text=gap_cell(*(100 * row[c] for c in ("gap", "ci_low", "ci_high")))),
                Cell(text=p_value(row["p_adj"])),
            ]
            for _, row in known.iterrows()
        ]
        titles = ("n", "Excluded, points", f"At equal quality ({options.interval})", "Adjusted p")
        columns = [Column(title=t) for t in ("Attribute", "Groups", "Method")]
        columns += [Column(title=t, numeric=True) for t in titles]
        blocks.append(
            Details(
                summary="QC's exclusions at equal quality",
                blocks=[
                    Table(caption="Difference of shares excluded.", columns=columns, rows=rows)
                ],
            )
        )
    return blocks
