"""From the trials' scores to tables: Dice by group, gaps with intervals, what mitigations change.

Intervals of gaps and changes are those of `popscan.experiment.estimates`, for other subjects and
other seeds. Subjects are resampled by `popscan.fairness.audit` for the groups' own numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from popscan.experiment.estimates import Estimate, Floats, average, difference
from popscan.experiment.scores import CONDITION, Scores, dice_table
from popscan.experiment.structures import structure_tables
from popscan.fairness.audit import audit


def _flat(estimate: Estimate, name: str) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def gap_table(scores: Scores, *, groups: Sequence[str], baseline: str) -> pd.DataFrame:
    """Return one row per condition and group but the reference (the second of `groups`).

    Columns: the condition, group, reference, n_seeds, ``gap`` (mean Dice of the group minus that of
    the reference) with interval and the seeds' spread; ``gap_change`` against the arm `baseline`
    of the same composition, seeds (``gap_change_n_seeds``) and test subjects, with interval;
    ``shrinks``: ``yes`` where the gap comes closer to 0 and the interval of the change leaves out
    0, ``no`` where it grows so, else, and with a single seed, ``not shown``; ``worst_change``: what
    the arm changes, paired likewise, of the mean Dice of the group that it serves worst
    (``worst_change_group``); empty for the baseline.
    """
    rows = []
    for condition in scores.conditions():
        architecture, mitigation, share = condition
        own = scores.of(condition)
        base = scores.of((architecture, baseline, share)) if baseline else own.iloc[:0]
        for group in [g for g in groups if g != groups[1]]:
            either, first = scores.members(group, groups[1])
            gap = difference(own.to_numpy(float)[:, either], first)
            row = dict(zip(CONDITION, condition, strict=True))
            row |= {"group": group, "reference": groups[1], "n_seeds": gap.n_seeds}
            row |= _flat(gap, "gap")
            row |= {"gap_seed_sd": gap.seed_sd, "gap_seed_low": gap.seed_low}
            row |= {"gap_seed_high": gap.seed_high}
            both = own.index.intersection(base.index)
            if mitigation != baseline and len(both):
                change = own.loc[both].to_numpy(float) - base.loc[both].to_numpy(float)
                found = difference(change[:, either], first)
                before = difference(base.loc[both].to_numpy(float)[:, either], first)
                row |= _flat(found, "gap_change") | {"shrinks": _verdict(before.value, found)}
                row |= {"gap_change_n_seeds": found.n_seeds}
                row |= _worst_change(own.loc[both], change, scores.group.to_numpy())
            rows.append(row)
    table = pd.DataFrame(rows)
    return table if "shrinks" in table or table.empty else table.assign(shrinks="")


def _verdict(before: float, change: Estimate) -> str:
    # The interval of a single seed knows nothing of other trainings.
    if change.n_seeds < 2 or not (change.low > 0 or change.high < 0):
        return "not shown"
    return "yes" if abs(before + change.value) < abs(before) else "no"


def _worst_change(own: pd.DataFrame, change: Floats, group: NDArray[Any]) -> dict[str, Any]:
    """Return what an arm changes of the mean Dice of the group that it serves worst."""
    worst = own.mean(axis=0).groupby(group).mean().idxmin()
    found = average(change[:, group == worst])
    return {"worst_change_group": str(worst)} | _flat(found, "worst_change")


def trend_table(scores: Scores, *, groups: Sequence[str]) -> pd.DataFrame:
    """Return how the gap moves with the group's share: one row per architecture and mitigation.

    ``slope`` is the change of the gap (as in `gap_table`, first group) per 10 percentage points of
    its share, by least squares over three shares or more, of the seeds that have all of them;
    positive: the group is served better, relative to the reference, the more of it is in training.
    """
    rows = []
    either, first = scores.members(groups[0], groups[1])
    for architecture, mitigation in dict.fromkeys(c[:2] for c in scores.conditions()):
        found = scores.slopes(architecture, mitigation)
        if found is None:
            continue
        slope = difference(found.table[:, either], first)
        row = {"architecture": architecture, "mitigation": mitigation, "n_shares": found.n_shares}
        rows.append(row | {"n_seeds": slope.n_seeds} | _flat(slope, "slope"))
    names = ["architecture", "mitigation", "n_shares", "n_seeds", "slope", "slope_low"]
    return pd.DataFrame(rows, columns=[*names, "slope_high"])


def fairness_tables(
    scores: Scores, *, groups: Sequence[str], n_boot: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the audit's groups and summary of every condition, over the seeds' mean Dice.

    Intervals there are for other test subjects, given these trainings.
    """
    names = {f"{m}@{s:g}": (a, m, s) for a, m, s in scores.conditions()}
    rows = [
        {"unit": unit, "stage": c[0], "outcome": name, "value": value, "better_is": "higher"}
        for name, c in names.items()
        for unit, value in scores.of(c).mean(axis=0).items()
    ]
    if not rows:
        return pd.DataFrame(), pd.DataFrame()
    found = audit(
        pd.DataFrame(rows),
        pd.DataFrame({"group": scores.group}),
        attributes_to_test=["group"],
        reference={"group": groups[1]},
        min_group=2,
        n_boot=n_boot,
        seed=seed,
    )
    keep_groups = ["group", "n", "mean", "ci_low", "ci_high"]
    keep = ["overall", "worst_group", "worst", "max_gap", "sd_groups", "ser", "equity_scaled"]
    return (
        _with_condition(found.groups, keep_groups),
        _with_condition(found.summary, [*keep, "max_gap_ci_low", "max_gap_ci_high"]),
    )


