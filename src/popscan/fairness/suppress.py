"""Small cells hidden in tables that leave the safe room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

#: Columns that count people, in any of the audit's tables.
COUNTS = ("n", "n_units", "n_missing", "n_reference", "n_dropped", "n_lost", "events")
#: Columns that say who or what a row is about, and hold no result.
LABELS = (
    "attribute", "group", "reference", "stage", "outcome", "better_is", "kind", "unit", "term",
    "name", "column", "sex", "age_band", "test", "ci_method", "family", "robust", "is_reference",
    "too_few",
)  # fmt: skip


def suppress(
    table: pd.DataFrame,
    *,
    min_cell: int = 5,
    within: Sequence[str] = ("attribute", "stage", "outcome"),
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
        Columns that tell the sets whose counts add up; those absent are ignored.

    Returns
    -------
    DataFrame
        The same rows, with ``suppressed`` telling which are hidden.
    """
    shown = table.copy()
    counts = [c for c in COUNTS if c in shown]
    numbers = shown[counts].apply(pd.to_numeric, errors="coerce") if counts else pd.DataFrame()
    small = ((numbers > 0) & (numbers < min_cell)).any(axis=1) if counts else pd.Series(dtype=bool)
    hidden = small.reindex(shown.index, fill_value=False).astype(bool)
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
