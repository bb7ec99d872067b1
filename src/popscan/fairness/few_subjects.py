"""Companions of hidden groups of few subjects, so that none of them is what others leave.

Rounded counts of visits are attacked in `popscan.fairness.attack`. A group of two subjects with six
visits each has twelve: no small count, yet totals less the other groups would give its results.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.stats.crossed import TIMES, crossed_parts, known_groups

#: Numbers of subjects, of whom as many as a cell needs must be hidden together.
_COUNTS = ("n_subjects", "n_subjects_with", "n_subjects_without")


def and_companions(groups: pd.DataFrame, hidden: pd.Series, *, min_cell: int) -> pd.Series:
    """Hide further groups until what is hidden together is never of fewer subjects than a cell.

    Parameters
    ----------
    groups : DataFrame
        Groups as the audit describes them, exact; without numbers of subjects nothing is added.
    hidden : Series of bool
        Rows that are hidden already.
    min_cell : int
        Smallest count that is shown.

    Returns
    -------
    Series of bool
        The rows to hide, those of `hidden` among them. In every set of groups that add up to what
        is shown (of an attribute, or within a group of one attribute of an intersection), those
        that are hidden have 0 or at least `min_cell` subjects, subjects with an event, and without.
        Where none of them has more visits than subjects, the attack on counts knows enough.
    """
    counts = [name for name in _COUNTS if name in groups]
    if "n_subjects" not in counts or not hidden.any():
        return hidden
    found = hidden.to_numpy(dtype=bool, copy=True)
    numbers = groups[counts].astype(float).fillna(0.0).to_numpy()
    subjects = groups["n_subjects"].astype(float).fillna(0.0).to_numpy()
    repeated = groups["n"].to_numpy(dtype=float) > subjects
    if not (found & repeated).any():
        return hidden
    sets = list(_sets(groups))
    added = True
    while added:  # a row that is hidden in one set may be alone in another
        added = False
        for rows in sets:
            dark = found[rows]
            if not (dark & repeated[rows]).any():
                continue
            while not dark.all() and _too_few(numbers[rows][dark], min_cell):
                sizes = np.where(dark | (subjects[rows] <= 0), np.inf, subjects[rows])
                if not np.isfinite(sizes).any():
                    break
                dark[int(sizes.argmin())] = True
                added = True
            found[rows] = dark
    return pd.Series(found, index=hidden.index)


def _too_few(dark: NDArray[np.float64], min_cell: int) -> bool:
    totals = dark.sum(axis=0)
    return bool(((totals > 0) & (totals < min_cell)).any())


def _sets(groups: pd.DataFrame) -> Iterator[NDArray[np.intp]]:
    """Places of groups that add up: by outcome, all of an attribute, and margins of crossings."""
    table = groups.reset_index(drop=True)
    singles = {
        str(name): frozenset(map(str, part["group"]))
        for name, part in table.groupby("attribute", sort=False)
        if TIMES not in str(name)
    }
    keys = ["attribute", "stage", "outcome"]
    for (attribute, _, _), part in table.groupby(keys, sort=False):
        places = part.index.to_numpy()
        yield places
        if TIMES not in str(attribute):
            continue
        known = known_groups(str(attribute), singles)
        parts = [crossed_parts(str(group), known) for group in part["group"]]
        for place in range(len(known)):
            margins = [own[place] if own else "" for own in parts]
            for margin in dict.fromkeys(margins):
                yield places[[own == margin for own in margins]]