def _with_condition(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    arm = table["outcome"].str.rsplit("@", n=1, expand=True)
    found = pd.DataFrame(
        {
            "architecture": table["stage"],
            "mitigation": arm[0],
            "share_pct": arm[1].astype(float),
        }
    )
    return pd.concat([found, table[list(columns)]], axis=1).reset_index(drop=True)


def results(
    records: pd.DataFrame,
    *,
    groups: Sequence[str],
    mitigations: Sequence[str],
    baseline: str,
    n_boot: int = 1000,
    seed: int = 0,
) -> Mapping[str, pd.DataFrame]:
    """Return all tables of an experiment by name.

    ``trials`` (one row per trial with its record), ``dice`` (long), ``groups`` (mean Dice per
    condition and group), ``summary`` (one row per condition: mean Dice, worst group, gap, SD,
    SER, what the mitigation changes), ``trend``; ``structures`` and ``structure_trends``
    (`popscan.experiment.structures`).
    """
    trials = records.drop(columns=["rows", "values"]).assign(
        n_train=[row.get("n_train") for row in records["values"]],
        locator_error_px=[row.get("locator_error_px") for row in records["values"]],
    )
    dice = dice_table(records)
    empty = pd.DataFrame(columns=list(CONDITION))
    if dice.empty:
        names = ("groups", "summary", "trend", "structures", "structure_trends")
        return {"trials": trials, "dice": dice, **dict.fromkeys(names, empty)}
    scores = Scores(dice)
    structures, structure_trends = structure_tables(dice, groups=groups)
    by_group, fair = fairness_tables(scores, groups=groups, n_boot=n_boot, seed=seed)
    gaps = gap_table(scores, groups=groups, baseline=baseline)
    counts = records.groupby(list(CONDITION), sort=False)["status"]
    trial_counts = counts.agg(n_trials="size", n_ok=lambda s: int((s == "ok").sum())).reset_index()
    summary = trial_counts.merge(fair, how="left").merge(gaps, how="left")
    order = {name: place for place, name in enumerate(mitigations)}
    keys = ["architecture", "mitigation", "share_pct"]
    return {
        "trials": trials,
        "dice": dice,
        "groups": _sorted(by_group, keys, order),
        "summary": _sorted(summary, keys, order),
        "trend": _sorted(trend_table(scores, groups=groups), keys[:2], order),
        "structures": _sorted(structures, keys, order),
        "structure_trends": _sorted(structure_trends, keys[:2], order),
    }


def _sorted(table: pd.DataFrame, keys: Sequence[str], order: Mapping[str, int]) -> pd.DataFrame:
    if table.empty:
        return table

    def place(column: pd.Series) -> pd.Series:
        return column.map(order) if column.name == "mitigation" else column

    return table.sort_values(list(keys), key=place, kind="stable").reset_index(drop=True)
