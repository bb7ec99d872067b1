"""The stage plan: the study's subjects and their shards."""

from __future__ import annotations

from popscan.stages.description import Stage

STAGE = Stage(
    name="plan",
    version="3",
    sections=("study", "source", "simulate", "cohort", "plan"),
    per="study",
)
