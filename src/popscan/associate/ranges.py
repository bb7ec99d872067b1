"""Reference ranges of biomarkers in strata of sex and age."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from popscan.columns import Column, text
from popscan.records import PopscanError
from popscan.stats.design import clean, unit_of
from popscan.stats.resample import quantile_draws

#: Column -> what it means of the table that `reference_ranges` returns, besides the strata.
DICTIONARY: dict[str, Column] = {
    "outcome": text("biomarker"),
    "unit": text("its unit"),
    "n": Column("subjects", "subjects of the stratum with a value"),
    "n_missing": Column("subjects", "subjects of the stratum without one"),
    "mean": Column("unit", "mean"),
    "sd": Column("unit", "standard deviation (n - 1)"),
    "lower": Column("unit", "lower reference limit (2.5th percentile by default)"),
    "lower_ci_low": Column("unit", "lower limit of its bootstrap interval"),
    "lower_ci_high": Column("unit", "upper limit of its bootstrap interval"),
    "median": Column("unit", "median"),
    "upper": Column("unit", "upper reference limit (97.5th percentile by default)"),
    "upper_ci_low": Column("unit", "lower limit of its bootstrap interval"),
    "upper_ci_high": Column("unit", "upper limit of its bootstrap interval"),
    "note": text("why nothing is shown, or that too few subjects make the limits unsure"),
}


def age_band(age_years: pd.Series, *, width_years: int = 10) -> pd.Series:
    """Name the age band of each subject, e.g. ``50-59``.

    Parameters
    ----------
    age_years : Series
        Ages; NaN where unknown.
    width_years : int
        Width of a band; bands start at multiples of it.

    Returns
    -------
    Series of str
        ``unknown`` where the age is.
    """
    ages = clean(age_years, categorical=False)
    start = (ages // width_years) * width_years
    return start.map(
        lambda s: "unknown" if pd.isna(s) else f"{int(s):02d}-{int(s) + width_years - 1:02d}"
    )


def reference_ranges(
    table: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    by: Sequence[str] = ("sex", "age_band"),
    min_n: int = 20,
    low_pct: float = 2.5,
    high_pct: float = 97.5,
    age_band_years: int = 10,
    n_boot: int = 1000,
    alpha: float = 0.10,
    seed: int = 0,
) -> pd.DataFrame:
    """Return nonparametric reference limits per stratum, with bootstrap intervals.

    Parameters
    ----------
    table : DataFrame
        One row per unit; needs the columns of `by` (``age_band`` is made from ``age_years``).
    outcomes : sequence of str
        Columns to describe.
    by : sequence of str
        Columns whose cross makes the strata; ``unknown`` is a stratum of its own. Empty: one
        stratum.
    min_n : int
        Smaller strata are listed without numbers.
    low_pct, high_pct : float
        Percentiles of the limits.
    age_band_years : int
        Width of ``age_band``.
    n_boot : int
        Bootstrap draws.
    alpha : float
        1 - confidence of the limits' intervals; 90% is what CLSI EP28-A3c asks for.
    seed : int
        Seed of the draws.

    Returns
    -------
    DataFrame
        One row per stratum and outcome, columns of `by` then those of `DICTIONARY`. Below 120
        subjects a note says that the limits are unsure (CLSI EP28-A3c).

    Raises
    ------
    PopscanError
        If a column of `by` is absent.
    """
    frame = table.copy()
    if "age_band" in by and "age_band" not in frame and "age_years" in frame:
        frame["age_band"] = age_band(frame["age_years"], width_years=age_band_years)
    absent = [name for name in by if name not in frame]
    if absent:
        raise PopscanError(f"reference ranges: no column {', '.join(absent)} in the table")
    strata = [clean(frame[name], categorical=True).fillna("unknown") for name in by]
    columns = [*by, *DICTIONARY]
    rows: list[dict[str, Any]] = []
    levels = _Levels(min_n, low_pct / 100, high_pct / 100, n_boot, alpha, seed)
    parts = frame.groupby(strata, sort=True) if strata else [((), frame)]
    if strata and frame.empty:
        parts = []
    for key, part in parts:
        for outcome in outcomes:
            values = (
                clean(part[outcome], categorical=False).to_numpy()
                if outcome in part
                else np.full(len(part), np.nan)
            )
            row = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
            rows.append({**row, "outcome": outcome, **_describe(outcome, values, levels)})
    return pd.DataFrame(rows, columns=columns)


class _Levels(NamedTuple):
    """What is estimated, and from how many values."""

    min_n: int
    low: float
    high: float
    n_boot: int
    alpha: float
    seed: int


def _describe(outcome: str, values: np.ndarray, levels: _Levels) -> dict[str, Any]:
    """Numbers of one stratum."""
    min_n, low, high, n_boot, alpha, seed = levels
    known = np.sort(values[np.isfinite(values)])
    n = len(known)
    row: dict[str, Any] = dict.fromkeys(DICTIONARY, float("nan"))
    row.update(unit=unit_of(outcome), n=n, n_missing=len(values) - n, note="")
    del row["outcome"]
    if n < min_n:
        row["note"] = f"too few: {n} subjects, {min_n} needed"
        return row
    rng = np.random.default_rng([seed, n])
    quantiles = np.quantile(known, [low, 0.5, high])
    row.update(mean=known.mean(), sd=known.std(ddof=1) if n > 1 else float("nan"))
    row.update(lower=quantiles[0], median=quantiles[1], upper=quantiles[2])
    for name, level in (("lower", low), ("upper", high)):
        draws = quantile_draws(known, level, n_boot=n_boot, rng=rng)
        limits = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
        row[f"{name}_ci_low"], row[f"{name}_ci_high"] = limits
    if n < 120:
        row["note"] = "fewer than 120 subjects: limits are unsure"
    return row
