"""The stage atlas: population averages by map-reduce over the shards."""

from __future__ import annotations

from dataclasses import replace

from popscan.stages.description import Stage

PREPARE = Stage(
    name="atlas_prepare",
    version="4",
    uses=(
        "arrays",
        "register",
    ),
    sections=("study", "atlas"),
    per="shard",
    reads=("segment", "qc", "biomarkers"),
    optional=True,
    switch="atlas",
)
MAP = replace(PREPARE, name="atlas_map", reads=("atlas_prepare",))
REDUCE = replace(PREPARE, name="atlas_reduce", per="study", reads=("atlas_map",))
STAGE = replace(PREPARE, name="atlas", per="study", reads=("atlas_reduce",))
