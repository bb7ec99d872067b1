"""Whose features and maps are compared, and which attributes are looked for in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from popscan.config import Fairness, Visibility
from popscan.records import Status
from popscan.study import dictionary
from popscan.study.accounts import Account, read_account, study_account
from popscan.study.cohort import known_columns
from popscan.study.study import Study
from popscan.study.tables import write_table


def attributes_to_see(study: Study) -> list[str]:
    """Attributes that are looked for, of those that the study has."""
    section = Visibility.of(study.options)
    fairness = Fairness.of(study.options)
    wanted, _ = known_columns(section.attributes or fairness.attributes, study.analysed_once)
    return wanted


def features_account(study: Study, paths: Sequence[Path]) -> pd.DataFrame:
    """Whose features of images are compared, and why those of others are not, by subject.

    Parameters
    ----------
    study
        The study.
    paths
        Features of all shards.
    """
    repeated = study.analysed.difference(study.analysed_once.index)
    return study_account(study, read_account(paths), stage="visibility", aside=repeated)


def write_map_subjects(study: Study, paths: Sequence[Path], account: Account) -> None:
    """Write whose maps were averaged: of those with features, the ones that were drawn."""
    drawn = {unit: rest for unit, *rest in account.rows}
    others = [str(Status.NOT_APPLICABLE), "not_sampled", "not among the visibility.n_maps subjects"]
    table = features_account(study, paths)
    usable = table["status"] == str(Status.OK)
    columns = ["status", "reason", "message"]
    if usable.any():  # pandas sets no empty list
        table.loc[usable, columns] = [drawn.get(unit, others) for unit in table.loc[usable, "unit"]]
    write_table(
        study.root, "visibility_map_subjects", table, dictionary.of("visibility_map_subjects")
    )
