"""Dice of every test subject in every trial, and what of it belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.experiment.estimates import Floats

#: What makes a condition: all its trials differ in the seed alone.
CONDITION = ("architecture", "mitigation", "share_pct")


def dice_table(records: pd.DataFrame) -> pd.DataFrame:
    """Return the long table: one row per trial, test subject, structure and frame.

    Parameters
    ----------
    records
        As of `popscan.stages.experiment.job.trial_records`.
    """
    keys = ["trial", *CONDITION, "seed"]
    parts = [
        pd.DataFrame(list(row["rows"])).assign(**{key: row[key] for key in keys})
        for row in records.to_dict("records")
        if row["status"] == "ok"
    ]
    columns = [*keys, "subject", "group", "structure", "frame", "dice"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Change per 10 points of share, of every seed and subject.

    Attributes
    ----------
    table : ndarray, shape (seeds, subjects)
        The slopes.
    n_shares
        Shares behind them.
    """

    table: Floats
    n_shares: int


class Scores:
    """Mean Dice of every test subject in every trial, as arrays (seeds, subjects).

    Parameters
    ----------
    dice
        As of `dice_table`.
    """

    def __init__(self, dice: pd.DataFrame) -> None:
        keys = [*CONDITION, "seed"]
        mean = dice.groupby([*keys, "subject"], sort=True)["dice"].mean()
        self.table = mean.unstack("subject")
        known = dice.drop_duplicates("subject").set_index("subject")["group"]
        self.group = known.reindex(self.table.columns)

    def conditions(self) -> list[tuple[Any, ...]]:
        """Return the conditions with at least one trial done."""
        return list(dict.fromkeys(tuple(key)[:3] for key in self.table.index))

    def of(self, condition: Sequence[Any], seeds: Sequence[int] | None = None) -> pd.DataFrame:
        """Return a condition's values, one row per seed; empty if there are none."""
        try:
            part = self.table.loc[tuple(condition)]
        except KeyError:
            return self.table.iloc[:0]
        return part if seeds is None else part.loc[[s for s in seeds if s in part.index]]

    def slopes(self, architecture: str, mitigation: str) -> Slopes | None:
        """Return how each subject's value moves per 10 points of share, in each seed.

        By least squares over three shares or more, of the seeds that have all of them; None where
        there are fewer.
        """
        parts = {c[2]: self.of(c) for c in self.conditions() if c[:2] == (architecture, mitigation)}
        if len(parts) < 3:
            return None
        shares = np.array(sorted(parts), float)
        seeds = sorted(set.intersection(*(set(part.index) for part in parts.values())))
        if not seeds:
            return None
        centred = shares - shares.mean()
        weights = 10 * centred / (centred**2).sum()
        values = sum(
            w * parts[s].loc[seeds].to_numpy(float) for w, s in zip(weights, shares, strict=True)
        )
        return Slopes(table=np.asarray(values), n_shares=len(shares))

    def members(self, group: str, reference: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which subjects are of either group, and which of those are of the first."""
        either = self.group.isin([group, reference]).to_numpy()
        return either, (self.group == group).to_numpy()[either]
