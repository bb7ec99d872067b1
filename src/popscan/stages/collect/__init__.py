"""The stage collect: manifests to the study's tables."""

from __future__ import annotations

from popscan.stages.description import EVERY_SUBJECT_STAGE, Stage

STAGE = Stage(
    name="collect",
    version="5",
    uses=("qc",),
    sections=("study", "source", "qc", "segment", "rca"),
    per="study",
    reads=("plan", EVERY_SUBJECT_STAGE),
)
