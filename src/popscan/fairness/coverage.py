"""Whether the intervals of biomarkers hold the reference as often as they should, and for whom.

An interval at 90% is meant to hold the reference of 90% of new subjects. Where a study has
references, what really happened is counted, with an exact (Clopper-Pearson) interval of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from popscan.columns import Column, flag, text
from popscan.fairness.groups import labels

#: Column -> unit, meaning.
DICTIONARY: dict[str, Column] = {
    "biomarker": text("biomarker"),
    "attribute": text("attribute; empty for all subjects"),
    "group": text("its group; all for all subjects"),
    "n": Column("", "subjects with an interval and a reference"),
    "n_covered": Column("", "of these, the interval holds the reference"),
    "n_outside": Column("", "of these, it does not"),
    "coverage_pct": Column("%", "share of intervals that hold the reference"),
    "coverage_low_pct": Column("%", "lower limit of that share, Clopper-Pearson"),
    "coverage_high_pct": Column("%", "upper limit"),
    "nominal_pct": Column("%", "share that the intervals are meant to hold"),
    "half_width": Column("unit of the biomarker", "median half-width of the intervals"),
    "too_narrow": flag("whether the upper limit is below the nominal share"),
}


def ends(column: str) -> tuple[str, str]:
    """Return the columns of an interval's ends.

    Examples
    --------
    >>> ends("share_pct")
    ('share_low_pct', 'share_high_pct')
    """
    stem, _, unit = column.rpartition("_")
    return f"{stem}_low_{unit}", f"{stem}_high_{unit}"


def with_intervals(table: pd.DataFrame) -> list[str]:
    """Return the biomarkers of a table that have intervals, in its order."""
    return [c for c in map(str, table.columns) if "_" in c and set(ends(c)) <= set(table.columns)]


def covered(measured: pd.DataFrame, reference: pd.DataFrame, biomarker: str) -> pd.Series:
    """Return by unit whether the interval holds the reference: 1, 0, or NaN where either lacks.

    Parameters
    ----------
    measured : DataFrame
        unit, and the ends of the biomarker's interval.
    reference : DataFrame
        unit and the biomarker, or ``truth_`` and its name.
    biomarker : str
        Column.
    """
    true = reference.set_index("unit")
    true.columns = pd.Index([str(c).removeprefix("truth_") for c in true.columns])
    low, high = (measured.set_index("unit")[end].astype(float) for end in ends(biomarker))
    value = true[biomarker].reindex(low.index).astype(float)
    inside = ((low <= value) & (value <= high)).astype(float)
    return inside.where(low.notna() & high.notna() & value.notna())


def coverage_table(
    measured: pd.DataFrame,
    reference: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str] = (),
    min_group: int = 10,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Count how many intervals hold their reference, over all subjects and by group.

    Parameters
    ----------
    measured : DataFrame
        unit, biomarkers, ends of their intervals and ``interval_level_pct``.
    reference : DataFrame
        As in `covered`; only references that can be relied on, of subjects not trained on.
    attributes : DataFrame
        Indexed by unit; of a subject with several visits one.
    attributes_to_test : sequence of str
        Columns of `attributes`.
    min_group : int
        Smaller groups have no row.
    alpha : float
        1 - confidence of the limits.

    Returns
    -------
    DataFrame
        Columns of `DICTIONARY`; no rows without references or intervals.
    """
    known = {str(c).removeprefix("truth_") for c in reference.columns}
    rows = []
    for name in with_intervals(measured) if len(reference) else ():
        if name not in known:
            continue
        inside = covered(measured, reference, name).dropna()
        inside = inside[inside.index.isin(attributes.index)]
        low, high = (measured.set_index("unit")[end].astype(float) for end in ends(name))
        half = ((high - low) / 2).reindex(inside.index)
        nominal = measured.set_index("unit")["interval_level_pct"].reindex(inside.index)
        groups = [("", "all", inside.index)]
        for attribute in attributes_to_test:
            group = labels(attributes[attribute]).reindex(inside.index)
            groups += [
                (attribute, str(label), group.index[group == label]) for label in group.unique()
            ]
        for attribute, label, units in groups:
            if len(units) and (not attribute or len(units) >= min_group):
                rows.append(
                    {"biomarker": name, "attribute": attribute, "group": label}
                    | _counts(inside[units], float(nominal[units].median()), alpha=alpha)
                    | {"half_width": float(half[units].median())}
                )
    return pd.DataFrame(rows, columns=list(DICTIONARY))


def _counts(inside: pd.Series, nominal: float, *, alpha: float) -> dict[str, float | bool]:
    n, k = len(inside), int(inside.sum())
    low, high = (100.0 * float(p) for p in proportion_confint(k, n, alpha=alpha, method="beta"))
    return {
        "n": n,
        "n_covered": k,
        "n_outside": n - k,
        "coverage_pct": round(100.0 * k / n, 1),
        "coverage_low_pct": round(low, 1),
        "coverage_high_pct": round(high, 1),
        "nominal_pct": nominal,
        "too_narrow": bool(np.isfinite(nominal) and high < nominal),
    }


def too_narrow(table: pd.DataFrame, *, overall: bool) -> pd.DataFrame:
    """Return the rows whose coverage is significantly below the nominal one.

    Parameters
    ----------
    table : DataFrame
        As `coverage_table`, or as read from a file.
    overall : bool
        Rows over all subjects; otherwise those of groups.
    """
    if not {"too_narrow", "attribute"} <= set(table):
        return table.head(0)
    narrow = table["too_narrow"].astype(str).str.lower() == "true"
    whole = table["attribute"].fillna("").astype(str) == ""
    return table[narrow & (whole if overall else ~whole)]
