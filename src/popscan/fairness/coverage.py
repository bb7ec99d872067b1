"""Whether the intervals of biomarkers hold the reference as often as they should, and for whom.

An interval at 90% is meant to hold the reference of 90% of new subjects. Where a study has
references, what really happened is counted, with an exact (Clopper-Pearson) interval of its own.
Of many groups and biomarkers some fall short by chance: tests are corrected for their number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from popscan.columns import Column, flag, text
from popscan.fairness.groups import labels
from popscan.stats import multiplicity

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
    "p": Column(
        "",
        "exact binomial test that no fewer intervals hold the reference than the nominal share: "
        "twice the one-sided p, at most 1",
    ),
    "p_adj": Column(
        "", "p after Holm's correction over all biomarkers, or over all groups of all biomarkers"
    ),
    "too_narrow": flag("whether p_adj is small: fewer hold it than chance explains"),
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
    true = _true_values(reference)
    low, high = (measured.set_index("unit")[end].astype(float) for end in ends(biomarker))
    return _inside(low, high, true[biomarker].reindex(low.index).astype(float))


def _true_values(reference: pd.DataFrame) -> pd.DataFrame:
    """Return references by unit, ``truth_`` taken from the names."""
    true = reference.set_index("unit")
    true.columns = pd.Index([str(c).removeprefix("truth_") for c in true.columns])
    return true


def _inside(low: pd.Series, high: pd.Series, value: pd.Series) -> pd.Series:
    """Say whether intervals hold a value: 1, 0, or NaN where either lacks; all with one index."""
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
        1 - confidence of the limits, and level of the corrected tests.

    Returns
    -------
    DataFrame
        Columns of `DICTIONARY`; no rows without references or intervals.
    """
    if not len(reference) or not with_intervals(measured):
        return pd.DataFrame(columns=list(DICTIONARY))
    # Units are looked up once; below, rows go by their number.
    units = pd.Index(measured["unit"])
    true = _true_values(reference).reindex(units).reset_index(drop=True)
    numbered = measured.reset_index(drop=True)
    place = attributes.index.get_indexer(units)
    groupings = [
        (attribute, *pd.factorize(labels(attributes[attribute])))
        for attribute in attributes_to_test
    ]
    rows = []
    for name in with_intervals(measured):
        if name not in true:
            continue
        low, high = (numbered[end].astype(float) for end in ends(name))
        inside = _inside(low, high, true[name].astype(float))
        here = np.flatnonzero(inside.notna().to_numpy() & (place >= 0))
        groups: list[tuple[str, str, NDArray[np.intp]]] = [("", "all", here)]
        for attribute, codes, names in groupings:
            code = codes[place[here]]
            groups += [(attribute, str(names[int(c)]), here[code == c]) for c in pd.unique(code)]
        half, nominal = (high - low) / 2, numbered["interval_level_pct"]
        for attribute, label, members in groups:
            if len(members) and (not attribute or len(members) >= min_group):
                rows.append(
                    {"biomarker": name, "attribute": attribute, "group": label}
                    | _counts(
                        inside.iloc[members], float(nominal.iloc[members].median()), alpha=alpha
                    )
                    | {"half_width": float(half.iloc[members].median())}
                )
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    table["p_adj"] = multiplicity.adjust(
        table["p"].astype(float), method="holm", family=(table["attribute"] == "").astype(str)
    )
    table["too_narrow"] = table["p_adj"] <= alpha
    return table


def _counts(inside: pd.Series, nominal: float, *, alpha: float) -> dict[str, float]:
    n, k = len(inside), int(inside.sum())
    # Twice the one-sided p: at or below alpha where the upper limit is below the nominal share.
    p = 2 * stats.binom.cdf(k, n, nominal / 100) if np.isfinite(nominal) else np.nan
    low, high = (100.0 * float(p) for p in proportion_confint(k, n, alpha=alpha, method="beta"))
    return {
        "n": n,
        "n_covered": k,
        "n_outside": n - k,
        "coverage_pct": round(100.0 * k / n, 1),
        "coverage_low_pct": round(low, 1),
        "coverage_high_pct": round(high, 1),
        "nominal_pct": nominal,
        "p": min(float(p), 1.0),
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
