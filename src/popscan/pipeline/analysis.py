"""Study-level statistics: which rows and columns go into regression and audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import parse_section
from popscan.pipeline import dictionary
from popscan.pipeline.tables import read_table, tables_folder, write_table
from popscan.store import write_atomic

#: Biomarkers whose values the audit compares between groups: neither side is better.
AUDITED_BIOMARKERS = ("lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvef_pct")


def analysed_table(study_root: Path) -> pd.DataFrame:
    """One row per analysed subject: cohort columns and biomarkers; who failed QC is left out."""
    biomarkers = read_table(study_root, "biomarkers")
    participants = read_table(study_root, "participants")
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
    table = analysed_table(study_root)
    outcomes = [name for name in section.outcomes if name in table]
    found = associate(table, outcomes=outcomes, terms=section.terms, min_n=section.min_n)
    write_table(study_root, "associations", found, dictionary.of("associations"))
    by = ["sex"] if "sex" in table else []
    ranges = reference_ranges(table, outcomes=outcomes, by=by, seed=int(options["study"]["seed"]))
    write_table(study_root, "reference_ranges", ranges, dictionary.of("reference_ranges"))


def audit_outcomes(study_root: Path) -> pd.DataFrame:
    """Every stage's outcome in long form: unit, stage, outcome, value, better_is."""
    from popscan.fairness.outcomes import outcomes_table

    biomarkers = read_table(study_root, "biomarkers")
    if not biomarkers.empty:
        biomarkers = biomarkers[biomarkers["analysed"].astype(bool)]
    columns = [name for name in AUDITED_BIOMARKERS if name in biomarkers]
    return outcomes_table(
        ledger=read_table(study_root, "ledger"),
        scores=read_table(study_root, "scores"),
        recon_scores=read_table(study_root, "recon_scores"),
        segmentation=read_table(study_root, "segmentation"),
        qc=read_table(study_root, "qc"),
        qc_checks=read_table(study_root, "qc_checks"),
        biomarkers=biomarkers,
        biomarker_columns=columns,
        truth=read_table(study_root, "truth"),
    )


def audit_study(study_root: Path, options: Mapping[str, Any]) -> None:
    """Write the tables of the fairness audit and its sentences."""
    from popscan.fairness.attributes import attributes_table
    from popscan.fairness.audit import audit
    from popscan.fairness.words import sentences

    section = parse_section("fairness", options["fairness"])
    attributes = attributes_table(read_table(study_root, "participants"))
    asked = [name for name in section.attributes if name in attributes]
    crossed = [names for names in section.intersections if set(names) <= set(attributes)]
    result = audit(
        audit_outcomes(study_root),
        attributes,
        attributes_to_test=asked,
        intersections=crossed,
        reference=section.reference or None,
        min_group=section.min_group,
        n_boot=section.n_boot,
        alpha=section.alpha,
        correction=section.correction,
        seed=int(options["study"]["seed"]),
    )
    for name in ("groups", "gaps", "summary"):
        table = getattr(result, name)
        write_table(study_root, f"fairness_{name}", table, dictionary.of(f"fairness_{name}"))
    lines = [*sentences(result.gaps, alpha=section.alpha), *result.notes]
    lines += [
        f"{name} is not recorded in this study; it was not audited."
        for name in section.attributes
        if name not in attributes
    ]
    text = "".join(line + "\n" for line in lines)
    write_atomic(tables_folder(study_root) / "fairness_sentences.txt", text.encode())
