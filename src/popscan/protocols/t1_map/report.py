"""The protocol's section of the report: values per region with intervals, borders, sectors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from popscan.protocols.t1_map.biomarkers import SECTORS
from popscan.protocols.t1_map.labels import LABELS
from popscan.report.context import Extra, StudyContext
from popscan.report.figures.base import drawing, new_figure, strip_axes, to_svg
from popscan.report.text import plural


def values(context: StudyContext) -> Extra | None:
    """Return T1 by region and sector; None where nothing was measured."""
    return section("t1", context)


def section(quantity: str, context: StudyContext) -> Extra | None:
    """Return the section of a quantity, ``t1`` or ``t2``."""
    table, name = context.biomarkers, quantity.upper()
    if f"wall_{quantity}_ms" not in table or not table[f"wall_{quantity}_ms"].notna().any():
        return None
    return Extra(
        ident=quantity,
        title=f"{name} by region",
        lead=f"{name} of blood and myocardium, how wide its intervals are, and what voxels at the "
        "border of a region do to it.",
        figures=[
            (
                _figure(table, quantity),
                f"Mean {name} of every subject by region and by sector of the myocardium; bars: "
                "medians. Sectors only where both ends of the septum are labelled.",
            )
        ],
        tables=[(f"{name} by region, over subjects.", _regions(table, quantity))],
        notes=[
            _where_from(table, quantity),
            "An interval holds noise and the unevenness of the region, not the bias of the "
            "sequence.",
        ],
    )


def _where_from(table: pd.DataFrame, quantity: str) -> str:
    """Return where the regions are from: drawn ones have a spread."""
    drawn = len(_numbers(table, f"wall_{quantity}_sampled_sd_ms"))
    if drawn:
        return (
            f"Regions of {plural(drawn, 'subject')} were drawn by a network; the methods say "
            "whether its agreement with labels of acquired maps is known."
        )
    return "Regions came with the images; they were not segmented here."


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series(dtype=float)
    return pd.to_numeric(table[column], errors="coerce").dropna()


def _regions(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    rows = []
    for region in LABELS.names.values():
        own = f"{region}_{quantity}"
        found = _numbers(table, f"{own}_ms")
        if not len(found):
            continue
        width = _numbers(table, f"{own}_high_ms") - _numbers(table, f"{own}_low_ms")
        joint = _numbers(table, f"{own}_joint_high_ms") - _numbers(table, f"{own}_joint_low_ms")
        drawn = {"median_joint_interval_ms": joint.median()} if len(joint) else {}
        rows.append(
            {
                "region": LABELS.titles[region], "n": len(found), "mean_ms": found.mean(),
                "sd_ms": found.std(), "median_interval_ms": width.median(), **drawn,
                "median_border_shift_ms": _numbers(table, f"{own}_border_shift_ms").median(),
                "median_border_pct": _numbers(table, f"{region}_border_pct").median(),
                "most_failed_pct": _numbers(table, f"{region}_failed_pct").max(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _figure(table: pd.DataFrame, quantity: str) -> Markup:
    shown = [
        (name.replace("_", " "), f"{name}_{quantity}_ms", LABELS.colours[name])
        for name in LABELS.names.values()
    ]
    wall = LABELS.colours["wall"]
    shown += [(sector, f"wall_{sector}_{quantity}_ms", wall) for sector in SECTORS]
    shown = [item for item in shown if len(_numbers(table, item[1]))]
    with drawing():
        figure = new_figure(7.5, 3.2)
        axis = figure.add_subplot()
        for place, (_, column, colour) in enumerate(shown):
            points = _numbers(table, column).to_numpy()
            spread = np.linspace(-0.15, 0.15, len(points)) if len(points) > 1 else np.zeros(1)
            axis.plot(place + spread, points, "o", ms=3.0, color=colour, alpha=0.7)
            middle = float(np.median(points))
            axis.plot([place - 0.3, place + 0.3], [middle, middle], color="#333333", lw=1.4)
        axis.set_xticks(range(len(shown)), [item[0] for item in shown], rotation=30, ha="right")
        axis.set_ylabel(f"{quantity.upper()} (ms)")
        strip_axes(axis, grid="y")
        return to_svg(
            figure, name=f"{quantity}-regions", alt=f"{quantity.upper()} by region; table below."
        )
