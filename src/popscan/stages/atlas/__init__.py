"""The stage atlas: population averages by map-reduce over the shards."""

from __future__ import annotations

from dataclasses import replace

from popscan.stages.description import Stage, Table

#: Keys of the config section atlas that decide who is in which group.
_GROUPS = ("groups", "intersections")
#: Those that decide what a round's sums become.
_REDUCED = ("iterations", "registration", "spacing_mm", "min_group", "n_phases", "max_growth_pct")

PREPARE = Stage(
    name="atlas_prepare",
    version="4",
    uses=(
        "arrays",
        "register",
    ),
    sections=("study", "atlas"),
    keys={"atlas": ("spacing_mm", "n_phases")},
    per="shard",
    reads=("ingest", "reconstruct", "segment"),
    optional=True,
    switch="atlas",
)
SUBJECTS = Stage(
    name="atlas_subjects",
    version="3",
    sections=("study", "atlas", "fairness", "cohort"),
    keys={"atlas": _GROUPS},
    per="study",
    reads=("collect",),
    optional=True,
    switch="atlas",
)
MAP = replace(
    PREPARE,
    name="atlas_map",
    version="6",
    keys={"atlas": (*_GROUPS, "registration", "iterations", "n_phases")},
    reads=("atlas_prepare", "atlas_subjects"),
)
REDUCE = replace(
    MAP,
    name="atlas_reduce",
    keys={"atlas": _REDUCED},
    per="study",
    reads=("atlas_map",),
)
STAGE = replace(
    MAP,
    name="atlas",
    sections=("study", "atlas", "fairness", "cohort"),
    keys={},
    uses=("arrays", "register", "stats"),
    per="study",
    reads=("collect", "atlas_reduce"),
    tables={
        "atlas_subjects": Table(of="job", columns="popscan.stages.collect.columns:ACCOUNT"),
        "atlas_distances": Table(of="job", columns="popscan.stages.atlas.columns:distances"),
        "atlas_effects": Table(of="job", columns="popscan.stages.atlas.columns:EFFECTS"),
    },
    report="popscan.stages.atlas.report:atlas_sections",
)
