"""Predictions by group: discrimination, calibration, equalised odds, other thresholds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.report.blocks import Block, Cell, Column, Details, Figure, Heading, Table, Text
from popscan.report.context import StudyContext
from popscan.report.figures.predictions import CurvePanel, curve_panels
from popscan.report.sections.common import Options
from popscan.report.sections.parts import bullets_of, gap_cell, tidy
from popscan.report.text import DASH, decimals, interval, p_value, title_of

_MEASURES = {
    "auc": "AUC", "balanced_accuracy": "Balanced accuracy",
    "calibration_error": "Expected calibration error", "calibration_slope": "Calibration slope",
    "rmse": "Root mean square error", "slope_on_truth": "Slope on the true value",
    "equalised_odds_difference": "Equalised odds difference",
    "demographic_parity_difference": "Demographic parity difference",
}  # fmt: skip
#: Columns of the table of predictions.
_TEXTS = ("attribute", "prediction", "measure", "group", "reference", "note")
_VALUES = ("n", "value", "ci_low", "ci_high", "by_chance", "gap", "gap_ci_low", "gap_ci_high",
           "p_adj")  # fmt: skip
_READING = (
    "Sensitivity, false positive rate and errors of each group are among the gaps above, tested "
    "and adjusted like every outcome. Calibrated scores mean the same in every group: of those "
    "with a probability of 0.7, 7 of 10 are positive. Equalised odds and calibration within groups "
    "cannot both hold where prevalence differs, unless the prediction is perfect (Kleinberg et al. "
    "2016)."
)


def predictions(context: StudyContext, options: Options) -> list[Block]:
    """Return the blocks on predictions; none without predictions."""
    table = tidy(context.fairness_predictions, _TEXTS, _VALUES)
    if not len(table):
        return []
    blocks: list[Block] = [
        Heading(text="Predictions"),
        Text(text=_READING, tone="note"),
        *bullets_of(context, "predictions"),
    ]
    for i, name in enumerate(dict.fromkeys(table["prediction"])):
        part = table[table["prediction"] == name]
        title = title_of(name, unit=False)
        blocks += _curves(context, name, i)
        tables = [
            _table(part[part["attribute"] == attribute], title, options)
            for attribute in dict.fromkeys(part["attribute"])
        ]
        blocks.append(Details(summary=f"{title}: measures by group", blocks=tables))
    return blocks


def _table(part: pd.DataFrame, title: str, options: Options) -> Table:
    """Measures of the groups of one attribute."""
    rows: list[list[Cell]] = []
    headings: dict[int, str] = {}
    few = part[part["measure"] == ""]
    for measure in dict.fromkeys(part.loc[part["measure"] != "", "measure"]):
        headings[len(rows)] = _MEASURES.get(measure, measure)
        for _, row in part[part["measure"] == measure].iterrows():
            ends = interval(row["ci_low"], row["ci_high"], 3)
            rows.append(
                [
                    Cell(text=row["group"]),
                    Cell(text=options.count(row["n"])),
                    Cell(text=f"{decimals(row['value'], 3)} ({ends})"),
                    Cell(text=decimals(row["by_chance"], 3)),
                    Cell(text=gap_cell(row["gap"], row["gap_ci_low"], row["gap_ci_high"], 3)),
                    Cell(text=p_value(row["p_adj"]) if np.isfinite(row["p_adj"]) else DASH),
                ]
            )
    attribute = str(part["attribute"].iloc[0])
    by = f" by {title_of(attribute, unit=False).lower()}" if attribute else ", all subjects"
    titles = ("n", f"Value ({options.interval})", "By chance", "Against reference", "Adjusted p")
    note = "; ".join(f"{row['group']}: {row['note']}" for _, row in few.iterrows())
    return Table(
        caption=f"{title}{by}.",
        columns=[Column(title="Group"), *[Column(title=t, numeric=True) for t in titles]],
        rows=rows,
        groups=headings,
        sortable=False,
        dense=True,
        note="By chance: what noise alone makes of a measure that is never below 0. "
        + (f"Not described: {note}." if note and not options.share else ""),
    )


def _curves(context: StudyContext, name: str, place: int) -> list[Block]:
    """Calibration and threshold sweep by every attribute; neither is in a shared report."""
    bins = tidy(
        context.fairness_calibration, ("attribute", "prediction", "group"),
        ("predicted", "observed", "ci_low", "ci_high"),
    )  # fmt: skip
    rates = ("sensitivity", "false_positive_rate")
    ends = [f"{rate}{end}" for rate in rates for end in ("", "_ci_low", "_ci_high")]
    sweep = tidy(
        context.fairness_thresholds, ("attribute", "prediction", "group", "in_use"),
        ("threshold", *ends),
    )  # fmt: skip
    bins, sweep = bins[bins["prediction"] == name], sweep[sweep["prediction"] == name]
    blocks: list[Block] = []
    for i, attribute in enumerate(a for a in dict.fromkeys(sweep["attribute"]) if a):
        of, curves = sweep[sweep["attribute"] == attribute], []
        calibration = bins[bins["attribute"] == attribute]
        if len(calibration):
            curves.append(
                CurvePanel(
                    title="Calibration",
                    curves=_by_group(
                        calibration, ["predicted", "observed", "ci_low", "ci_high"], "predicted"
                    ),
                    across="predicted probability", up="share positive", diagonal=True,
                )
            )  # fmt: skip
        used = of.loc[of["in_use"].str.lower() == "true", "threshold"]
        for rate in rates:
            columns = ["threshold", rate, f"{rate}_ci_low", f"{rate}_ci_high"]
            curves.append(
                CurvePanel(
                    title=title_of(rate),
                    curves=_by_group(of, columns, "threshold"),
                    across="threshold", up=title_of(rate).lower(),
                    mark=float(used.iloc[0]) if len(used) else float("nan"),
                )
            )  # fmt: skip
        title = title_of(attribute, unit=False).lower()
        figure = Figure(
            markup=curve_panels(
                curves, name=f"prediction{place}-{i}", alt=f"{name} by {title}: calibration and "
                "rates at every threshold",
            ),
            caption=f"{title_of(name, unit=False)} by {title}: share of positives against "
            "predicted probability, and rates at every threshold (dashed: the one in use), with "
            "their intervals.",
        )  # fmt: skip
        blocks.append(figure if i == 0 else Details(summary=f"By {title}", blocks=[figure]))
    return blocks


def _by_group(table: pd.DataFrame, columns: list[str], order: str) -> dict[str, np.ndarray]:
    return {
        str(group): rows.sort_values(order)[columns].to_numpy(dtype=float)
        for group, rows in table.groupby("group", sort=False)
    }
