"""The stages of a study, as the Snakefile and the commands see them. Imports nothing heavy.

A stage's version is part of every fingerprint and of the rule's params: raise it when the code of
the stage changes its results.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


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
    side
        Whether the stage only looks at what others made: a subject that fails here is still
        analysed.
    """

    version: str
    sections: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    side: bool = False


#: Stages done per subject, in order; `simulate` only exists for the source kind ``simulated``.
SUBJECT_STAGES = {
    "simulate": StageInfo(version="1", sections=("study", "simulate")),
    "ingest": StageInfo(version="3", sections=("study", "source", "simulate")),
    "reconstruct": StageInfo(
        version="1", sections=("study", "source", "reconstruct"), upstream=("ingest",)
    ),
    "segment": StageInfo(version="5", sections=("study", "segment"), upstream=("reconstruct",)),
    "score": StageInfo(
        version="7", sections=("study", "segment", "biomarkers"), upstream=("segment",), side=True
    ),
    "qc": StageInfo(version="4", sections=("study", "qc"), upstream=("segment",)),
    "biomarkers": StageInfo(
        version="4", sections=("study", "biomarkers", "cohort"), upstream=("segment",)
    ),
    "rca": StageInfo(version="3", sections=("study", "rca"), upstream=("segment",), side=True),
}

#: The per-subject stage that ends the analysis of a subject; side stages decide nothing.
FINAL_STAGE = "biomarkers"

#: Stages that run only where their config section of the same name says ``enabled``.
OPTIONAL_STAGES = ("rca",)

#: Stages done once per study.
STUDY_STAGES = {
    "plan": StageInfo(version="3", sections=("study", "source", "simulate", "cohort", "plan")),
    "collect": StageInfo(version="5", sections=("study", "source", "qc", "segment", "rca")),
    "atlas": StageInfo(version="4", sections=("study", "atlas")),
    "associate": StageInfo(version="3", sections=("study", "associate", "cohort", "fairness")),
    "fairness": StageInfo(
        version="6",
        sections=("study", "fairness", "cohort", "source", "atlas", "rca", "reconstruct"),
    ),
    "rca_references": StageInfo(version="3", sections=("study", "rca", "cohort")),
    "rca_validity": StageInfo(version="2", sections=("study", "rca", "fairness", "cohort")),
    "visibility_features": StageInfo(version="3", sections=("study", "visibility", "segment")),
    "visibility": StageInfo(
        version="4", sections=("study", "visibility", "fairness", "cohort", "biomarkers")
    ),
    "visibility_maps": StageInfo(
        version="4", sections=("study", "visibility", "fairness", "cohort", "segment")
    ),
    "report": StageInfo(version="5", sections=("study", "report", "share")),
}


def stages_of(source_kind: str, *, optional: Collection[str] = ()) -> list[str]:
    """Return the per-subject stages of a study with this kind of source, in order.

    Parameters
    ----------
    source_kind
        Kind of the source.
    optional
        Which of `OPTIONAL_STAGES` run: see `optional_stages`.
    """
    left_out = set(OPTIONAL_STAGES) - set(optional)
    if source_kind != "simulated":
        left_out.add("simulate")
    return [name for name in SUBJECT_STAGES if name not in left_out]


def optional_stages(config: Mapping[str, Any]) -> list[str]:
    """Return those optional stages that a config (or the sections that a stage is given) enables.

    Parameters
    ----------
    config
        Section -> its keys; sections may be absent.
    """
    return [name for name in OPTIONAL_STAGES if config.get(name, {}).get("enabled", False)]
