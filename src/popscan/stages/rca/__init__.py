"""The stage rca: Dice predicted without references (reverse classification accuracy)."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

REFERENCES = Stage(
    name="rca_references",
    version="4",
    uses=(
        "simulate",
        "arrays",
        "register",
    ),
    sections=("study", "rca", "cohort", "fairness", "source", "qc"),
    per="study",
    reads=("ingest", "reconstruct", "qc"),
    optional=True,
    switch="rca",
)
STAGE = Stage(
    name="rca",
    version="3",
    uses=(
        "arrays",
        "register",
    ),
    sections=("study", "rca"),
    reads=("ingest", "reconstruct", "segment", "rca_references"),
    side=True,
    optional=True,
    task="popscan.stages.rca.task:rca_task",
    tables={
        "predicted_dice": Table(columns="popscan.stages.rca.columns:subjects"),
        "predicted_dice_structures": Table(
            of="rows", columns="popscan.stages.rca.columns:structures"
        ),
    },
    report="popscan.stages.visibility.report:rca_section",
)
VALIDITY = Stage(
    name="rca_validity",
    version="3",
    uses=(
        "fairness",
        "stats",
    ),
    sections=("study", "rca", "fairness", "cohort"),
    per="study",
    reads=("collect",),
    optional=True,
    switch="rca",
    tables={"rca_validity": Table(of="job", columns="popscan.fairness.rca:DICTIONARY")},
)
