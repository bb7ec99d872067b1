"""The report's section on the average over the cycle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np

from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.report.figures.atlas import phases_figure
from popscan.report.text import plural
from popscan.stages.atlas.results import atlas_pictures


class Summary(TypedDict, total=False):
    """What atlas.json says of a group."""

    n_subjects: int
    volumes_ml: dict[str, float]
    n_cycle: int
    cycle_volumes_ml: dict[str, list[float]]


def cycle_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show the average of all over the cycle; None where there is none."""
    frame = protocol_of(config).atlas
    path = study_root / "atlas" / "atlas.json"
    if frame is None or not path.exists():
        return None
    groups: dict[str, Summary] = json.loads(path.read_text(encoding="utf-8"))["groups"]
    whole = groups.get("all", Summary())
    if not whole.get("n_cycle"):
        return None
    pictures = atlas_pictures(study_root, frame)["all"]
    n_cycle, n = int(whole["n_cycle"]), int(whole["n_subjects"])
    figure = phases_figure(
        pictures, frame,
        alt=f"Mean image of {plural(n_cycle, 'subject')} in every phase, with label contours.",
    )  # fmt: skip
    return Extra(
        ident="atlas-cycle",
        title="Average over the cycle",
        lead=f"Average of {plural(n_cycle, 'subject')} of {n} over the cycle; the table "
        "atlas_subjects gives the reason for the others.",
        sentences=_volumes(groups),
        figures=[
            (
                figure,
                "Mean image in every phase of the cycle. Contours: half of the subjects have this "
                f"label there. {frame.legend}",
            )
        ],
        notes=[
            "Every phase of a subject was moved by the field of one phase: the motion is the "
            "subjects', the shape that of the average.",
        ],
        shared=False,
    )


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
