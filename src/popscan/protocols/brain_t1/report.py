"""The protocol's own section of the report: volumes over age, and asymmetry."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from popscan.protocols.brain_t1.labels import GROUPS
from popscan.report.context import Extra, StudyContext
from popscan.report.figures.base import colours_of, drawing, panels, strip_axes, to_svg
from popscan.report.text import title_of

#: Shown over age, in this order, where the study has them.
_SHOWN = (
    "brain_icv_adjusted_ml", "grey_icv_adjusted_ml", "white_icv_adjusted_ml",
    "ventricles_icv_adjusted_ml", "hippocampus_icv_adjusted_ml", "thalamus_icv_adjusted_ml",
)  # fmt: skip
_PAIRED = tuple(group for group in GROUPS if group.paired)
#: Fewer subjects make no line.
_LEAST = 3


def volumes_over_age(context: StudyContext) -> Extra | None:
    """Return volumes at mean head size over age by sex, and left-right asymmetry.

    None where the study measured no brain.
    """
    table = _people(context)
    if not len(table):
        return None
    columns = [name for name in _SHOWN if name in table and table[name].notna().any()]
    aged = table[table["age_years"].notna()]
    figures = []
    if columns and len(aged):
        figures.append(
            (
                _figure(aged, columns),
                "Volumes at mean head size (residual method) over age. Points: subjects; lines: "
                "least squares, by sex. Cross-sectional: people of different age, not people who "
                "aged.",
            )
        )
    tables = []
    slopes = _slopes(aged, columns)
    if len(slopes):
        tables.append(("Volumes at mean head size over age, by sex.", slopes))
    asymmetry = _asymmetry(table, context.model_errors)
    if len(asymmetry):
        tables.append(("Left minus right, of the mean of both sides.", asymmetry))
    notes = []
    if "model_pct" in asymmetry:
        notes.append(
            "model_pct is the asymmetry that the model adds where there is none: how far its left "
            "volumes are off less how far the right ones are, on its few validation subjects. A "
            "mean_pct of that size and sign may be the model's and not the people's."
        )
    if not figures and not tables:
        return None
    return Extra(
        ident="brain",
        title="Age, sex and asymmetry",
        lead="How volumes differ with age in women and men at mean head size, and how "
        "far left and right differ.",
        figures=figures,
        tables=tables,
        notes=notes,
    )


def _people(context: StudyContext) -> pd.DataFrame:
    """Age, sex and volumes of everybody measured."""
    if "unit" not in context.biomarkers or "unit" not in context.participants:
        return pd.DataFrame()
    known = [c for c in ("unit", "age_years", "sex") if c in context.participants]
    table = context.biomarkers.merge(context.participants[known], on="unit", how="left")
    age = table["age_years"] if "age_years" in table else pd.Series(np.nan, index=table.index)
    sex = table["sex"] if "sex" in table else pd.Series("all", index=table.index)
    return table.assign(
        age_years=pd.to_numeric(age, errors="coerce"), sex=sex.fillna("unknown").astype(str)
    )


def _lines(aged: pd.DataFrame, column: str) -> dict[str, tuple[pd.DataFrame, float, float]]:
    """Sex -> rows with a value, slope per year and intercept; NaN without a line."""
    found = {}
    for sex, rows in aged.groupby("sex", sort=True):
        known = rows[rows[column].notna()]
        line = (np.nan, np.nan)
        if len(known) >= _LEAST and np.ptp(known["age_years"]) > 0:
            slope, start = np.polyfit(known["age_years"], known[column].astype(float), 1)
            line = (float(slope), float(start))
        found[str(sex)] = (known, *line)
    return found


def _figure(aged: pd.DataFrame, columns: list[str]) -> Markup:
    colours = colours_of(sorted(aged["sex"].unique()))
    with drawing():
        figure, axes = panels(len(columns), columns=3, height_in=2.5)
        for axis, column in zip(axes, columns, strict=True):
            for sex, (rows, slope, start) in _lines(aged, column).items():
                x = rows["age_years"].to_numpy(dtype=float)
                axis.plot(x, rows[column], "o", ms=3.5, color=colours[sex], label=sex, alpha=0.8)
                if np.isfinite(slope):
                    ends = np.array([x.min(), x.max()])
                    axis.plot(ends, start + slope * ends, color=colours[sex], lw=1.4)
            axis.set_title(title_of(column))
            axis.set_xlabel("Age (years)")
            strip_axes(axis, grid="y")
        axes[0].legend(loc="best", fontsize=8)
        alt = "Volumes over age by sex; numbers in the table."
        return to_svg(figure, name="brain-age", alt=alt)


def _slopes(aged: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    rows = []
    for column in columns:
        for sex, (known, slope, _) in _lines(aged, column).items():
            values = known[column].astype(float)
            rows.append(
                {
                    "volume": title_of(column, unit=False), "sex": sex, "n": len(known),
                    "mean_ml": values.mean(), "ml_per_year": slope,
                    "pct_per_year": 100 * slope / values.mean() if len(values) else np.nan,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _asymmetry(table: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Asymmetry by structure, beside that which the model adds where its bundle says so."""
    off: dict[str, float] = {}
    if {"structure", "bias_pct"} <= set(errors):
        off = dict(zip(errors["structure"].astype(str), errors["bias_pct"], strict=True))
    rows = []
    for group in _PAIRED:
        column = f"{group.name}_asymmetry_pct"
        values = table[column].astype(float).dropna() if column in table else pd.Series(dtype=float)
        if len(values):
            left, right = (off.get(f"{group.name}_{side}", np.nan) for side in ("left", "right"))
            rows.append(
                {
                    "structure": group.title, "n": len(values), "mean_pct": values.mean(),
                    "sd_pct": values.std(), "larger_left_pct": 100 * (values > 0).mean(),
                    "model_pct": 200 * (left - right) / (200 + left + right),
                }
            )  # fmt: skip
    return pd.DataFrame(rows).dropna(axis=1, how="all")
