"""The stage segment: images to labels and uncertainty."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="segment",
    version="9",
    uses=("arrays",),
    sections=("study", "segment"),
    reads=("ingest", "reconstruct"),
    task="popscan.stages.segment.task:segment_task",
    threads=2,
    model=True,
    tables={"segmentation": Table(columns="popscan.stages.segment.columns:segmentation")},
    report="popscan.stages.report.uncertainty:uncertainty_section",
)
