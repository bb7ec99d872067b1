"""The study's fairness audit: tables and sentences from the outcomes of every stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from popscan.config import Fairness, study_seed
from popscan.disk import write_atomic
from popscan.stages.fairness.inputs import AuditInputs, audit_inputs
from popscan.stages.fairness.tables import audit_tables
from popscan.study import dictionary
from popscan.study.cohort import first_visits, known_columns
from popscan.study.study import Study
from popscan.study.tables import tables_folder, write_table

#: Tables of the audit in the study's folder `tables`, each `fairness_<name>`.
TABLES = (
    "outcomes", "groups", "gaps", "summary", "adjusted", "pairs", "funnel", "exclusion",
    "agreement", "ledger", "confounding",
)  # fmt: skip

#: Further tables where predictions are audited; the others are as they are without.
PREDICTION_TABLES = ("predictions", "calibration", "thresholds")


def audit_study(study_root: Path, options: Mapping[str, object]) -> None:
    """Write the tables of the fairness audit and its sentences.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    options
        Config sections study, fairness, cohort, source and atlas.
    """
    section = Fairness.of(options)
    study = Study.of_tables(study_root, options)
    inputs = audit_inputs(study)
    tables, more = audit_tables(inputs, section, seed=study_seed(options))
    notes = [*study.notes, *inputs.notes, *more]
    write_audit(study_root, tables, notes, alpha=section.alpha)
    coverage = coverage_of(inputs, section)
    write_table(study_root, "interval_coverage", coverage, dictionary.of("interval_coverage"))


def coverage_of(inputs: AuditInputs, section: Fairness) -> pd.DataFrame:
    """Count how many intervals hold their reference, over all analysed subjects and by group."""
    from popscan.fairness.coverage import coverage_table

    once, _ = first_visits(inputs.attributes)
    known, _ = known_columns(section.attributes, inputs.attributes)
    return coverage_table(
        inputs.measured,
        inputs.reference,
        once,
        attributes_to_test=known,
        min_group=section.min_group,
        alpha=section.alpha,
    )


def write_audit(
    study_root: Path, tables: Mapping[str, pd.DataFrame], notes: Sequence[str], *, alpha: float
) -> None:
    """Write the tables of an audit (those that were not computed empty), and what they say.

    Parameters
    ----------
    study_root
        The study.
    tables, notes
        As `audit_tables` returns them.
    alpha
        Level at which a corrected p counts.
    """
    for name in (*TABLES, *(name for name in PREDICTION_TABLES if name in tables)):
        columns = dictionary.of(f"fairness_{name}")
        table = tables.get(name, pd.DataFrame(columns=list(columns)))
        write_table(study_root, f"fairness_{name}", table, columns)
    messages = audit_sentences(tables, alpha=alpha)
    lines = [*(line for part in messages.values() for line in part), *notes]
    text = "".join(line + "\n" for line in lines)
    write_atomic(tables_folder(study_root) / "fairness_sentences.txt", text.encode())


def audit_sentences(
    tables: Mapping[str, pd.DataFrame], *, alpha: float = 0.05
) -> dict[str, list[str]]:
    """Say what the tables show, part by part; parts without a table have no sentence.

    Parameters
    ----------
    tables
        As `audit_tables` makes them, also with small cells suppressed.
    alpha
        Level at which a corrected p counts.
    """
    from popscan.fairness import story
    from popscan.fairness.confounding import confounding_sentences
    from popscan.fairness.findings import sentences
    from popscan.fairness.prediction_story import prediction_sentences

    def gaps_said(gaps: pd.DataFrame, *, alpha: float) -> list[str]:
        return sentences(
            gaps, alpha=alpha, adjusted=tables.get("adjusted"), summary=tables.get("summary")
        )

    parts: dict[str, Callable[..., list[str]]] = {
        "gaps": gaps_said,
        "confounding": confounding_sentences,
        "adjusted": story.adjusted_sentences,
        "funnel": story.funnel_sentences,
        "exclusion": story.exclusion_sentences,
        "agreement": story.agreement_sentences,
        "ledger": story.ledger_sentences,
        "predictions": prediction_sentences,
    }
    return {
        name: sentences_of(tables[name], alpha=alpha)
        for name, sentences_of in parts.items()
        if name in tables and len(tables[name])
    }
