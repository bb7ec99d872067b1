"""The bias ledger: where along the pipeline the gap of a biomarker arises."""

from __future__ import annotations

import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Details, Figure, Heading, Table, Text
from popscan.report.context import StudyContext
from popscan.report.figures.waterfall import WaterfallPanel, WaterfallStep, waterfalls
from popscan.report.sections.common import Options
from popscan.report.sections.parts import MOST_PANELS, biomarker_order, bullets_of, gap_cell, tidy
from popscan.report.text import DASH, decimals, p_value, places_for, title_of, unit_of

#: Row that sums up the steps.
_TOTAL = "total change"


def ledger(context: StudyContext, options: Options) -> list[Block]:
    """Return the waterfalls of each group, and the ledger in numbers."""
    texts = ("attribute", "group", "reference", "biomarker", "step", "note")
    values = ("position", "n", "n_reference", "gap", "gap_ci_low", "gap_ci_high", "contribution",
              "ci_low", "ci_high", "from_values", "from_exclusions", "p", "p_adj")  # fmt: skip
    table = tidy(context.fairness_ledger, texts, values)
    known = table[table["gap"].notna()]
    if not len(known):
        return []
    blocks: list[Block] = [
        Heading(text="Where the gap of a biomarker arises"),
        Text(
            text="The gap between two groups after each step of the pipeline, by swapping in what "
            "that step makes of the same people: its change is what the step adds or takes away. "
            "The first gap is that between the groups before any step of the pipeline.",
            tone="note",
        ),
        *bullets_of(context, "ledger"),
    ]
    details: list[Block] = []
    for i, attribute in enumerate(dict.fromkeys(known["attribute"])):
        part = known[known["attribute"] == attribute]
        title = title_of(attribute, unit=False).lower()
        for j, (group, of) in enumerate(part.groupby("group", sort=False)):
            items = [
                _waterfall(of[of["biomarker"] == name], options.alpha)
                for name in biomarker_order(of, context.protocol)[:MOST_PANELS]
            ]
            figure = Figure(
                markup=waterfalls(items, name=f"ledger{i}-{j}"),
                caption=f"By {title}: {group} minus {of['reference'].iloc[0]} "
                f"(n = {options.count(of['n'].min())} and "
                f"{options.count(of['n_reference'].min())} in the end). "
                f"Lines are {options.interval}s of a step; "
                "pale steps are not clear after correction.",
            )
            if i == 0 and j == 0:
                blocks.append(figure)
            else:
                details.append(Details(summary=f"By {title}: {group}", blocks=[figure]))
        details.append(
            Details(
                summary=f"The ledger by {title} in numbers", blocks=[_ledger_table(part, options)]
            )
        )
    return [*blocks, *details]


def _waterfall(of: pd.DataFrame, alpha: float) -> WaterfallPanel:
    biomarker = str(of["biomarker"].iloc[0])
    chain = of[of["step"] != _TOTAL].sort_values("position", kind="stable")
    steps = [
        WaterfallStep(
            name=row["step"],
            gap=float(row["gap"]),
            contribution=float(row["contribution"]),
            low=float(row["ci_low"]),
            high=float(row["ci_high"]),
            clear=bool(row["p_adj"] <= alpha),
        )
        for _, row in chain.iterrows()
    ]
    return WaterfallPanel(
        title=title_of(biomarker, unit=False), unit=unit_of(biomarker), steps=steps
    )


def _ledger_table(part: pd.DataFrame, options: Options) -> Table:
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for (biomarker, group), of in part.groupby(["biomarker", "group"], sort=False):
        headings[len(rows)] = f"{title_of(str(biomarker))}: {group} minus {of['reference'].iloc[0]}"
        places = places_for(float((of["ci_high"] - of["ci_low"]).max()) / 2)
        for _, row in of.sort_values("position", kind="stable").iterrows():
            is_total = row["step"] == _TOTAL
            rows.append(
                [
                    Cell(text=row["step"]),
                    Cell(text=DASH if is_total else
                         gap_cell(row["gap"], row["gap_ci_low"], row["gap_ci_high"], places)),
                    Cell(text=DASH if row["position"] == 0 else
                         gap_cell(row["contribution"], row["ci_low"], row["ci_high"], places)),
                    Cell(text=decimals(row["from_values"], places)),
                    Cell(text=decimals(row["from_exclusions"], places)),
                    Cell(text=p_value(row["p_adj"])),
                ]
            )  # fmt: skip
    titles = (f"Gap after it ({options.interval})", f"Added ({options.interval})", "… by values",
              "… by who is lost", "Adjusted p")  # fmt: skip
    return Table(
        caption="The bias ledger.",
        columns=[Column(title="Step"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
    )
