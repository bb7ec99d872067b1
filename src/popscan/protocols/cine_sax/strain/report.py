"""The section of the report on the motion of the heart."""

from __future__ import annotations

import pandas as pd

from popscan.protocols.cine_sax.strain.bullseye import bullseye, mean_plot
from popscan.report.context import Extra

_SHOWN = {
    "gcs_peak_pct": "global circumferential strain (%)",
    "grs_peak_pct": "global radial strain (%)",
    "gcs_peak_time_ms": "time to peak of it, circumferential (ms)",
    "gcs_systolic_rate_per_s": "systolic strain rate, circumferential (1/s)",
    "gcs_diastolic_rate_per_s": "early-diastolic strain rate, circumferential (1/s)",
    "radial_displacement_peak_mm": "radial displacement (mm)",
    "longitudinal_displacement_peak_mm": "longitudinal displacement of the base (mm)",
    "torsion_peak_deg_cm": "torsion (deg/cm)",
}
_KINDS = (
    ("circumferential_peak_pct", "peak circumferential strain (%)", -30.0),
    ("radial_peak_pct", "peak radial strain (%)", 60.0),
)


def section(values: pd.DataFrame, rows: pd.DataFrame, groups: pd.Series) -> Extra:
    """Show global numbers and mean bull's-eyes by group.

    Parameters
    ----------
    values, rows
        Tables ``motion`` and ``motion_segments``.
    groups
        Unit -> group (sex, as a rule).
    """
    figures = []
    group = rows["unit"].map(groups)
    for name in sorted(group.dropna().unique()):
        mine = rows[group == name]
        n = mine["unit"].nunique()
        plots = [mean_plot(f"{name} (n = {n}): {kind}", mine, c, full) for c, kind, full in _KINDS]
        caption = (
            f"Mean peak strain by segment (AHA), {name}: base outside, anterior above, septum on "
            "the left."
        )
        figures.append((bullseye(plots), caption))
    return Extra(
        ident="motion",
        title="Motion of the heart",
        lead="Every frame of the short-axis cine was registered with end-diastole; strain is the "
        "relative change of the wall's length and thickness (docs/motion.md).",
        figures=figures,
        tables=[("Motion by group.", _summary(values, values["unit"].map(groups)))],
        notes=[
            "Only tracks that close, do not fold and follow the segmented outlines have numbers; "
            "the ledger names the others with their reason.",
            "The intervals of strain in the table were fitted to eleven digital hearts that the "
            "shipped network labelled; on patients how often they hold the truth was not measured.",
            "Radial strain is unreliable with labels of a network: on those hearts it was 16 "
            "points too small.",
        ],
    )


def _summary(values: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    out = []
    for name in ["all", *sorted(group.dropna().unique())]:
        mine = values if name == "all" else values[group == name]
        for column, words in _SHOWN.items():
            if values[column].isna().all():
                continue
            known = mine[column].dropna()
            out.append(
                {
                    "group": name,
                    "measure": words,
                    "n": len(known),
                    "mean": known.mean(),
                    "sd": known.std(),
                }
            )
    return pd.DataFrame(out)
