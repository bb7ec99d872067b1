"""The report's section on how well measurements repeat between visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.associate.precision import pairs_of
from popscan.report.context import Extra
from popscan.report.figures.fairness import AgreementPanel, agreements
from popscan.report.text import decimals, interval, number, places_for, title_of, unit_of
from popscan.stages.associate.job import analysed_table
from popscan.stats.visits import in_order
from popscan.study.tables import read_table

_MOST_PANELS = 9


def precision_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show precision where subjects have several visits that were analysed; else None."""
    found = read_table(study_root, "precision")
    if found.empty:
        return None
    return section_of(found, in_order(analysed_table(study_root, config)))


def section_of(found: pd.DataFrame, visits: pd.DataFrame) -> Extra:
    """Show limits of agreement, within-subject SD and intraclass correlation.

    Parameters
    ----------
    found
        As `popscan.associate.precision.precision_table` made it, with at least one row.
    visits
        One row per visit in order, with ``sub`` and the outcomes: the points of the figure.
    """
    whole = found[found["group"] == "all"]
    known = whole[np.isfinite(whole["bias"].astype(float))]
    figures = []
    if len(known):
        panels = [_panel(row, visits) for _, row in known.head(_MOST_PANELS).iterrows()]
        caption = (
            "Second less first visit against their mean: bias and limits of agreement (bias less "
            "and plus 1.96 SD; Bland and Altman 1986)."
        )
        figures.append((agreements(panels, name="precision", difference="second − first"), caption))
    tables = [("All subjects with two visits or more.", _readable(whole))]
    groups = found[found["group"] != "all"]
    for attribute in dict.fromkeys(groups["attribute"]):
        part = groups[groups["attribute"] == attribute]
        name = title_of(attribute, unit=False).lower()
        tables.append((f"By {name} of the first visit.", _readable(part, by=True)))
    return Extra(
        ident="precision",
        title="Precision between visits",
        lead="How far two measurements of one person differ: what the scan, the analysis and the "
        "time between visits do together.",
        sentences=_sentences(known),
        figures=figures,
        tables=tables,
        notes=[
            "Within-subject SD with its 95% interval (chi squared); ICC is ICC(1,1) of Shrout and "
            "Fleiss 1979, which depends on how different the people are. Within intervals: share "
            "of pairs that differ by no more than their two intervals allow."
        ],
    )


def _sentences(known: pd.DataFrame) -> list[str]:
    lines = []
    for _, row in known.iterrows():
        places = places_for(row["sd_within"])
        value = decimals(row["repeatability"], places)
        bias = decimals(row["bias"], places)
        lines.append(
            f"{title_of(row['outcome'])}: two measurements of one person differ by less than "
            f"{value} in 95% of cases ({row['n_subjects']} people); bias between visits {bias} "
            f"({interval(row['bias_low'], row['bias_high'], places)})."
        )
    return lines[:_MOST_PANELS]


def _panel(row: pd.Series, visits: pd.DataFrame) -> AgreementPanel:
    pairs = pairs_of(visits, row["outcome"]).dropna().to_numpy()
    points = np.column_stack([pairs.mean(axis=1), pairs[:, 1] - pairs[:, 0]])
    return AgreementPanel(
        title=title_of(row["outcome"], unit=False),
        unit=unit_of(row["outcome"]),
        limits={"all": (row["bias"], row["loa_low"], row["loa_high"])},
        points={"all": points},
    )


def _readable(rows: pd.DataFrame, *, by: bool = False) -> pd.DataFrame:
    made = []
    for _, row in rows.iterrows():
        places = places_for(row["sd_within"]) if np.isfinite(row["sd_within"]) else 1

        def spanned(value: str, low: str, high: str, row: pd.Series = row, n: int = places) -> str:
            if not np.isfinite(row[value]):
                return ""
            return f"{decimals(row[value], n)} ({interval(row[low], row[high], n)})"

        made.append(
            {
                "Measurement": title_of(row["outcome"]),
                **({"Group": row["group"]} if by else {}),
                "n": row["n_subjects"],
                "Bias": spanned("bias", "bias_low", "bias_high"),
                "Limits of agreement": interval(row["loa_low"], row["loa_high"], places),
                "SD within": spanned("sd_within", "sd_within_low", "sd_within_high"),
                "CoV": f"{number(row['cov_pct'])}%" if np.isfinite(row["cov_pct"]) else "",
                "ICC": spanned("icc", "icc_low", "icc_high", n=2),
                "Within intervals": f"{row['within_interval_pct']:.0f}%"
                if np.isfinite(row["within_interval_pct"])
                else "",
                "Note": row["note"],
            }
        )
    return _without_empty(pd.DataFrame(made))


def _without_empty(table: pd.DataFrame) -> pd.DataFrame:
    empty: Sequence[str] = [
        name for name in ("Within intervals", "CoV", "Note") if (table[name] == "").all()
    ]
    return table.drop(columns=list(empty))
