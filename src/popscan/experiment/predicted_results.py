"""From the scores of classifiers and normative models to tables: errors by group, with intervals.

Rates by group and their gaps have intervals for other test subjects and other seeds, as the gaps of
Dice have (`popscan.experiment.estimates`). Discrimination and calibration within a training are
those of `popscan.fairness.predictions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.experiment.estimates import Floats, average, difference
from popscan.experiment.scores import CONDITION
from popscan.fairness.design import AuditDesign
from popscan.fairness.prediction_outcomes import Prediction
from popscan.fairness.predictions import prediction_table

_KEYS = ["trial", *CONDITION, "seed"]
#: Outcome -> the truth of the subjects that it is about (None: all), and whether it is a share.
_OUTCOMES: Mapping[str, tuple[float | None, bool]] = {
    "correct": (None, True),
    "sensitivity": (1.0, True),
    "false_positive": (0.0, True),
    "score_of_negatives": (0.0, False),
}


def predicted_results(
    records: pd.DataFrame, section: Mapping[str, Any], *, seed: int, n_boot: int = 1000
) -> dict[str, pd.DataFrame]:
    """Return all tables of an experiment that classifies or reconstructs.

    Parameters
    ----------
    records
        As of `popscan.stages.experiment.job.trial_records`.
    section
        The config's experiment section.
    seed, n_boot
        Of the bootstrap within trainings.

    Returns
    -------
    dict
        ``trials``, ``scores`` (one row per trial, test subject and input), ``outcomes`` (rates by
        group with gaps, per condition), ``predictions`` (discrimination and calibration, per
        trial), ``occlusion`` (what each structure carries of the true class's logit).
    """
    values = records["values"]
    trials = records.drop(columns=["rows", "values"]).assign(
        n_train=[row.get("n_train") for row in values],
        threshold=[row.get("threshold") for row in values],
    )
    parts = [
        pd.DataFrame(list(row["rows"])).assign(**{key: row[key] for key in _KEYS})
        for row in records.to_dict("records")
        if row["status"] == "ok"
    ]
    tables = {name: pd.DataFrame() for name in ("scores", "outcomes", "predictions", "occlusion")}
    if not parts:
        return {"trials": trials, **tables}
    rows = pd.concat(parts, ignore_index=True)
    filled = rows["input"] == "occlusion"
    names = list(dict.fromkeys(section["audit"]))
    names = [name for name in names if name != section["attribute"]]
    scores = rows[~filled]
    scores = scores[[*_KEYS, "subject", "input", "group", *names, "truth", "score", "flagged"]]
    tables["scores"] = scores.reset_index(drop=True)
    tables["outcomes"] = outcome_table(scores, groups=section["groups"], audited=names)
    tables["predictions"] = _within_trainings(
        scores, groups=section["groups"], audited=names, n_boot=n_boot, seed=seed
    )
    if filled.any():
        tables["occlusion"] = occlusion_table(rows[filled])
    return {"trials": trials, **tables}


def _values(part: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Return an outcome of every seed (row) and subject (column); NaN where it does not apply."""
    about, _ = _OUTCOMES[outcome]
    hit = (part["flagged"] == part["truth"]).where(part["flagged"].notna())
    value = {
        "correct": hit.astype(float),
        "score_of_negatives": part["score"],
    }.get(outcome, part["flagged"])
    if about is not None:
        value = value.where(part["truth"] == about)
    table = part.assign(_value=value.astype(float))
    return table.pivot_table(index="seed", columns="subject", values="_value", dropna=False)


def outcome_table(
    scores: pd.DataFrame, *, groups: Sequence[str], audited: Sequence[str]
) -> pd.DataFrame:
    """Return one row per condition, input, outcome, attribute and group.

    Columns: ``mean`` over subjects and seeds with interval, ``n`` test subjects that the outcome is
    about, ``gap`` against the reference (the second of `groups`; of the attributes in `audited` the
    largest group) with interval. Intervals of shares have a success and a failure added to each
    group (Agresti and Caffo 2000), so that none in few is not taken for never, and end where shares
    do.
    """
    rows: list[dict[str, Any]] = []
    for key, part in scores.groupby([*CONDITION, "input"], sort=False):
        for outcome in _OUTCOMES:
            values = _values(part, outcome)
            people = part.drop_duplicates("subject").set_index("subject").loc[values.columns]
            for attribute in ("group", *audited):
                known = people[attribute].astype(str)
                reference = (
                    groups[1] if attribute == "group" else str(known.value_counts().idxmax())
                )
                for group in known.drop_duplicates().sort_values():
                    row = dict(zip((*CONDITION, "input"), key, strict=True))
                    row |= {"outcome": outcome, "attribute": attribute, "level": group}
                    rows.append(row | _row(values, known, group, reference, outcome))
    return pd.DataFrame(rows)


def _row(
    values: pd.DataFrame, known: pd.Series, group: str, reference: str, outcome: str
) -> dict[str, Any]:
    table = values.to_numpy(float)
    about = np.isfinite(table).any(axis=0)
    own = (known == group).to_numpy() & about
    other = (known == reference).to_numpy() & about
    share = _OUTCOMES[outcome][1]
    mean, wide = average(table[:, own]), average(_added(table[:, own], share))
    row: dict[str, Any] = {"n": int(own.sum()), "n_seeds": len(table), "mean": mean.value}
    low, high = (0.0, 1.0) if share else (-np.inf, np.inf)
    ends = np.clip([wide.low, wide.high], low, high)
    row |= {"mean_low": ends[0], "mean_high": ends[1], "reference": reference}
    if group == reference or not own.any() or not other.any():
        nothing = dict.fromkeys(("gap", "gap_low", "gap_high"), np.nan)
        return row | nothing
    gap = difference(table[:, own | other], own[own | other])
    both = np.concatenate([_added(table[:, own], share), _added(table[:, other], share)], axis=1)
    members = np.arange(both.shape[1]) < own.sum() + (2 if share else 0)
    wide = difference(both, members)
    ends = np.clip([wide.low, wide.high], low - high, high - low)
    return row | {"gap": gap.value, "gap_low": ends[0], "gap_high": ends[1]}


def _added(table: Floats, share: bool) -> Floats:
    """Return values with a success and a failure more."""
    if not share or not table.shape[1]:
        return table
    more: NDArray[np.float64] = np.tile([0.0, 1.0], (len(table), 1))
    return np.concatenate([table, more], axis=1)


def _within_trainings(
    scores: pd.DataFrame,
    *,
    groups: Sequence[str],
    audited: Sequence[str],
    n_boot: int,
    seed: int,
) -> pd.DataFrame:
    """Return discrimination and calibration of each trial, over all and by group."""
    tables = []
    for key, part in scores.groupby([*_KEYS, "input"], sort=False):
        people = part.set_index("subject").sort_index()
        if people["truth"].nunique() < 2:
            continue
        prediction = Prediction(
            name="score", kind="classification", score=people["score"], truth=people["truth"]
        )
        table = prediction_table(
            [prediction],
            people[["group", *audited]].astype(str),
            attributes_to_test=["group", *audited],
            reference={"group": groups[1]},
            design=AuditDesign(min_group=5, n_boot=n_boot, seed=seed),
        )
        table = table.drop(columns=["prediction", "kind", "role", "p_adj", "note"])
        table = table.rename(columns={"group": "level"})
        keys = pd.DataFrame([key] * len(table), columns=[*_KEYS, "input"], index=table.index)
        tables.append(pd.concat([table, keys], axis=1))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def occlusion_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per condition and structure, the largest mean drop first.

    ``drop``: mean over test subjects and seeds of what the logit of the true class loses, with
    interval; ``shown``: ``yes`` where the interval for all structures together (Bonferroni) is
    above 0.
    """
    found = []
    alpha = 0.05 / max(1, rows["structure"].nunique())
    for key, part in rows.groupby([*CONDITION, "structure"], sort=False):
        drops = part.pivot_table(index="seed", columns="subject", values="drop").to_numpy(float)
        own, wide = average(drops), average(drops, alpha=alpha)
        row = dict(zip((*CONDITION, "structure"), key, strict=True))
        row |= {"n": drops.shape[1], "n_seeds": len(drops), "drop": own.value}
        row |= {"drop_low": own.low, "drop_high": own.high}
        found.append(row | {"shown": "yes" if wide.low > 0 else "not shown"})
    table = pd.DataFrame(found).sort_values("drop", ascending=False, kind="stable")
    keys = list(CONDITION)
    return table.sort_values(keys, kind="stable").reset_index(drop=True)
