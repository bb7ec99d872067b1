"""The protocol's section of the report: flow by vessel, and what the corrections did."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from popscan.protocols.flow_2d.labels import LABELS
from popscan.report.context import Extra, StudyContext
from popscan.report.figures.base import drawing, new_figure, strip_axes, to_svg


def vessels(context: StudyContext) -> Extra | None:
    """Return flow by vessel; None where nothing was measured."""
    table = context.biomarkers
    measured = [name for name in LABELS.codes if len(_numbers(table, f"{name}_forward_ml"))]
    if not measured:
        return None
    return Extra(
        ident="flow",
        title="Flow by vessel",
        lead="Volumes per beat and velocities of every vessel, and what taking off the background "
        "and unwrapping did to them.",
        figures=[
            (
                _figure(table, measured),
                "Net volume per beat and backward share of the forward volume of every subject; "
                "bars: medians.",
            )
        ],
        tables=[
            ("Flow by vessel, over subjects.", _flows(table, measured)),
            ("What the corrections did, over subjects.", _corrections(table, measured)),
        ],
        notes=[
            "Regions came with the images; they were not drawn here, and their outline is in no "
            "standard error. A standard error holds noise and how well still tissue gives the "
            "background; what a plane cannot follow of the background is not in it.",
        ],
    )


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series(dtype=float)
    return pd.to_numeric(table[column], errors="coerce").dropna()


def _flows(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    rows = []
    for name in names:
        net = _numbers(table, f"{name}_net_ml")
        rows.append(
            {
                "vessel": LABELS.titles[name], "n": len(net), "mean_net_ml": net.mean(),
                "sd_net_ml": net.std(),
                "median_net_se_ml": _numbers(table, f"{name}_net_se_ml").median(),
                "median_regurgitant_pct": _numbers(table, f"{name}_regurgitant_pct").median(),
                "median_peak_cm_s": _numbers(table, f"{name}_peak_cm_s").median(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _corrections(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    rows = []
    for name in names:
        offset = _numbers(table, f"{name}_offset_ml")
        aliased = _numbers(table, f"{name}_aliased_pct")
        rows.append(
            {
                "vessel": LABELS.titles[name], "n": len(offset), "mean_offset_ml": offset.mean(),
                "largest_offset_ml": offset.abs().max(),
                "n_aliased": int((aliased > 0).sum()), "largest_aliased_pct": aliased.max(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _figure(table: pd.DataFrame, names: list[str]) -> Markup:
    shown = (("net_ml", "Net volume (mL)"), ("regurgitant_pct", "Backward share (%)"))
    with drawing():
        figure = new_figure(7.5, 3.0)
        axes = figure.subplots(1, 2)
        for axis, (ending, title) in zip(axes, shown, strict=True):
            for place, name in enumerate(names):
                points = _numbers(table, f"{name}_{ending}").to_numpy()
                if not len(points):
                    continue
                spread = np.linspace(-0.15, 0.15, len(points)) if len(points) > 1 else np.zeros(1)
                axis.plot(
                    place + spread, points, "o", ms=3.0, color=LABELS.colours[name], alpha=0.7
                )
                middle = float(np.median(points))
                axis.plot([place - 0.3, place + 0.3], [middle, middle], color="#333333", lw=1.4)
            labels = [LABELS.titles[name].replace(" ", "\n") for name in names]
            axis.set_xticks(range(len(names)), labels)
            axis.set_xlim(-0.6, len(names) - 0.4)
            axis.set_ylabel(title)
            strip_axes(axis, grid="y")
        figure.tight_layout()
        return to_svg(figure, name="flow-vessels", alt="Flow by vessel; tables below.")
