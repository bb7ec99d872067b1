"""The stage reconstruct: k-space to images."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="reconstruct",
    version="5",
    uses=("arrays",),
    sections=("study", "source", "reconstruct"),
    reads=("ingest",),
    task="popscan.stages.reconstruct.task:reconstruct_task",
    tables={"reconstructions": Table(columns="popscan.stages.reconstruct.columns:DICTIONARY")},
    report="popscan.stages.reconstruct.report:reconstruct_sections",
)
