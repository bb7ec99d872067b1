"""Shared statistics, computed anew from rounded counts so that they reveal no more than these."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from popscan.fairness.rounding_shares import compared_shares, rounded_share

#: Columns that count units, in any of the audit's tables.
COUNTS = (
    "n", "n_units", "n_missing", "n_reference", "n_other", "n_dropped", "n_entered", "n_lost",
    "n_failed", "n_excluded", "events",
)  # fmt: skip
#: Quantile -> how many times the smallest cell a group needs before it is shown.
_QUANTILES = {"median": 2, "q25": 4, "q75": 4, "q05": 20, "q95": 20}
#: Sizes behind an estimate: interval (or standard error) and the estimate that it is around.
_AROUND = {
    "ci_low": "gap", "ci_high": "gap", "gap_ci_low": "gap", "gap_ci_high": "gap",
    "bias_ci_low": "bias", "bias_ci_high": "bias", "loa_low_ci_low": "loa_low",
    "loa_low_ci_high": "loa_low", "loa_high_ci_low": "loa_high", "loa_high_ci_high": "loa_high",
    "ratio_ci_low": "ratio", "ratio_ci_high": "ratio", "slope_ci_low": "slope",
    "slope_ci_high": "slope", "bias_gap_ci_low": "bias_gap", "bias_gap_ci_high": "bias_gap",
}  # fmt: skip
#: Attribute, stage, outcome, group -> rounded events and n.
Events = Mapping[tuple[str, str, str, str], tuple[int, int]]


def nearest(n: pd.Series, base: int) -> pd.Series:
    """Round counts to multiples of `base`.

    Parameters
    ----------
    n : Series
        Counts.
    base : int
        1 leaves them as they are.

    Returns
    -------
    Series of float
        NaN stays; only 0 becomes 0.
    """
    exact = pd.to_numeric(n, errors="coerce").astype(float)
    shown = base * (exact / base).round()
    return shown.mask((exact > 0) & (shown == 0), float(base))


def coarse_p(p: float, alpha: float = 0.05) -> float:
    """Return a p value with one digit: rounded up, but on the same side of 0.05 and of `alpha`.

    Examples
    --------
    >>> coarse_p(0.0123), coarse_p(0.0451), coarse_p(0.052), coarse_p(0.00004)
    (0.02, 0.049, 0.06, 0.001)
    >>> coarse_p(0.0213, alpha=0.025), coarse_p(0.0003, alpha=0.0005)
    (0.025, 0.0005)
    """
    if p != p:
        return p
    up = 0.001
    if p > up:
        digits = -math.floor(math.log10(p))
        up = round(min(math.ceil(p * 10**digits - 1e-9) / 10**digits, 1.0), digits)
    if p <= alpha < up:
        return alpha if alpha != 0.05 else 0.049
    return 0.049 if p < 0.05 <= up else up


def rounded_groups(groups: pd.DataFrame, *, min_cell: int, base: int, alpha: float) -> pd.DataFrame:
    """Return the groups that are shown, described from rounded counts.

    Parameters
    ----------
    groups : DataFrame
        Rows that are shown, exact; ``n_subjects`` if subjects may repeat.
    min_cell, base : int
        Smallest count that is shown, and base of the rounding.
    alpha : float
        1 - confidence.

    Returns
    -------
    DataFrame
        Proportions and their Wilson intervals are those of rounded counts, wider where subjects
        repeat; intervals of other means are as wide as rounded counts make them. Quantiles that few
        subjects decide are empty.
    """
    table = groups.copy()
    n = pd.to_numeric(table["n"]).astype(float)
    shown = nearest(n, base)
    described = table["mean"].notna() & (shown > 0)
    binary = (table["kind"] == "binary") & described
    scale = np.sqrt(n / shown.where(shown > 0))
    for column in ("ci_low", "ci_high"):
        if column in table:
            table[column] = table["mean"] + (table[column] - table["mean"]) * scale
    for column in [c for c in table.columns if c.startswith("median_ci")]:
        table[column] = np.nan
    for column, times in _QUANTILES.items():
        if column in table:
            table[column] = table[column].astype(float).mask((n < times * min_cell) | binary)
    events = np.minimum(nearest(n * table["mean"].astype(float), base), shown)
    table.loc[binary, "mean"] = (events / shown)[binary]
    p = table["mean"].astype(float).where(binary)
    if "sd" in table:
        table.loc[binary, "sd"] = np.sqrt(p * (1 - p) * shown / (shown - 1))[binary]
    if {"ci_low", "ci_high"} <= set(table.columns):
        exact = groups.loc[binary, ["ci_low", "ci_high"]].astype(float).to_numpy()
        methods = groups.loc[binary, "ci_method"] if "ci_method" in groups else ["wilson"] * len(p)
        subjects = nearest(table.get("n_subjects", pd.Series(np.nan, index=table.index)), base)
        limits = [
            rounded_share((int(k), int(m)), own, mean=mean, method=method, exact=tuple(ends),
                          alpha=alpha)
            for k, m, own, mean, method, ends in zip(
                events[binary], shown[binary], subjects[binary], groups.loc[binary, "mean"],
                methods, exact, strict=False,
            )
        ]  # fmt: skip
        for place, column in enumerate(("ci_low", "ci_high")):
            table.loc[binary, column] = [pair[place] for pair in limits]
    return table


def rounded_events(groups: pd.DataFrame, base: int) -> Events:
    """Return the rounded events and n of every yes/no outcome that is shown.

    Parameters
    ----------
    groups : DataFrame
        As `rounded_groups` returns it.
    base : int
        Base of the rounding.
    """
    part = groups[(groups["kind"] == "binary") & groups["mean"].notna()]
    found = {}
    for row in part.to_dict("records"):
        n = int(base * round(row["n"] / base))
        key = (row["attribute"], row["stage"], row["outcome"], row["group"])
        found[key] = (round(n * row["mean"]), n)
    return found


def rounded_gaps(gaps: pd.DataFrame, events: Events, *, base: int, alpha: float) -> pd.DataFrame:
    """Return gaps computed from rounded counts.

    Parameters
    ----------
    gaps : DataFrame
        Rows that are shown, exact.
    events : mapping
        As `rounded_events` returns it.
    base : int
        Base of the rounding.
    alpha : float
        1 - confidence.

    Returns
    -------
    DataFrame
        Risk differences and ratios of yes/no outcomes with the intervals of rounded counts; of
        other outcomes intervals as wide as rounded counts make them.
    """
    table = rounded_estimates(gaps, base=base)
    found: dict[Hashable, dict[str, float]] = {}
    compared = table[(table["kind"] == "binary") & table["gap"].notna()]
    labels = ("attribute", "stage", "outcome", "group", "reference")
    exact = gaps[["ci_method", "ci_low", "ci_high"]]
    for row, attribute, stage, outcome, group, reference in zip(
        compared.index, *(compared[name] for name in labels), strict=True
    ):
        mine = events.get((attribute, stage, outcome, group))
        theirs = events.get((attribute, stage, outcome, reference))
        if mine is not None and theirs is not None:
            method, *own = exact.loc[row]
            found[row] = compared_shares(mine, theirs, alpha, str(method), (own[0], own[1]))
    for name in next(iter(found.values()), {}):
        if name in table:
            table.loc[list(found), name] = [values[name] for values in found.values()]
    if "direction" in table:
        table["direction"] = [
            _direction(gap, better)
            for gap, better in zip(table["gap"], table["better_is"], strict=True)
        ]
    return table


def _direction(gap: float, better_is: str) -> str:
    if better_is == "neither" or not np.isfinite(gap):
        return ""
    if gap == 0:
        return "equal"
    return "better" if (gap > 0) == (better_is == "higher") else "worse"


def rounded_estimates(table: pd.DataFrame, *, base: int) -> pd.DataFrame:
    """Make intervals and standard errors as wide as rounded counts make them.

    Parameters
    ----------
    table : DataFrame
        Gaps, adjusted gaps, agreement or ledger: estimates with ``n`` and ``n_reference``.
    base : int
        Base of the rounding.

    Returns
    -------
    DataFrame
        Probabilities of one group above the other are rounded to 0.05, raw differences of
        proportions to 0.01: their denominators are counts.
    """
    shown = table.copy()
    sizes = [pd.to_numeric(shown[c]).astype(float) for c in ("n", "n_reference") if c in shown]
    if not sizes:
        return shown
    exact = sum((1 / n.where(n > 0) for n in sizes), start=pd.Series(0.0, index=shown.index))
    kept = [nearest(n, base) for n in sizes]
    after = sum((1 / n.where(n > 0) for n in kept), start=pd.Series(0.0, index=shown.index))
    scale = ((after / exact) ** 0.5).fillna(1.0)
    around = dict(_AROUND)
    if "contribution" in shown:
        around |= {"ci_low": "contribution", "ci_high": "contribution"}
    for column, middle in around.items():
        if column in shown and middle in shown:
            centre = pd.to_numeric(shown[middle]).astype(float)
            shown[column] = centre + (pd.to_numeric(shown[column]).astype(float) - centre) * scale
    for column in ("se", "min_detectable_gap", "min_detectable_gap_corrected"):
        if column in shown:
            shown[column] = pd.to_numeric(shown[column]).astype(float) * scale
    steps = {"cliffs_delta": 0.05, "matched_pct": 5.0}
    if "kind" in shown and "gap_raw" in shown:
        binary = shown["kind"] == "binary"
        shown["gap_raw"] = shown["gap_raw"].where(~binary, _to_step(shown["gap_raw"], 0.01))
    for column, step in steps.items():
        if column in shown:
            shown[column] = _to_step(shown[column], step)
    return shown


def _to_step(values: pd.Series, step: float) -> pd.Series:
    return step * (pd.to_numeric(values).astype(float) / step).round()


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def finish(table: pd.DataFrame, *, base: int, alpha: float = 0.05) -> pd.DataFrame:
    """Round counts to multiples of `base`, p values to one digit, others to three digits.

    Parameters
    ----------
    table : DataFrame
        Computed from rounded counts.
    base : int
        Base of the rounding.
    alpha : float
        Level of the study, on the same side of which p values stay.
    """

    def coarse(p: float) -> float:
        return coarse_p(p, alpha)

    shown = table.copy()
    for column in shown.columns:
        name = str(column)
        if name in COUNTS:
            shown[column] = nearest(shown[column], base)
        elif pd.api.types.is_float_dtype(shown[column]) and name != "position":
            is_p = name == "p" or name.startswith("p_")
            values = shown[column].astype(float)
            shown[column] = values.map(coarse if is_p else _three_digits, na_action="ignore")
    return shown
