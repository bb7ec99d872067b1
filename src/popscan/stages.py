"""The stages of a study, as the Snakefile and the commands see them. Imports nothing heavy.

A stage's version is part of every fingerprint and of the rule's params: raise it when the code of
the stage changes its results.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageInfo:
    """What the workflow needs to know of a stage.

    Attributes
    ----------
    version
        Version of the stage's code.
    sections
        Config sections that the stage uses; another value there means that it runs again.
    upstream
        Per-subject stages whose failure means that a subject is skipped.
    """

    version: str
    sections: tuple[str, ...]
    upstream: tuple[str, ...] = ()


#: Stages done per subject, in order; `simulate` only exists for the source kind ``simulated``.
SUBJECT_STAGES = {
    "simulate": StageInfo(version="1", sections=("study", "simulate")),
    "ingest": StageInfo(version="1", sections=("study", "source", "simulate")),
    "reconstruct": StageInfo(
        version="1", sections=("study", "source", "reconstruct"), upstream=("ingest",)
    ),
    "segment": StageInfo(version="1", sections=("study", "segment"), upstream=("reconstruct",)),
    "score": StageInfo(
        version="3", sections=("study", "segment", "biomarkers"), upstream=("segment",)
    ),
    "qc": StageInfo(version="1", sections=("study", "qc"), upstream=("segment",)),
    "biomarkers": StageInfo(
        version="1", sections=("study", "biomarkers", "cohort"), upstream=("segment",)
    ),
}

#: Stages done once per study.
STUDY_STAGES = {
    "plan": StageInfo(version="1", sections=("study", "source", "simulate", "cohort", "plan")),
    "collect": StageInfo(version="2", sections=("study", "source", "qc", "segment")),
    "atlas": StageInfo(version="2", sections=("study", "atlas")),
    "associate": StageInfo(version="2", sections=("study", "associate", "cohort", "fairness")),
    "fairness": StageInfo(version="2", sections=("study", "fairness", "cohort", "source", "atlas")),
    "report": StageInfo(version="2", sections=("study", "report")),
}


def stages_of(source_kind: str) -> list[str]:
    """Return the per-subject stages of a study with this kind of source, in order."""
    return [name for name in SUBJECT_STAGES if name != "simulate" or source_kind == "simulated"]
