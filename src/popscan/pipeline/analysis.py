"""Study-level regression: which rows and columns go into associations and reference ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import parse_section
from popscan.pipeline import dictionary
from popscan.pipeline.cohort import study_attributes
from popscan.pipeline.tables import read_table, write_table


def analysed_table(study_root: Path, options: Mapping[str, Any]) -> pd.DataFrame:
    """One row per analysed subject: cohort columns and biomarkers; who failed QC is left out."""
    biomarkers = read_table(study_root, "biomarkers")
    attributes, _ = study_attributes(
        study_root,
        fairness=parse_section("fairness", options.get("fairness", {})),
        cohort=parse_section("cohort", options.get("cohort", {})),
    )
    participants = attributes.reset_index()
    if biomarkers.empty:
        return participants.iloc[:0]
    shared = [c for c in biomarkers if c in participants and c != "unit"]
    merged = participants.drop(columns=shared).merge(biomarkers, on="unit")
    return merged[merged["analysed"].astype(bool)].reset_index(drop=True)


def associate_study(study_root: Path, options: Mapping[str, Any]) -> None:
    """Write the tables ``associations`` and ``reference_ranges``."""
    from popscan.associate.models import associate
    from popscan.associate.ranges import reference_ranges

    section = parse_section("associate", options["associate"])
    table = analysed_table(study_root, options)
    outcomes = [name for name in section.outcomes if name in table]
    found = associate(table, outcomes=outcomes, terms=section.terms, min_n=section.min_n)
    write_table(study_root, "associations", found, dictionary.of("associations"))
    by = ["sex"] if "sex" in table else []
    ranges = reference_ranges(table, outcomes=outcomes, by=by, seed=int(options["study"]["seed"]))
    write_table(study_root, "reference_ranges", ranges, dictionary.of("reference_ranges"))
