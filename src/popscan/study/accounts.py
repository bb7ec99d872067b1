"""One row per subject for stages that work on shards or on the whole study: nobody gets lost.

Such a stage notes of every subject of a shard what became of it; the study's account lays over it
who is not analysed at all, and refuses a subject that is in neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.npzfile import read_npz
from popscan.records import PopscanError, Status, SubjectError
from popscan.study.study import Study

COLUMNS = ("unit", "status", "reason", "message")
#: Begins the names of an account's arrays within an npz.
PREFIX = "account|"


@dataclass
class Account:
    """What became of the subjects of a shard, in the order in which they came."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, unit: str, status: Status, reason: str = "", message: str = "") -> None:
        """Note a subject."""
        self.rows.append((unit, str(status), reason, message))

    def failed(self, unit: str, error: SubjectError) -> None:
        """Note a subject that cannot be used."""
        self.add(unit, Status.FAILED, error.reason, str(error))

    def to_arrays(self) -> dict[str, NDArray[np.str_]]:
        """Return plain arrays for an npz without pickle."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(COLUMNS)
        return {
            PREFIX + name: np.array(list(values), dtype=np.str_)
            for name, values in zip(COLUMNS, columns, strict=True)
        }


def read_account(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the accounts of all shards; only their arrays are read."""
    parts = []
    for path in paths:
        arrays = read_npz(path, prefix=PREFIX)
        if absent := [name for name in COLUMNS if PREFIX + name not in arrays]:
            raise PopscanError(f"{path}: no account of the subjects ({absent[0]} is missing)")
        parts.append({name: arrays[PREFIX + name].tolist() for name in COLUMNS})
    rows = {name: [v for part in parts for v in part[name]] for name in COLUMNS}
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def study_account(
    study: Study, noted: pd.DataFrame, *, stage: str, aside: Collection[str] = ()
) -> pd.DataFrame:
    """Return what became of every subject of a study at a stage.

    Parameters
    ----------
    study
        The study.
    noted
        Accounts of its shards (`read_account`).
    stage
        Name of the stage, for messages.
    aside
        Visits that are analysed but left aside here, since the subject's first one is taken.

    Returns
    -------
    DataFrame
        unit, status, reason, message; one row per subject in the study's order. Subjects that are
        not analysed are ``skipped`` with the reason for which they were lost.

    Raises
    ------
    PopscanError
        If an analysed subject is in no shard's account, or in two.
    """
    known = noted.set_index("unit")
    missing = sorted(study.analysed - set(known.index))
    doubled = sorted(known.index[known.index.duplicated()])
    if missing or doubled:
        raise PopscanError(
            f"{stage}: of {len(study.analysed)} analysed subjects, {len(missing)} have no record "
            f"there: {missing[:5]}; doubled: {doubled[:5]}"
        )
    lost = study.lost
    rows = []
    for unit in study.units:
        if unit not in study.analysed:
            reason, message = ("not_measured", "no biomarkers")
            if unit in lost.index:
                reason, message = map(str, lost.loc[unit, ["reason", "message"]])
            rows.append((unit, str(Status.SKIPPED), reason, message))
        elif unit in aside:
            rows.append(
                (unit, str(Status.NOT_APPLICABLE), "repeated_visit", "the first visit counts")
            )
        else:
            rows.append((unit, *known.loc[unit, ["status", "reason", "message"]]))
    return pd.DataFrame(rows, columns=list(COLUMNS))
