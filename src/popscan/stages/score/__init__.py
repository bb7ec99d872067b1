"""The stage score: segmentation and reconstruction against references."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="score",
    version="8",
    uses=("segment", "qc", "biomarkers", "arrays"),
    sections=("study", "segment", "biomarkers"),
    reads=("ingest", "reconstruct", "segment"),
    side=True,
    report="popscan.stages.report.known_errors:model_section",
    task="popscan.stages.score.task:score_task",
    tables={
        "scores": Table(
            of="rows", kind="labels", columns="popscan.stages.score.columns:structures"
        ),
        "recon_scores": Table(
            of="rows", kind="image", columns="popscan.stages.score.columns:images"
        ),
        "reference_biomarkers": Table(
            of="rows", kind="biomarkers", columns="popscan.stages.score.columns:biomarkers"
        ),
        "reference_checks": Table(
            of="rows", kind="reference", columns="popscan.stages.qc.columns:REFERENCE_CHECKS"
        ),
    },
)
