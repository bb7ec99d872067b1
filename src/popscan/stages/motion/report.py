"""The report's section on motion, and the pictures of single subjects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from popscan.nested import mapping_at
from popscan.protocol import Protocol, load
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.study.study import Study
from popscan.study.tables import read_table


def motion_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show the protocol's section; None where nothing was tracked."""
    motion = protocol_of(config).motion
    if motion is None or not mapping_at(config, "stages", "motion").get("enabled"):
        return None
    values, rows = read_table(study_root, "motion"), read_table(study_root, "motion_segments")
    if values.empty or rows.empty:
        return None
    people = Study.of_tables(study_root, config).attributes
    sex = people["sex"] if "sex" in people else pd.Series("all", index=people.index)
    extra: Extra = load(motion.section)(values, rows, sex)
    return extra


def subject_figures(study_root: Path, protocol: Protocol) -> dict[str, tuple[Markup, str]]:
    """Return the picture and caption of every unit that was tracked; none without the stage."""
    motion = protocol.motion
    rows = read_table(study_root, "motion_segments")
    if motion is None or not motion.picture or rows.empty:
        return {}
    draw = load(motion.picture)
    return {str(unit): (draw(part), "Motion by segment.") for unit, part in rows.groupby("unit")}
