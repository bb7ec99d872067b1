"""The stage collect: manifests to the study's tables."""

from __future__ import annotations

from popscan.columns import Column
from popscan.stages.description import EVERY_SUBJECT_STAGE, Stage, Table

STAGE = Stage(
    name="collect",
    version="5",
    uses=("qc",),
    sections=("study", "source", "qc", "segment", "rca", "stages"),
    per="study",
    reads=("plan", EVERY_SUBJECT_STAGE),
    tables={
        "participants": Table(
            of="job",
            columns="popscan.stages.collect.columns:participants",
            further=Column("", "as in the cohort table", "cohort table", "any"),
        ),
        "ledger": Table(of="job", columns="popscan.stages.collect.columns:LEDGER"),
        "cost": Table(of="job", columns="popscan.stages.collect.columns:COST"),
    },
)
