"""The stage qc: image and segmentation checks, and their verdict."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="qc",
    version="11",
    uses=("arrays",),
    sections=("study", "qc"),
    reads=("ingest", "reconstruct", "segment"),
    task="popscan.stages.qc.task:qc_task",
    tables={
        "qc": Table(columns="popscan.stages.qc.columns:VERDICTS"),
        "qc_checks": Table(of="rows", columns="popscan.stages.qc.columns:CHECKS"),
    },
)
