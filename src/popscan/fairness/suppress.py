"""Small cells hidden in tables that leave the safe room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from popscan.fairness import rounding as made
from popscan.fairness.attack import rows_to_hide, stages_to_hide
from popscan.fairness.few_subjects import and_companions
from popscan.fairness.prediction_links import is_behind
from popscan.fairness.predictions import ALL_GROUPS
from popscan.fairness.rounding import COUNTS
from popscan.fairness.rounding_tables import rounded_funnel, rounded_predictions, rounded_summary

#: Columns that say who or what a row is about, and hold no result.
LABELS = (
    "attribute", "group", "reference", "stage", "outcome", "better_is", "kind", "unit", "term",
    "name", "column", "sex", "age_band", "test", "ci_method", "family", "robust", "is_reference",
    "too_few", "biomarker", "step", "position", "other", "method", "adjusted_for",
    "not_adjusted_for", "counted",
)  # fmt: skip

#: Columns from which the number of subjects without a value could be had, or of those who repeat.
_NEVER_SHARED = (
    "n_dropped", "missing_pct", "missing_reference_pct", "bound_low", "bound_high",
    "n_subjects", "n_subjects_with", "n_subjects_without", "n_subjects_reference",
)  # fmt: skip


def suppress(
    table: pd.DataFrame,
    *,
    min_cell: int = 5,
    within: Sequence[str] = ("attribute", "stage", "outcome"),
    also: pd.Series | None = None,
) -> pd.DataFrame:
    """Hide rows that rest on fewer than `min_cell` people, and what would give them away.

    Counts of 1..min_cell - 1 become NaN and so does every result of the row. Where exactly one
    cell of a set that adds up to a known total is hidden (`within`: the groups of one attribute),
    the next smallest is hidden too, since subtraction would reveal the first.

    Parameters
    ----------
    table : DataFrame
        A table of the audit, of `popscan.associate`, or of the funnel. Not changed.
    min_cell : int
        Smallest count that may be shown.
    within : sequence of str
        Columns that identify the sets whose counts add up; those absent are ignored.
    also : Series of bool, optional
        Further rows to hide, by the table's index.

    Returns
    -------
    DataFrame
        The same rows, with ``suppressed`` marking which are hidden.
    """
    shown = table.copy()
    counts = [c for c in COUNTS if c in shown]
    numbers = shown[counts].apply(pd.to_numeric, errors="coerce") if counts else pd.DataFrame()
    small = ((numbers > 0) & (numbers < min_cell)).any(axis=1) if counts else pd.Series(dtype=bool)
    hidden = small.reindex(shown.index, fill_value=False).astype(bool)
    if also is not None:
        hidden |= also
    sets = [c for c in within if c in shown]
    base = "n_units" if "n_units" in counts else "n"
    if sets and base in counts and "group" in shown:
        for _, rows in shown.groupby(sets, sort=False, dropna=False):
            if hidden[rows.index].sum() == 1 and len(rows) > 1:
                open_rows = rows.index[~hidden[rows.index]]
                candidates = numbers.loc[open_rows, base]
                candidates = candidates[candidates > 0]
                if len(candidates):
                    hidden[candidates.idxmin()] = True
    for column in shown.columns.difference(list(LABELS)):
        if pd.api.types.is_numeric_dtype(shown[column]):
            shown[column] = shown[column].astype(float).mask(hidden, np.nan)
        else:
            shown[column] = shown[column].astype(object).mask(hidden, "")
    shown["suppressed"] = hidden
    return shown


def share(
    tables: Mapping[str, pd.DataFrame],
    *,
    min_cell: int = 5,
    rounding: int = 5,
    alpha: float = 0.05,
) -> dict[str, pd.DataFrame]:
    """Hide small cells in all tables of an audit at once, so that none gives away another's.

    Groups with fewer than `min_cell` values, and of yes/no outcomes those with as few events or
    non-events, are hidden, and with them every gap, pair and adjusted gap that rests on them. A
    group that loses fewer than `min_cell` at any stage shows its funnel in one line only; a chain
    of the bias ledger in which a step loses so few is hidden, since the change of a mean would
    reveal their values. What is left is computed from counts rounded to multiples of `rounding`
    (`popscan.fairness.rounding`), and attacked (`popscan.fairness.attack`): rows that would give a
    hidden count away are hidden too.

    Parameters
    ----------
    tables : mapping
        Name (``groups``, ``gaps``, ``summary``, ``adjusted``, ``pairs``, ``funnel``,
        ``exclusion``, ``agreement``, ``confounding``, ``ledger``, ``predictions``) -> table. Others
        are left out: bins of scores and sweeps of thresholds count subjects one by one.
    min_cell : int
        Smallest count that may be shown.
    rounding : int
        Base to which counts are rounded.
    alpha : float
        1 - confidence of the intervals.

    Returns
    -------
    dict
        The tables without the hidden rows.
    """
    groups = tables.get("groups", pd.DataFrame())
    limits = {"min_cell": min_cell, "base": rounding}
    hide = pd.Series(dtype=bool)
    if len(groups):
        few = _few(groups, min_cell) | _few_events(groups, min_cell)
        hide = rows_to_hide(groups, and_companions(groups, few, min_cell=min_cell), **limits)
    unsafe = _keys(groups.assign(suppressed=hide)) if len(groups) else set()
    shown_groups = groups[~hide.astype(bool)] if len(groups) else groups
    if len(shown_groups):
        shown_groups = made.rounded_groups(shown_groups, **limits, alpha=alpha)
    shown_groups = shown_groups.drop(columns=list(_NEVER_SHARED), errors="ignore")
    events = made.rounded_events(shown_groups, rounding) if len(shown_groups) else {}
    rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "gaps": lambda table: _rests_on(table, unsafe, ("group", "reference")),
        "summary": lambda table: _rests_on(table, unsafe, ("worst_group", "best_group")),
        "adjusted": lambda table: _rests_on(table, unsafe, ("group", "reference")),
        "pairs": lambda table: _rests_on(table, unsafe, ("group", "other")),
        "exclusion": lambda table: _rests_on(
            table.assign(outcome="qc_fail"), unsafe, ("group", "reference")
        ),
        "agreement": lambda table: pd.Series(False, index=table.index),
        "confounding": lambda table: pd.Series(False, index=table.index),
        "ledger": lambda table: _leaky_chains(table, min_cell),
        "predictions": lambda table: _leaky_predictions(table, unsafe),
        "funnel": lambda table: stages_to_hide(table, _leaky_funnels(table, min_cell), **limits),
    }
    computed: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "gaps": lambda table: made.rounded_gaps(table, events, base=rounding, alpha=alpha),
        "summary": lambda table: rounded_summary(table, shown_groups),
        "predictions": lambda table: rounded_predictions(table, base=rounding),
        "funnel": lambda table: rounded_funnel(table, base=rounding, alpha=alpha),
    }
    safe = {} if "groups" not in tables else {"groups": _finished(shown_groups, limits, alpha)}
    for name, rule in rules.items():
        table = tables.get(name)
        if table is None:
            continue
        # How many lack a value or a confounder is mostly a small number, which shares would reveal.
        shown = table.drop(columns=list(_NEVER_SHARED), errors="ignore")
        if len(shown):
            small = _few(table, min_cell) if name != "funnel" else _few_units(table, min_cell)
            shown = shown[~(small | rule(shown))].reset_index(drop=True)
        if "note" in shown:  # "too few: 3 and 40, 5 needed"
            shown = shown.assign(note=shown["note"].replace(r"^too few:.*", "too few", regex=True))
        if len(shown):
            again = computed.get(name, lambda t: made.rounded_estimates(t, base=rounding))
            shown = again(shown)
        safe[name] = _finished(shown, limits, alpha)
    return safe


def _finished(table: pd.DataFrame, limits: Mapping[str, int], alpha: float) -> pd.DataFrame:
    """Round a table; few missing values are hidden alone, not with their row."""
    shown = table.reset_index(drop=True)
    if "n_missing" in shown and len(shown):
        missing = pd.to_numeric(shown["n_missing"]).astype(float)
        shown["n_missing"] = missing.mask((missing > 0) & (missing < limits["min_cell"]))
    return made.finish(shown, base=limits["base"], alpha=alpha)


def _few(table: pd.DataFrame, min_cell: int) -> pd.Series:
    """Rows that rest on few units of either side."""
    names = ("n", "n_units", "n_reference", "n_other", "n_subjects", "n_subjects_reference")
    sizes = [c for c in names if c in table]
    numbers = table[sizes].apply(pd.to_numeric, errors="coerce")
    return ((numbers > 0) & (numbers < min_cell)).any(axis=1)


def _few_units(funnel: pd.DataFrame, min_cell: int) -> pd.Series:
    """Rows of the funnel in which any count is small."""
    counts = [c for c in COUNTS if c in funnel]
    numbers = funnel[counts].apply(pd.to_numeric, errors="coerce")
    return ((numbers > 0) & (numbers < min_cell)).any(axis=1)


def _few_events(groups: pd.DataFrame, min_cell: int) -> pd.Series:
    """Rows of yes/no outcomes with few events, or few without: of units, or of subjects."""
    events = groups["n"] * groups["mean"].astype(float)
    few = pd.Series(False, index=groups.index)
    names = ("n_subjects_with", "n_subjects_without")
    of_subjects = [groups[name].astype(float) for name in names if name in groups]
    for count in (events, groups["n"] - events, *of_subjects):
        few |= (count > 1e-6) & (count < min_cell - 1e-6)
    return few & (groups["kind"] == "binary")


def _keys(suppressed: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Attribute, outcome and group of the hidden rows."""
    rows = suppressed[suppressed["suppressed"]]
    return set(zip(rows["attribute"], rows["outcome"], rows["group"], strict=True))


