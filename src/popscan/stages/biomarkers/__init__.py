"""The stage biomarkers: labels to numbers with units and intervals."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="biomarkers",
    version="9",
    uses=("arrays",),
    sections=("study", "biomarkers", "cohort"),
    reads=("ingest", "reconstruct", "segment"),
    task="popscan.stages.biomarkers.task:biomarkers_task",
    tables={"biomarkers": Table(columns="popscan.stages.biomarkers.columns:biomarkers")},
)
