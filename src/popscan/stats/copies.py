"""Rows of a table that are one measurement under two names: reported, never changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from popscan.names import natural, subject_of

#: Fewest numbers that two rows must have in common.
_LEAST = 4
#: Measurements that are compared, each of at least so many different values: copies agree in all.
_MOST, _LEVELS = 8, 10
#: Coincidences among all pairs of rows are at least a million times rarer than one such pair.
_RARER = 6.0


def same_rows_notes(
    table: pd.DataFrame, columns: Sequence[str], *, unit: str = "unit"
) -> list[str]:
    """Say which rows hold exactly the same measurements: a scan that was filed under two names.

    Parameters
    ----------
    table
        One row per visit, with the column `unit`.
    columns
        Measurements; the first eight that have ten different values or more are compared.
    unit
        Column with the name of a visit; visits of one subject share what is before ``_ses-``.

    Returns
    -------
    list of str
        At most one sentence on different subjects and one on visits of one subject. None where the
        measurements are so coarse that rows could agree by chance.
    """
    chosen: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(columns):
        if name not in table or name == unit or len(chosen) == _MOST:
            continue
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, copy=True)
        values[~np.isfinite(values)] = np.nan
        if len(np.unique(values[~np.isnan(values)])) >= _LEVELS:
            chosen[name] = values
    numbers = pd.DataFrame(chosen, index=table.index)
    full = numbers[(numbers.notna().sum(axis=1) >= _LEAST).to_numpy()]
    if len(full) < 2:
        return []
    # Derived numbers say little more than those that they are made of: four columns count.
    steps = sorted(_steps(full[name].to_numpy()) for name in full)[-_LEAST:]
    if np.log10(steps).sum() < 2 * np.log10(len(full)) + _RARER:
        return []
    same = full[full.duplicated(keep=False)]
    if same.empty:
        return []
    names = table.loc[same.index, unit].astype(str)
    groups = names.groupby(pd.util.hash_pandas_object(same, index=False).to_numpy(), sort=False)
    several = [sorted(group, key=natural) for _, group in groups]
    several.sort(key=lambda group: natural(group[0]))
    apart = [group for group in several if len(set(map(subject_of, group))) > 1]
    visits = [group for group in several if group not in apart]
    notes = []
    if apart:
        notes.append(
            f"Exactly the same measurements of different subjects: {_shown(apart)}. Is it one scan "
            "under several names? Each counts as a subject of its own."
        )
    if visits:
        notes.append(
            f"Exactly the same measurements at several visits: {_shown(visits)}. Is it one scan "
            "under several names? Each counts as a visit of its own."
        )
    return notes


def _steps(values: np.ndarray) -> float:
    """Return how many different values a column could have: its range over its finest step."""
    known = np.unique(values[np.isfinite(values)])
    gaps = np.diff(known)
    return 1.0 + float((known[-1] - known[0]) / gaps.min()) if len(gaps) else 1.0


def _shown(groups: Sequence[Sequence[str]]) -> str:
    """Name the first three groups, and count the others."""
    some = "; ".join(" and ".join(group[:5]) for group in groups[:3])
    return some + (f"; and {len(groups) - 3} more" if len(groups) > 3 else "")
