"""Scan-rescan precision of every biomarker, for all and by group: one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popscan.columns import Column, text
from popscan.stats.precision import FEWEST, limits_of_agreement, repeatability
from popscan.stats.visits import in_order, named_sessions, order_note, undated

_BLAND = "Bland and Altman 1986, 1999"
_FLEISS = "Shrout and Fleiss 1979"

DICTIONARY: Mapping[str, Column] = {
    "outcome": text("column that was measured at several visits"),
    "attribute": text("attribute of the group; empty for all subjects"),
    "group": text("group; all for all subjects"),
    "n_subjects": Column("", "subjects with at least two visits with a value"),
    "n_values": Column("", "their values"),
    "n_pairs": Column("", "subjects with both of their first two visits"),
    "mean": Column("as outcome", "mean of the values"),
    "bias": Column("as outcome", "mean of second less first visit", _BLAND),
    "bias_low": Column("as outcome", "lower end of its 95% interval", _BLAND),
    "bias_high": Column("as outcome", "upper end of its 95% interval", _BLAND),
    "sd_difference": Column("as outcome", "SD of second less first visit", _BLAND),
    "loa_low": Column("as outcome", "lower limit of agreement: bias - 1.96 SD", _BLAND),
    "loa_high": Column("as outcome", "upper limit of agreement: bias + 1.96 SD", _BLAND),
    "loa_margin": Column("as outcome", "half-width of either limit's 95% interval", _BLAND),
    "slope": Column("", "change of the difference per unit of the mean of both visits", _BLAND),
    "slope_p": Column("", "p of the slope", _BLAND),
    "sd_within": Column("as outcome", "within-subject SD, over all visits", _BLAND),
    "sd_within_low": Column("as outcome", "lower end of its 95% interval", "chi squared"),
    "sd_within_high": Column("as outcome", "upper end of its 95% interval", "chi squared"),
    "cov_pct": Column("%", "within-subject SD over the mean; empty unless all are positive"),
    "repeatability": Column("as outcome", "difference exceeded in 5%: 2.77 SD within", _BLAND),
    "icc": Column("", "ICC(1,1): one-way random, one measurement", _FLEISS),
    "icc_low": Column("", "lower end of its 95% interval", _FLEISS),
    "icc_high": Column("", "upper end of its 95% interval", _FLEISS),
    "n_intervals": Column("", "pairs whose two values have intervals"),
    "overlap_pct": Column("%", "of these, share whose two intervals overlap"),
    "within_interval_pct": Column(
        "%", "of these, share whose difference is within the root of the summed squared half-widths"
    ),
    "note": text("why numbers are missing"),
}


def precision_table(
    table: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    by: Sequence[str] = (),
    min_group: int = 10,
    order: Sequence[str] = (),
) -> pd.DataFrame:
    """Return how well outcomes repeat between visits.

    Parameters
    ----------
    table
        One row per visit: ``sub``, ``ses``, outcomes, attributes; ``NAME_low_UNIT`` and
        ``NAME_high_UNIT`` (see `interval_columns`) where there are intervals.
    outcomes
        Columns; those that are not there are left out.
    by
        Attributes; a subject belongs to the group of the first visit.
    min_group
        Smaller groups have counts and a note only.
    order
        Visits in their order; as `in_order`.

    Returns
    -------
    DataFrame
        Columns as `DICTIONARY`; no rows where nobody has two visits.
    """
    visits = in_order(table, order=order)
    doubt = order_note(visits, order=order)
    rows: list[dict[str, Any]] = []
    if len(visits):
        first = visits.drop_duplicates("sub").set_index("sub")
        for outcome in (name for name in outcomes if name in visits):
            rows.append(_row(visits, outcome) | {"attribute": "", "group": "all"})
            for attribute in (name for name in by if name in first):
                groups = visits["sub"].map(first[attribute])
                for group in sorted({str(g) for g in groups.dropna()} - {""}):
                    part = visits[groups.astype(str) == group]
                    row = _row(part, outcome, fewest=min_group)
                    rows.append(row | {"attribute": attribute, "group": group})
    for row in rows:
        row["note"] = "; ".join(filter(None, (row["note"], doubt)))
    return pd.DataFrame(rows, columns=list(DICTIONARY))


#: Fewest pairs whose ratios say something of their unit.
_MANY_PAIRS = 5


def interval_columns(outcome: str) -> tuple[str, str]:
    """Return columns of an outcome and its interval: ``x_ml`` has ``x_low_ml``, ``x_high_ml``."""
    stem, _, unit = outcome.rpartition("_")
    return f"{stem}_low_{unit}", f"{stem}_high_{unit}"


def pairs_of(visits: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the first two visits of every subject: columns 0 and 1, by subject.

    Parameters
    ----------
    visits
        One row per visit in order, with ``sub``.
    column
        What is paired, as numbers; NaN for what is none.
    """
    number = visits.groupby("sub").cumcount()
    values = pd.to_numeric(visits[column], errors="coerce").astype(float)
    long = pd.DataFrame({"sub": visits["sub"], "visit": number, "value": values})
    return long[long["visit"] < 2].pivot(index="sub", columns="visit", values="value")


