"""Shared losses by stage and spreads over groups, computed anew from rounded counts."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from popscan.fairness.rounding import nearest, rounded_estimates
from popscan.stats import intervals


def rounded_funnel(funnel: pd.DataFrame, *, base: int, alpha: float) -> pd.DataFrame:
    """Return losses by stage, shares and intervals computed from rounded counts.

    Parameters
    ----------
    funnel : DataFrame
        Rows that are shown, exact.
    base : int
        Base of the rounding.
    alpha : float
        1 - confidence.
    """
    table = funnel.copy()
    counts = {c: nearest(table[c], base) for c in ("n_units", "n_entered", "n_lost")}
    entered = counts["n_entered"]
    lost = np.minimum(counts["n_lost"], entered)
    place = {
        key: row
        for row, key in zip(
            table.index, zip(table["attribute"], table["group"], table["stage"], strict=True),
            strict=True,
        )
    }  # fmt: skip
    table["kept_pct"] = 100 * (entered - lost) / counts["n_units"].where(counts["n_units"] > 0)
    shares: dict[Hashable, list[float]] = {}
    gaps: dict[Hashable, list[float]] = {}
    known = table[np.isfinite(table["lost_pct"]) & (entered > 0)]
    labels = ("gap_pct", "attribute", "reference", "stage")
    for row, had_gap, *key in zip(known.index, *(known[name] for name in labels), strict=True):
        mine = int(lost[row]), int(entered[row])
        low, high = intervals.wilson(*mine, alpha=alpha)
        shares[row] = [100 * mine[0] / mine[1], 100 * low, 100 * high]
        if not np.isfinite(had_gap):
            continue
        base_row = place.get(tuple(key))
        gaps[row] = [np.nan] * 3
        if base_row is not None and entered[base_row] > 0:
            theirs = int(lost[base_row]), int(entered[base_row])
            low, high = intervals.risk_difference(*mine, *theirs, alpha=alpha)
            gaps[row] = [100 * (mine[0] / mine[1] - theirs[0] / theirs[1]), 100 * low, 100 * high]
    for found, columns in (
        (shares, ("lost_pct", "ci_low_pct", "ci_high_pct")),
        (gaps, ("gap_pct", "gap_ci_low_pct", "gap_ci_high_pct")),
    ):
        for at, column in enumerate(columns if found else ()):
            table.loc[list(found), column] = [values[at] for values in found.values()]
    return table


def rounded_summary(summary: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return spreads over groups; those of yes/no outcomes from the groups that are shown.

    Parameters
    ----------
    summary : DataFrame
        Rows that are shown, exact.
    groups : DataFrame
        As `rounded_groups` returns it.
    """
    table = summary.copy()
    binary = table["kind"] == "binary"
    labels = ("attribute", "stage", "outcome")
    keys = zip(*(groups[name] for name in labels), groups["group"], strict=True)
    means = dict(zip(keys, groups["mean"], strict=True))
    kept = ("n", "n_groups", "n_too_few", "p", "p_adj")
    for column in table.columns:
        if pd.api.types.is_numeric_dtype(table[column]) and column not in kept:
            table[column] = table[column].astype(float).mask(binary)
    if not binary.any():
        return table
    rows = table[binary]
    for side in ("worst", "best"):
        keys = zip(*(rows[name] for name in labels), rows[f"{side}_group"], strict=True)
        table.loc[binary, side] = [means.get(key, np.nan) for key in keys]
    table.loc[binary, "max_gap"] = (table["worst"] - table["best"]).abs()[binary]
    return table


def rounded_predictions(table: pd.DataFrame, *, base: int) -> pd.DataFrame:
    """Return measures of predictions to two decimals: shares and rates would reveal counts.

    Parameters
    ----------
    table : DataFrame
        Rows that are shown, exact.
    base : int
        Base of the rounding of counts, by which intervals are widened.
    """
    shown = rounded_estimates(table, base=base)
    shares = ~table["measure"].isin(["rmse"])
    for column in ("value", "ci_low", "ci_high", "by_chance", "gap", "gap_ci_low", "gap_ci_high"):
        values = pd.to_numeric(shown[column]).astype(float)
        shown[column] = values.where(~shares, values.round(2))
    return shown
