"""Visits in which two protocols differ by more than measurement explains."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from popscan.columns import UNIT, Column, text
from popscan.protocol import Beside, Limit
from popscan.stats.design import clean

#: Columns of the table `agreement_visits` of a study of several protocols.
VISITS: Mapping[str, Column] = {
    **UNIT,
    "column": text("biomarker that both protocols measured in the visit"),
    "second_column": text("its name in the second protocol"),
    "unit_of_value": text("its unit"),
    "first": text("protocol"),
    "second": text("protocol that is held against it"),
    "first_value": Column("", "value by the first protocol"),
    "second_value": Column("", "value by the second protocol"),
    "difference": Column("", "second less first"),
    "difference_pct": Column("%", "second less first, of the mean of both"),
    "low": Column("", "lower limit of what measurement explains"),
    "high": Column("", "upper limit of what measurement explains"),
    "limits_of": text("what the limits hold for: difference or difference_pct"),
    "limits_from": text("where the limits come from"),
    "verdict": text("pass, or review where the difference is beyond the limits"),
}
#: Columns of the table `subjects` that say the same of each visit.
FLAGS: Mapping[str, Column] = {
    "agreement": text(
        "verdict of agreement_visits: review where a difference is beyond its limits, pass, empty "
        "where no two protocols measured the visit"
    ),
    "agreement_reason": text("which numbers differ, and by how much"),
}
PASS, REVIEW = "pass", "review"


def dictionary(visits: pd.DataFrame) -> Mapping[str, Column]:
    """Return what the columns of `agreement_visits` mean, and where its limits come from."""
    sources = "; ".join(f"limits from {one}" for one in visits["limits_from"].unique() if one)
    limits = {name: VISITS[name]._replace(source=sources) for name in ("low", "high") if sources}
    return {**VISITS, **limits}


def agreement_visits(
    biomarkers: pd.DataFrame,
    meanings: Mapping[str, Column],
    *,
    beside: Mapping[str, Sequence[Beside]],
) -> pd.DataFrame:
    """Hold each visit's values of two protocols against limits that a protocol declares.

    Parameters
    ----------
    biomarkers
        One row per visit: ``unit``, and ``PROTOCOL_COLUMN`` of each protocol.
    meanings
        What these columns mean; those of other units are not compared.
    beside
        Protocol -> what it declares; others than those of the study are passed over.

    Returns
    -------
    DataFrame
        The columns of `VISITS`, a row per visit and number that both protocols measured; empty
        where there is none. What is not finite is not
        measured. Limits in percent judge no visit in which the mean of both values is
        0 or less.
    """
    rows = [
        _compared(biomarkers, meanings, name=name, one=one, limit=limit)
        for name, declared in beside.items()
        for one in declared
        if one.of in beside
        for limit in one.limits
    ]
    found = [table for table in rows if len(table)]
    if not found:
        return pd.DataFrame(columns=list(VISITS))
    # Visits in the order of the table, each visit's numbers together.
    order = {unit: i for i, unit in enumerate(biomarkers["unit"])}
    table = pd.concat(found, ignore_index=True)
    table = table.sort_values("unit", key=lambda units: units.map(order), kind="stable")
    return table.reset_index(drop=True)


def _compared(
    biomarkers: pd.DataFrame,
    meanings: Mapping[str, Column],
    *,
    name: str,
    one: Beside,
    limit: Limit,
) -> pd.DataFrame:
    keys = f"{one.of}_{limit.second}", f"{name}_{limit.column}"
    empty = pd.DataFrame(columns=list(VISITS))
    if not all(key in biomarkers and key in meanings for key in keys):
        return empty
    unit, other = (meanings[key].unit for key in keys)
    if unit != other:
        return empty
    first, second = (clean(biomarkers[key], categorical=False).to_numpy() for key in keys)
    difference, mean = second - first, 0.5 * (first + second)
    pct = np.full(mean.shape, np.nan)
    np.divide(100.0 * difference, mean, out=pct, where=mean > 0)
    judged = pct if limit.in_pct else difference
    known = np.isfinite(judged)
    within = (judged >= limit.low) & (judged <= limit.high)
    return pd.DataFrame(
        {
            "unit": biomarkers["unit"].astype(str), "column": limit.second,
            "second_column": limit.column, "unit_of_value": unit, "first": one.of,
            "second": name, "first_value": first, "second_value": second,
            "difference": difference, "difference_pct": pct, "low": limit.low,
            "high": limit.high, "limits_of": "difference_pct" if limit.in_pct else "difference",
            "limits_from": one.source, "verdict": np.where(within, PASS, REVIEW),
        }
    )[known]  # fmt: skip


def flags(visits: pd.DataFrame, units: Sequence[str]) -> pd.DataFrame:
    """Return the columns of `FLAGS` of every visit, in the order of `units`.

    Parameters
    ----------
    visits
        As `agreement_visits` returns them.
    units
        Every visit of the study.
    """
    verdicts: dict[str, str] = {}
    reasons: dict[str, list[str]] = {}
    for row in visits.to_dict("records"):
        unit = str(row["unit"])
        if row["verdict"] == REVIEW:
            verdicts[unit] = REVIEW
            reasons.setdefault(unit, []).append(in_words(row))
        else:
            verdicts.setdefault(unit, PASS)
    return pd.DataFrame(
        {
            "agreement": [verdicts.get(unit, "") for unit in units],
            "agreement_reason": ["; ".join(reasons.get(unit, [])) for unit in units],
        }
    )


def in_words(row: Mapping[Hashable, object]) -> str:
    """Return a row of `agreement_visits` as text: both values, the difference and its limits.

    Examples
    --------
    >>> in_words({"column": "size_ml", "first": "a", "second": "b", "first_value": 100.0,
    ...           "second_value": 150.0, "difference": 50.0, "difference_pct": 40.0, "low": -10.0,
    ...           "high": 12.0, "limits_of": "difference_pct", "unit_of_value": "mL"})
    'size_ml 100.0 by a, 150.0 by b: +40.0% (limits -10.0 to 12.0)'
    """
    in_pct = row["limits_of"] == "difference_pct"
    unit = "%" if in_pct else f" {row['unit_of_value']}".replace(" %", " points")
    return (
        f"{row['column']} {row['first_value']:.1f} by {row['first']}, {row['second_value']:.1f} by "
        f"{row['second']}: {row[str(row['limits_of'])]:+.1f}{unit} (limits {row['low']:.1f} to "
        f"{row['high']:.1f})"
    )
