"""The stage variants: what every reconstruction does to the segmentation and the biomarkers."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="variants",
    version="1",
    uses=("segment", "qc", "biomarkers", "arrays"),
    sections=("study", "segment", "biomarkers"),
    options="popscan.stages.variants.options:Options",
    reads=("ingest", "reconstruct", "segment"),
    side=True,
    optional=True,
    task="popscan.stages.variants.task:variants_task",
    threads=2,
    model=True,
    tables={"variant_scores": Table(of="rows", columns="popscan.stages.variants.columns:scores")},
)
