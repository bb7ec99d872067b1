"""The audit's tables and sentences on their way into the report, and into what may be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import Fairness
from popscan.report.context import StudyContext
from popscan.stages.fairness.inputs import reference_biomarkers
from popscan.stages.fairness.job import PREDICTION_TABLES, TABLES, audit_sentences
from popscan.study.tables import read_table, tables_folder


def audit_tables_of(study_root: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of the audit that hold no single subject's values."""
    tables = {
        name: read_table(study_root, f"fairness_{name}") for name in TABLES if name != "outcomes"
    }
    more = {name: read_table(study_root, f"fairness_{name}") for name in PREDICTION_TABLES}
    return tables | {name: table for name, table in more.items() if len(table)}


def with_audit(
    context: StudyContext, tables: Mapping[str, pd.DataFrame], *, alpha: float
) -> StudyContext:
    """Return the context with these tables of the audit and the sentences that they support."""
    parts = audit_sentences(tables, alpha=alpha)
    shown: dict[str, Any] = {
        f"fairness_{name}": table for name, table in tables.items() if name != "confounding"
    }  # what is associated with a group is described in words
    return replace(context, **shown, alpha=alpha, sentences=parts.pop("gaps", []), words=parts)


def with_whole_audit(context: StudyContext, study_root: Path, *, alpha: float) -> StudyContext:
    """Return the context with the study's own audit, and its notes on who is missing."""
    audited = with_audit(context, audit_tables_of(study_root), alpha=alpha)
    path = tables_folder(study_root) / "fairness_sentences.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {line for part in (audited.sentences, *audited.words.values()) for line in part}
    notes = [line for line in lines if line not in known]
    return replace(audited, sentences=[*audited.sentences, *notes])


def agreement_points(study_root: Path, fairness: Fairness, kind: str) -> pd.DataFrame:
    """Measured and reference value of every analysed subject, one row per biomarker.

    Parameters
    ----------
    study_root
        The study.
    fairness
        Config section; its biomarkers are taken.
    kind
        Kind of the source.

    Returns
    -------
    DataFrame
        unit, biomarker, measured, reference; empty without references.
    """
    measured = read_table(study_root, "biomarkers")
    reference = reference_biomarkers(study_root, simulated=kind == "simulated")
    names = [n for n in fairness.biomarkers if n in measured and n in reference]
    if not names or measured.empty:
        return pd.DataFrame()
    kept = measured[measured["analysed"].astype(bool)]
    sides = [
        table[["unit", *names]].melt("unit", var_name="biomarker", value_name=side)
        for table, side in ((kept, "measured"), (reference, "reference"))
    ]
    return sides[0].merge(sides[1], on=["unit", "biomarker"])
