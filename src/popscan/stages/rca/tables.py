"""Tables of predicted Dice: of every subject, and how far predictions can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.config import Fairness, Rca, study_seed
from popscan.study import dictionary
from popscan.study.cohort import first_visits
from popscan.study.study import Study
from popscan.study.tables import read_table, write_table


def write_validity(study_root: Path, options: Mapping[str, object]) -> pd.DataFrame:
    """Write the table ``rca_validity``: how far predictions can be relied on, by group.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    options
        Config sections study, rca, fairness and cohort.
    """
    from popscan.fairness.rca import true_and_predicted, validity

    section = Rca.of(options)
    fairness = Fairness.of(options)
    people, _ = first_visits(Study.of_tables(study_root, options).attributes)
    pairs = true_and_predicted(
        read_table(study_root, "predicted_dice_structures"), read_table(study_root, "scores")
    )
    table = validity(
        pairs[pairs["unit"].isin(people.index)],
        people,
        attributes_to_test=fairness.attributes,
        reference=fairness.reference,
        threshold=section.low_dice,
        min_group=fairness.min_group,
        n_boot=fairness.n_boot,
        alpha=fairness.alpha,
        seed=study_seed(options),
    )
    write_table(study_root, "rca_validity", table, dictionary.of("rca_validity"))
    return table
