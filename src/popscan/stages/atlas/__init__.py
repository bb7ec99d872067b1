"""The stage atlas: population averages by map-reduce over the shards."""

from __future__ import annotations

from dataclasses import replace

from popscan.stages.description import Stage, Table

PREPARE = Stage(
    name="atlas_prepare",
    version="4",
    uses=(
        "arrays",
        "register",
    ),
    sections=("study", "atlas"),
    per="shard",
    reads=("ingest", "reconstruct", "segment"),
    optional=True,
    switch="atlas",
)
SUBJECTS = Stage(
    name="atlas_subjects",
    version="3",
    sections=("study", "atlas", "fairness", "cohort"),
    per="study",
    reads=("collect",),
    optional=True,
    switch="atlas",
)
MAP = replace(PREPARE, name="atlas_map", version="5", reads=("atlas_prepare", "atlas_subjects"))
REDUCE = replace(MAP, name="atlas_reduce", per="study", reads=("atlas_map",))
STAGE = replace(
    MAP,
    name="atlas",
    sections=("study", "atlas", "fairness", "cohort"),
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
