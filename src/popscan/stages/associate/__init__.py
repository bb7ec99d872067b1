"""The stage associate: regressions and reference ranges."""

from __future__ import annotations

from popscan.columns import Column
from popscan.stages.description import Stage, Table

STAGE = Stage(
    name="associate",
    version="10",
    uses=("stats",),
    sections=("study", "associate", "cohort", "fairness", "harmonise"),
    per="study",
    reads=("collect",),
    report="popscan.stages.associate.report:associate_sections",
    tables={
        "precision": Table(of="job", columns="popscan.associate.precision:DICTIONARY"),
        "biomarkers_adjusted": Table(of="job", columns="popscan.study.adjusted:adjusted_table"),
        "size_slopes": Table(of="job", columns="popscan.study.adjusted:SLOPES"),
        "biomarkers_harmonised": Table(
            of="job",
            columns="popscan.columns:UNIT",
            further=Column("", "biomarker, as measured and harmonised between sites by ComBat"),
        ),
        "harmonisation": Table(of="job", columns="popscan.stats.harmonise_account:DICTIONARY"),
        "associations": Table(of="job", columns="popscan.associate.models:DICTIONARY"),
        "reference_ranges": Table(
            of="job",
            columns="popscan.associate.ranges:DICTIONARY",
            further=Column("", "stratum: subjects with this value of the attribute", kind="any"),
        ),
    },
)
