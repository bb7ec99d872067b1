"""The stage associate: regressions and reference ranges."""

from __future__ import annotations

from popscan.stages.description import Stage

STAGE = Stage(
    name="associate",
    version="3",
    uses=("stats",),
    sections=("study", "associate", "cohort", "fairness"),
    per="study",
    reads=("collect",),
)
