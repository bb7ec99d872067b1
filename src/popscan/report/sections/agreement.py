"""Agreement of biomarkers with their reference, by group."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Details, Figure, Heading, Table
from popscan.report.context import StudyContext
from popscan.report.figures.fairness import AgreementPanel, agreements
from popscan.report.sections.common import Options
from popscan.report.sections.parts import MOST_PANELS, biomarker_order, bullets_of, gap_cell, tidy
from popscan.report.text import decimals, interval, p_value, places_for, title_of, unit_of
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import attribute_by_unit

#: Sentence where `AgreementPanel.dense`.
_DENSE = (
    "shading says how many subjects lie there, points are those farthest from their group's bias; "
)


def agreement(context: StudyContext, options: Options) -> list[Block]:
    """Return differences from the reference by group: sentences, figures, tables."""
    if not len(context.fairness_agreement):
        return []
    texts = ("attribute", "biomarker", "group", "reference", "too_few", "slope_against")
    values = (
        "n", "bias", "bias_ci_low", "bias_ci_high", "loa_low", "loa_high", "slope", "p_slope",
        "bias_gap", "bias_gap_ci_low", "bias_gap_ci_high", "p_bias_gap_adj",
    )  # fmt: skip
    table = tidy(context.fairness_agreement, texts, values)
    known = table[table["bias"].notna()]
    blocks: list[Block] = [
        Heading(text="Agreement with the reference, by group"),
        *bullets_of(context, "agreement"),
    ]
    pairs = _pairs(context, options)
    for i, attribute in enumerate(dict.fromkeys(known["attribute"])):
        if " x " in attribute:
            continue
        part = known[known["attribute"] == attribute]
        of_unit = attribute_by_unit(context, attribute, missing="missing")
        items = [_agreement_panel(part[part["biomarker"] == name], pairs.get(name), of_unit)
                 for name in biomarker_order(part, context.protocol)[:MOST_PANELS]]  # fmt: skip
        by = title_of(attribute, unit=False).lower()
        figure = Figure(
            markup=agreements(items, name=f"agreement{i}", links=options.links),
            caption=f"Difference from the reference by {by}: "
            + (_DENSE if any(item.dense for item in items) else "")
            + "lines are each group's bias, "
            + ("bars" if options.share else "dashed lines")
            + " its limits of agreement (bias ± 1.96 SD; Bland and Altman 1986).",
        )
        blocks.append(
            figure
            if i == 0
            else Details(summary=f"By {title_of(attribute, unit=False).lower()}", blocks=[figure])
        )
    tables = [_agreement_table(context, known[known["attribute"] == a], options)
              for a in dict.fromkeys(known["attribute"])]  # fmt: skip
    if tables:
        blocks.append(Details(summary="Bias and limits of agreement by group", blocks=tables))
    return blocks


def _pairs(context: StudyContext, options: Options) -> dict[str, pd.DataFrame]:
    """Return unit, mean and difference of the finite pairs by biomarker; none if it is shared."""
    points = complete(context.agreement_points, "unit", "biomarker", "measured", "reference")
    if options.share or not len(points):
        return {}
    measured, reference = numbers(points["measured"]), numbers(points["reference"])
    tidy_pairs = pd.DataFrame(
        {"unit": words(points["unit"]), "mean": np.mean([measured, reference], axis=0),
         "difference": measured - reference}
    )  # fmt: skip
    finite = (measured.notna() & reference.notna()).to_numpy()
    groups = tidy_pairs[finite].groupby(points["biomarker"][finite], sort=False, observed=True)
    return {str(name): part for name, part in groups}


def _agreement_panel(
    part: pd.DataFrame, pairs: pd.DataFrame | None, of_unit: pd.Series
) -> AgreementPanel:
    biomarker = str(part["biomarker"].iloc[0])
    limits = {
        str(row["group"]): (row["bias"], row["loa_low"], row["loa_high"])
        for _, row in part.iterrows()
    }
    points, units = {}, {}
    if pairs is not None:
        groups = pairs["unit"].map(of_unit).fillna("missing").replace("unknown", "missing")
        values, names = pairs[["mean", "difference"]].to_numpy(), pairs["unit"].to_numpy()
        for group in limits:
            here = (groups == group).to_numpy()
            units[group], points[group] = names[here].tolist(), values[here]
    return AgreementPanel(
        title=title_of(biomarker, unit=False),
        unit=unit_of(biomarker),
        limits=limits,
        points=points,
        units=units,
    )


def _agreement_table(context: StudyContext, part: pd.DataFrame, options: Options) -> Table:
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    for name in biomarker_order(part, context.protocol):
        of = part[part["biomarker"] == name]
        headings[len(rows)] = f"{title_of(name)} · against {of['reference'].iloc[0]}"
        places = places_for(float((of["loa_high"] - of["loa_low"]).max()) / 4)
        for _, row in of.iterrows():
            gap = gap_cell(row["bias_gap"], row["bias_gap_ci_low"], row["bias_gap_ci_high"], places)
            rows.append(
                [
                    Cell(text=row["group"]),
                    Cell(text=options.count(row["n"])),
                    Cell(
                        text=gap_cell(row["bias"], row["bias_ci_low"], row["bias_ci_high"], places)
                    ),
                    Cell(text=interval(row["loa_low"], row["loa_high"], places)),
                    Cell(text=f"{decimals(row['slope'], 2)} (p {p_value(row['p_slope'])})"),
                    Cell(text=gap),
                    Cell(text=p_value(row["p_bias_gap_adj"])),
                ]
            )
    titles = ("n", f"Bias ({options.interval})", "Limits of agreement", "Proportional bias",
              "Bias against reference group", "Adjusted p")  # fmt: skip
    return Table(
        caption=f"Agreement by {title_of(str(part['attribute'].iloc[0]), unit=False).lower()}.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
        note="Proportional bias is the change of the difference per unit of the "
        + ("reference." if (part["slope_against"] == "reference").any() else "mean of both."),
    )
