"""The stage motion: every frame of a cycle against one of them, and what follows of it."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="motion",
    version="5",
    uses=("register",),
    sections=("study",),
    options="popscan.stages.motion.options:Options",
    reads=("ingest", "reconstruct", "segment"),
    side=True,
    optional=True,
    task="popscan.stages.motion.task:motion_task",
    tables={
        "motion": Table(columns="popscan.stages.motion.columns:values"),
        "motion_segments": Table(of="rows", columns="popscan.stages.motion.columns:rows"),
    },
    report="popscan.stages.motion.report:motion_section",
)