def _rests_on(
    table: pd.DataFrame, unsafe: set[tuple[str, str, str]], sides: Sequence[str]
) -> pd.Series:
    """Rows in which one of the groups is hidden elsewhere."""
    found = pd.Series(False, index=table.index)
    for side in sides:
        keys = zip(table["attribute"], table["outcome"], table[side], strict=True)
        found |= pd.Series([key in unsafe for key in keys], index=table.index)
    return found


def _leaky_predictions(table: pd.DataFrame, unsafe: set[tuple[str, str, str]]) -> pd.Series:
    """Measures of a prediction in groups of which a count behind the measure is hidden."""
    rests = []
    for row in table.to_dict("records"):
        sides = {row["group"], row["reference"]}
        rests.append(
            any(
                attribute == row["attribute"]
                and (group in sides or row["group"] == ALL_GROUPS)
                and is_behind(outcome, row["measure"], row["prediction"])
                for attribute, outcome, group in unsafe
            )
        )
    return pd.Series(rests, index=table.index, dtype=bool)


def _leaky_funnels(funnel: pd.DataFrame, min_cell: int) -> pd.Series:
    """Stages of groups that lose few at any one of them, or keep few."""
    counts = funnel[["n_lost", "n_failed", "n_excluded"]].astype(float)
    left = (funnel["n_entered"] - funnel["n_lost"]).astype(float)
    few = ((counts > 0) & (counts < min_cell)).any(axis=1) | ((left > 0) & (left < min_cell))
    of_group = few.groupby([funnel["attribute"], funnel["group"]]).transform("any")
    return few | (of_group & (funnel["stage"] != "all stages"))


def _leaky_chains(ledger: pd.DataFrame, min_cell: int) -> pd.Series:
    """Chains in which a step loses (or gains) few people of either group."""
    chain = ["attribute", "group", "biomarker"]
    lost = ledger.groupby(chain, sort=False)[["n", "n_reference"]].diff().astype(float).abs()
    few = ((lost > 0) & (lost < min_cell)).any(axis=1)
    return few.groupby([ledger[name] for name in chain], sort=False).transform("any")
