"""A table's people beside ranges that were published of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from popscan.associate.centile_tables import groups_of
from popscan.columns import Column, text
from popscan.stats.design import clean, unit_of
from popscan.stats.intervals import wilson

#: Columns of a table of published ranges, as a protocol gives it.
COLUMNS = ("outcome", "sex", "mean", "sd", "low", "high", "age_from", "age_to", "source")

#: Columns of the table that `compare_published` returns.
COMPARED: Mapping[str, Column] = {
    "outcome": text("biomarker"),
    "unit": text("its unit"),
    "sex": text("sex"),
    "published_mean": Column("unit", "published mean"),
    "published_sd": Column("unit", "published standard deviation"),
    "published_low": Column("unit", "published mean less 1.96 SD"),
    "published_high": Column("unit", "published mean and 1.96 SD"),
    "n": Column("subjects", "subjects of this table, of that sex and of the published ages"),
    "mean": Column("unit", "their mean; empty where they are few"),
    "sd": Column("unit", "their standard deviation"),
    "shift_sd": Column("SD", "their mean less the published one, in published SD"),
    "outside_pct": Column("%", "share of them outside the published limits; 5% expected"),
    "outside_low_pct": Column("%", "lower end of its 95% interval", "Wilson 1927"),
    "outside_high_pct": Column("%", "upper end of its 95% interval", "Wilson 1927"),
    "source": text("publication, and whom it describes"),
}


def compare_published(
    table: pd.DataFrame,
    published: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    age: str,
    sex: str,
    min_group: int = 10,
) -> pd.DataFrame:
    """Compare people with published ranges, by sex, within the published ages.

    Parameters
    ----------
    table
        One row per person.
    published
        Columns as in `COLUMNS`; empty for none.
    outcomes
        Columns of `table` to compare.
    age, sex
        Columns of `table`.
    min_group
        Fewer people have a count alone.
    """
    rows: list[dict[str, object]] = []
    groups = groups_of(table, sex)
    ages = clean(table[age], categorical=False).to_numpy(dtype=float)
    for one in published.to_dict("records"):
        if one["outcome"] not in outcomes or one["sex"] not in groups:
            continue
        values = clean(table[one["outcome"]], categorical=False).to_numpy(dtype=float)
        use = groups[one["sex"]] & (ages >= one["age_from"]) & (ages < one["age_to"] + 1)
        known = values[use & np.isfinite(values)]
        row: dict[str, object] = {
            "outcome": one["outcome"],
            "unit": unit_of(str(one["outcome"])),
            "sex": one["sex"],
            **{f"published_{k}": one[k] for k in ("mean", "sd", "low", "high")},
            "n": known.size,
            "source": one["source"],
        }
        if known.size >= max(min_group, 2):
            outside = int(((known < one["low"]) | (known > one["high"])).sum())
            low, high = wilson(outside, known.size, alpha=0.05)
            row |= {
                "mean": known.mean(),
                "sd": known.std(ddof=1),
                "shift_sd": (known.mean() - one["mean"]) / one["sd"],
                "outside_pct": 100.0 * outside / known.size,
                "outside_low_pct": 100.0 * low,
                "outside_high_pct": 100.0 * high,
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COMPARED))
