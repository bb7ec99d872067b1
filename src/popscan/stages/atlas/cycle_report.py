"""The report's section on the average over the cycle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
from markupsafe import Markup

from popscan.config import Atlas
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.report.figures.atlas import phases_figure
from popscan.report.text import plural
from popscan.spaces import AtlasFrame
from popscan.stages.atlas.results import atlas_pictures


class Summary(TypedDict, total=False):
    """What atlas.json says of a group."""

    n_subjects: int
    volumes_ml: dict[str, float]
    n_cycle: int
    cycle_volumes_ml: dict[str, list[float]]


def cycle_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show the average of all over the cycle; None where none was asked for, or no atlas built."""
    frame = protocol_of(config).atlas
    path = study_root / "atlas" / "atlas.json"
    section = Atlas.of(config)
    if frame is None or not section.enabled or not path.exists():
        return None
    groups: dict[str, Summary] = json.loads(path.read_text(encoding="utf-8"))["groups"]
    whole = groups.get("all", Summary())
    if "n_cycle" not in whole:
        return None
    n_cycle, n = int(whole["n_cycle"]), int(whole["n_subjects"])
    averaged = "cycle_volumes_ml" in whole
    who = f"{plural(n_cycle, 'subject')} of {n}" if n_cycle < n else plural(n, "subject")
    lead = f"Average of {who} over the cycle" if averaged else f"Images over the cycle of {who}"
    others = "; the table atlas_subjects gives the reason for the others" if n_cycle < n else ""
    return Extra(
        ident="atlas-cycle",
        title="Average over the cycle",
        lead=f"{lead}{others}.",
        sentences=[*_volumes(groups), *_too_few(groups, section.min_group)],
        figures=_phases(study_root, frame, n_cycle) if averaged else [],
        notes=[
            "Every phase of a subject was moved by the field of one phase: the motion is the "
            "subjects', the shape that of the average.",
        ],
        shared=False,
    )


def _phases(study_root: Path, frame: AtlasFrame, n_cycle: int) -> list[tuple[Markup, str]]:
    figure = phases_figure(
        atlas_pictures(study_root, frame)["all"], frame,
        alt=f"Mean image of {plural(n_cycle, 'subject')} in every phase, with label contours.",
    )  # fmt: skip
    caption = (
        "Mean image in every phase of the cycle. Contours: half of the subjects have this label "
        f"there. {frame.legend}"
    )
    return [(figure, caption)]


def _too_few(groups: Mapping[str, Summary], least: int) -> list[str]:
    """Say which groups have no average over the cycle though they have an average."""
    return [
        f"{group}: no average over the cycle (n = {one['n_cycle']}, at least {least} are needed)."
        for group, one in groups.items()
        if "n_cycle" in one and "cycle_volumes_ml" not in one
    ]


def _volumes(groups: Mapping[str, Summary]) -> list[str]:
    sentences = []
    for group, one in groups.items():
        for region, curve in one.get("cycle_volumes_ml", {}).items():
            low, high = float(np.min(curve)), float(np.max(curve))
            sentences.append(
                f"{group}, {region}: {low:.0f} to {high:.0f} mL over the cycle (n = "
                f"{one['n_cycle']})."
            )
    return sentences
