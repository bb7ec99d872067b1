"""Where in the organ a gap is: the gap of each structure, and how it follows the share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from popscan.experiment.estimates import Estimate, difference
from popscan.experiment.scores import CONDITION, Scores

_ALPHA = 0.05


def structure_tables(
    dice: pd.DataFrame, *, groups: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return gaps by structure, and their trends with the share.

    Parameters
    ----------
    dice
        As of `popscan.experiment.scores.dice_table`.
    groups
        The second is the reference.

    Returns
    -------
    structures
        One row per condition, group but the reference, and structure: both mean Dice, ``gap`` with
        interval, and with one for all structures together (Bonferroni: ``gap_all_low``,
        ``gap_all_high``); ``shown``: ``yes`` where that leaves out 0 and two seeds are behind it.
    trends
        One row per architecture, mitigation and structure, of the first group: ``slope`` of the gap
        per 10 points of its share, with the same two intervals.
    """
    names = list(dict.fromkeys(dice["structure"]))
    alpha = _ALPHA / max(1, len(names))
    rows: list[dict[str, Any]] = []
    slopes: list[dict[str, Any]] = []
    for structure in names:
        scores = Scores(dice[dice["structure"] == structure])
        for condition in scores.conditions():
            for group in [g for g in groups if g != groups[1]]:
                either, first = scores.members(group, groups[1])
                values = scores.of(condition).to_numpy(float)[:, either]
                row: dict[str, Any] = dict(zip(CONDITION, condition, strict=True))
                row |= {"group": group, "reference": groups[1], "structure": structure}
                row |= {"mean": _mean(values[:, first]), "reference_mean": _mean(values[:, ~first])}
                rows.append(row | _both(values, first, "gap", alpha))
        slopes += _slopes(scores, structure, groups, alpha)
    return pd.DataFrame(rows), pd.DataFrame(slopes)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _both(values: np.ndarray, first: np.ndarray, name: str, alpha: float) -> dict[str, Any]:
    own: Estimate = difference(values, first)
    wide = difference(values, first, alpha=alpha)
    shown = own.n_seeds > 1 and (wide.low > 0 or wide.high < 0)
    return {
        "n_seeds": own.n_seeds,
        name: own.value,
        f"{name}_low": own.low,
        f"{name}_high": own.high,
        f"{name}_all_low": wide.low,
        f"{name}_all_high": wide.high,
        "shown": "yes" if shown else "not shown",
    }


def _slopes(
    scores: Scores, structure: str, groups: Sequence[str], alpha: float
) -> list[dict[str, Any]]:
    rows = []
    either, first = scores.members(groups[0], groups[1])
    for architecture, mitigation in dict.fromkeys(c[:2] for c in scores.conditions()):
        values = scores.slopes(architecture, mitigation)
        if values is not None:
            row = {"architecture": architecture, "mitigation": mitigation, "structure": structure}
            rows.append(row | _both(values.table[:, either], first, "slope", alpha))
    return rows
