"""The stage simulate: raw data of a digital population, rendered subject by subject."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="simulate",
    version="2",
    uses=("arrays",),
    sections=("study", "simulate"),
    reads=("plan",),
    task="popscan.stages.simulate.task:simulate_task",
    tables={"truth": Table(columns="popscan.stages.simulate.columns:truth")},
)
