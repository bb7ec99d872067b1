"""The stage stopping: how long a radial scan must be until it is good enough for the study."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="stopping",
    version="1",
    uses=("segment", "qc", "biomarkers", "arrays"),
    sections=("study", "segment", "biomarkers", "qc"),
    options="popscan.stages.stopping.options:Options",
    reads=("ingest",),
    side=True,
    optional=True,
    task="popscan.stages.stopping.task:stopping_task",
    threads=2,
    model=True,
    tables={"stopping": Table(columns="popscan.stages.stopping.columns:values")},
    report="popscan.stages.stopping.report:stopping_section",
)
