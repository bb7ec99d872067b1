"""An experiment in sentences, made from its numbers and their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from popscan.experiment.figures import signed


def interval(row: Mapping[Any, Any], name: str) -> str:
    """Write an estimate with its interval."""
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    return f"{signed(float(row[name]))} ({signed(low)} to {signed(high)})"


def sentences(tables: Mapping[str, pd.DataFrame], *, baseline: str, group: str) -> list[str]:
    """Return what the experiment shows, one sentence per arm; also what it does not show.

    Parameters
    ----------
    tables
        As of `popscan.experiment.results.results`.
    baseline
        The arm that does nothing; empty for none.
    group
        The group whose share was varied.
    """
    summary = tables["summary"]
    if summary.empty or "gap" not in summary:
        return ["No trial has ended well, so there is nothing to report."]
    summary = summary[(summary["group"] == group) & summary["gap"].notna()]
    found = []
    reference = str(summary["reference"].iloc[0]) if len(summary) else ""
    for architecture, part in summary.groupby("architecture", sort=False):
        prefix = f"{architecture}: " if summary["architecture"].nunique() > 1 else ""
        trends = _trends(tables["trend"], architecture, group, reference)
        found += [prefix + text for text in trends]
        found += [prefix + text for text in _changes(part, baseline, group)]
    return found


def _trends(trend: pd.DataFrame, architecture: Any, group: str, reference: str) -> list[str]:
    texts = []
    rows = trend[trend["architecture"] == architecture] if len(trend) else trend
    for row in rows.to_dict("records"):
        # The gap may move because of either group.
        if row["n_seeds"] > 1 and (row["slope_low"] > 0 or row["slope_high"] < 0):
            how = "better" if row["slope"] > 0 else "worse"
            what = f"{group} is served {how} relative to {reference} the more of it is in training"
        else:
            what = "that the gap follows the share is not shown"
        texts.append(
            f"With {row['mitigation']}, {what}: the gap moves by {interval(row, 'slope')} Dice per "
            f"10 points of share, over {row['n_shares']} shares and {_seeds(row['n_seeds'])}."
        )
    return texts


def _seeds(n: int) -> str:
    return "1 seed alone" if n == 1 else f"{n} seeds"


def _changes(part: pd.DataFrame, baseline: str, group: str) -> list[str]:
    if not baseline or "gap_change" not in part:
        return []
    texts = []
    for arm, rows in part[part["mitigation"] != baseline].groupby("mitigation", sort=False):
        lines: dict[str, list[str]] = {}
        for row in rows.to_dict("records"):
            if pd.notna(row["gap_change"]):
                at = f"{row['share_pct']:g} % ({interval(row, 'gap_change')})"
                lines.setdefault(str(row["shrinks"]), []).append(at)
        words = {
            "yes": "shrinks the gap at",
            "no": "widens the gap at",
            "not shown": "shows no change of the gap at",
        }
        parts = [f"{words[key]} {_list(lines[key])}" for key in words if key in lines]
        if parts:
            texts.append(f"{arm} {'; it '.join(parts)} of {group}, against {baseline}.")
        texts += _levelled(str(arm), rows, part[part["mitigation"] == baseline])
    return texts


def _levelled(arm: str, rows: pd.DataFrame, base: pd.DataFrame) -> list[str]:
    """Report where a gap is smaller, and the worst group's Dice as well, beyond chance."""
    before = base.set_index("share_pct")["worst"]
    return [
        f"At {row['share_pct']:g} % {arm} levels down: the gap is smaller, but the worst group's "
        f"Dice falls from {before[row['share_pct']]:.3f} to {row['worst']:.3f}; that of "
        f"{row['worst_change_group']} changes by {interval(row, 'worst_change')}."
        for row in rows.to_dict("records")
        if row["shrinks"] == "yes"
        and row["worst"] < before[row["share_pct"]]
        and row["worst_change_high"] < 0
    ]


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