def _row(visits: pd.DataFrame, outcome: str, *, fewest: int = 0) -> dict[str, Any]:
    values = pd.to_numeric(visits[outcome], errors="coerce").to_numpy(float)
    whole = repeatability(values, visits["sub"].to_numpy(str))
    pairs = pairs_of(visits, outcome)
    pair = limits_of_agreement(pairs[0], pairs[1])
    counts = {
        "outcome": outcome,
        "n_subjects": whole.n_subjects,
        "n_values": whole.n_values,
        "n_pairs": pair.n,
    }
    if whole.n_subjects < fewest:
        return counts | {"note": f"fewer than {fewest} subjects with two visits"}
    few = "" if np.isfinite(whole.sd_within) else "too few subjects with two visits"
    doubts = (few, _other_pairs(visits, pairs), _equal_pairs(pairs), _other_unit(pairs))
    note = "; ".join(filter(None, doubts))
    return {
        **vars(whole),
        **{name: value for name, value in vars(pair).items() if name not in ("n", "sd")},
        "sd_difference": pair.sd,
        **_intervals(visits, outcome, pairs),
        **counts,
        "note": note,
    }


def _other_pairs(visits: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Say which visits the pairs are of, where not all are of the same two.

    Empty where every subject has visits of its own (dates).
    """
    known = pairs.index[np.isfinite(pairs.to_numpy()).all(axis=1)]
    if "ses" not in visits or len(known) == 0:
        return ""
    first = visits[visits.groupby("sub").cumcount() < 2]
    names = named_sessions(first["ses"]).groupby(first["sub"]).agg(" and ".join).loc[known]
    counts = names.value_counts()
    if len(counts) == 1 or counts.max() == 1:
        return ""
    counts = counts.groupby(counts.index.map(undated), sort=False).sum()
    some = ", ".join(f"{name} ({n})" for name, n in counts.head(5).items())
    return f"pairs of different visits: {some}{', ...' if len(counts) > 5 else ''}"


def _equal_pairs(pairs: pd.DataFrame) -> str:
    """Say how many pairs are one and the same number, of measurements that are no whole numbers."""
    values = pairs.to_numpy()
    values = values[np.isfinite(values).all(axis=1)]
    equal = int((values[:, 0] == values[:, 1]).sum()) if len(values) else 0
    if equal == len(values) >= FEWEST and np.ptp(values) > 0:
        return f"all {equal} pairs are exactly equal: carried over from visit to visit?"
    if equal == 0 or (values == np.round(values)).all() or len(np.unique(values)) < len(values):
        return ""
    return f"exactly equal pairs: {equal} of {len(values)} (the same scan twice?)"


def _other_unit(pairs: pd.DataFrame) -> str:
    """Say where nearly all second values are one multiple, far from 1, of the first.

    Where three quarters of the ratios lie within a quarter of their median, which is 3 or more or
    a third or less.
    """
    values = pairs.to_numpy()
    values = values[np.isfinite(values).all(axis=1) & (values > 0).all(axis=1)]
    if 2 * len(values) < len(pairs) or len(values) < _MANY_PAIRS:
        return ""
    ratio = values[:, 1] / values[:, 0]
    middle = float(np.median(ratio))
    near = float(np.mean(np.abs(ratio / middle - 1.0) < 0.25))
    if 1 / 3 < middle < 3 or near < 0.75:
        return ""
    return f"second values are {middle:.3g} times the first: another unit?"


def _intervals(visits: pd.DataFrame, outcome: str, pairs: pd.DataFrame) -> dict[str, float]:
    low, high = interval_columns(outcome)
    if low not in visits or high not in visits:
        return {"n_intervals": 0, "overlap_pct": np.nan, "within_interval_pct": np.nan}
    lows, highs = pairs_of(visits, low).to_numpy(), pairs_of(visits, high).to_numpy()
    values = pairs.to_numpy()
    known = np.isfinite(np.hstack([lows, highs, values])).all(axis=1)
    if not known.any():
        return {"n_intervals": 0, "overlap_pct": np.nan, "within_interval_pct": np.nan}
    lows, highs, values = lows[known], highs[known], values[known]
    overlap = lows.max(axis=1) <= highs.min(axis=1)
    width = np.sqrt((((highs - lows) / 2) ** 2).sum(axis=1))
    within = np.abs(values[:, 1] - values[:, 0]) <= width
    return {
        "n_intervals": int(known.sum()),
        "overlap_pct": 100 * float(overlap.mean()),
        "within_interval_pct": 100 * float(within.mean()),
    }
