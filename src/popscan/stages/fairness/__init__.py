"""The stage fairness: every stage's outcome by group."""

from __future__ import annotations

from popscan.stages.description import Stage

STAGE = Stage(
    name="fairness",
    version="6",
    uses=("stats",),
    sections=("study", "fairness", "cohort", "source", "atlas", "rca", "reconstruct"),
    per="study",
    reads=("collect", "atlas"),
    report="popscan.stages.fairness.coverage:coverage_section",
)
