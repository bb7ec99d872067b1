"""The stage visibility: how well attributes can be predicted, and from where."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

FEATURES = Stage(
    name="visibility_features",
    version="3",
    uses=(
        "segment",
        "arrays",
        "register",
    ),
    sections=("study", "visibility", "segment"),
    per="shard",
    reads=("ingest", "reconstruct", "segment"),
    optional=True,
    switch="visibility",
)
STAGE = Stage(
    name="visibility",
    version="4",
    uses=(
        "fairness",
        "stats",
    ),
    sections=("study", "visibility", "fairness", "cohort", "biomarkers"),
    per="study",
    reads=("collect", "visibility_features"),
    optional=True,
    tables={
        "visibility": Table(of="job", columns="popscan.visibility.tables:DICTIONARY"),
        "visibility_subjects": Table(of="job", columns="popscan.stages.collect.columns:ACCOUNT"),
    },
    report="popscan.stages.visibility.report:visibility_section",
)
MAPS = Stage(
    name="visibility_maps",
    version="4",
    uses=(
        "segment",
        "fairness",
        "arrays",
        "register",
        "stats",
    ),
    sections=("study", "visibility", "fairness", "cohort", "segment"),
    per="study",
    reads=("collect", "visibility_features"),
    optional=True,
    switch="visibility",
    tables={
        "visibility_attributions": Table(
            of="job", columns="popscan.visibility.attribution:dictionary"
        ),
        "visibility_map_subjects": Table(
            of="job", columns="popscan.stages.collect.columns:ACCOUNT"
        ),
    },
)
