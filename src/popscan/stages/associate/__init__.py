"""The stage associate: regressions and reference ranges."""

from __future__ import annotations

from popscan.columns import Column
from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="associate",
    version="3",
    uses=("stats",),
    sections=("study", "associate", "cohort", "fairness"),
    per="study",
    reads=("collect",),
    tables={
        "associations": Table(of="job", columns="popscan.associate.models:DICTIONARY"),
        "reference_ranges": Table(
            of="job",
            columns="popscan.associate.ranges:DICTIONARY",
            further=Column("", "stratum: subjects with this value of the attribute", kind="any"),
        ),
    },
)
