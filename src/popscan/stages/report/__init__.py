"""The stage report: the study's page, its subjects' pages, and what may be shared."""

from __future__ import annotations

from popscan.stages.description import Stage

STAGE = Stage(
    name="report",
    version="11",
    sections=("study", "report", "share"),
    per="study",
    reads=(
        "collect",
        "associate",
        "fairness",
        "atlas",
        "rca_validity",
        "visibility",
        "visibility_maps",
    ),
)
