"""Rows of a table that are one measurement under two names: reported, never changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from popscan.names import natural, plural, subject_of
from popscan.stats.coincidence import chance_of_equal_rows

#: Fewest numbers that two rows must have in common.
_LEAST = 4
#: Measurements that are compared: at first, and at most where the first are too coarse to decide.
_FIRST, _MOST = 8, 32
#: Fewest different values of a measurement that is compared.
_LEVELS = 10
#: Pairs of rows that chance makes equal are at least a million times rarer than one (log10).
_RARE = -6.0


def same_rows_notes(
    table: pd.DataFrame, columns: Sequence[str], *, unit: str = "unit"
) -> list[str]:
    """Say which rows hold exactly the same measurements: a scan that was filed under two names.

    Parameters
    ----------
    table
        One row per visit, with the column `unit`.
    columns
        Measurements; the first eight that have ten different values or more are compared, and up to
        32 where chance could make rows equal in those.
    unit
        Column with the name of a visit; visits of one subject share what is before ``_ses-``.

    Returns
    -------
    list of str
        At most one sentence on different subjects, one on visits of one subject, and one on equal
        rows that chance may explain. None where no two rows with four numbers or more are equal.
    """
    numbers = _numbers(table, columns, unit)
    names = table[unit].astype(str).to_numpy()
    found: list[np.ndarray] = []
    unclear: list[np.ndarray] = []
    n = 0
    for most in range(_FIRST, _MOST + 1, _FIRST):
        n = min(most, numbers.shape[1])
        decided, unclear = _equal_rows(numbers[:, :n], names)
        held = {int(row) for rows in found for row in rows}
        found += [rows for rows in decided if not held & set(rows.tolist())]
        held |= {int(row) for rows in found for row in rows}
        unclear = [rows for rows in unclear if not held >= set(rows.tolist())]
        if not unclear or most >= numbers.shape[1]:
            break
    return _sentences(_named(found, names), _named(unclear, names), n)


def _numbers(table: pd.DataFrame, columns: Sequence[str], unit: str) -> np.ndarray:
    """Return the measurements to compare, rows by columns; NaN for what is none."""
    chosen: list[np.ndarray] = []
    for name in dict.fromkeys(columns):
        if name not in table or name == unit:
            continue
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, copy=True)
        values[~np.isfinite(values)] = np.nan
        if len(np.unique(values[~np.isnan(values)])) >= _LEVELS:
            chosen.append(values)
        if len(chosen) == _MOST:
            break
    return np.stack(chosen, axis=1) if chosen else np.empty((len(table), 0))


def _equal_rows(
    numbers: np.ndarray, names: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return groups of equal rows: those that chance cannot explain, and those that it may."""
    used = np.flatnonzero(np.isfinite(numbers).sum(axis=1) >= _LEAST)
    frame = pd.DataFrame(numbers[used])
    if not frame.duplicated().any():
        return [], []
    keys = pd.factorize(pd.util.hash_pandas_object(frame, index=False).to_numpy())[0]
    order = np.argsort(keys, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    several = [group for group in groups if len(group) > 1]
    subjects = pd.factorize(np.array([subject_of(name) for name in names[used]], dtype=object))[0]
    chance = chance_of_equal_rows(numbers[used], keys, subjects)
    decided: list[np.ndarray] = []
    unclear: list[np.ndarray] = []
    for group in several:
        known = np.isfinite(numbers[used[group[0]]])
        apart = len(np.unique(subjects[group])) > 1
        rare = chance.log10_expected(known, apart=apart) <= _RARE
        (decided if rare else unclear).append(used[group])
    return decided, unclear


def _named(groups: Sequence[np.ndarray], names: np.ndarray) -> list[list[str]]:
    return sorted(
        (sorted(names[rows], key=natural) for rows in groups), key=lambda g: natural(g[0])
    )


def _sentences(found: list[list[str]], unclear: list[list[str]], n: int) -> list[str]:
    apart = [group for group in found if len(set(map(subject_of, group))) > 1]
    visits = [group for group in found if group not in apart]
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
    if unclear:
        notes.append(
            f"Visits of {plural(len(unclear), 'group')} agree in all of {n} compared measurements: "
            f"{_shown(unclear)}. Values as coarse as these may agree by chance: whether it is one "
            "scan under several names was not decided."
        )
    return notes


def _shown(groups: Sequence[Sequence[str]]) -> str:
    """Name the first three groups, and count the others."""
    some = "; ".join(" and ".join(group[:5]) for group in groups[:3])
    return some + (f"; and {len(groups) - 3} more" if len(groups) > 3 else "")
