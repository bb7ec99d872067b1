"""The stage ingest: raw scans of any source to one checked 4D scan per view."""

from __future__ import annotations

from popscan.stages.description import Stage

STAGE = Stage(
    name="ingest",
    version="12",
    uses=("arrays",),
    sections=("study", "source", "simulate"),
    reads=("plan", "simulate"),
    task="popscan.stages.ingest.task:ingest_task",
)
