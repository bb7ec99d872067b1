"""The report's section on maps of the atlas, and the picture of a single subject."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from popscan.config import Atlas, Harmonise
from popscan.npzfile import read_npz
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.report.figures.differences import Overlay, overlays
from popscan.report.text import plural, title_of
from popscan.spaces import AtlasFrame
from popscan.stages.atlas.cycle_report import cycle_section
from popscan.stages.atlas.differences import on_grid
from popscan.stages.atlas.effects import SIGNIFICANT
from popscan.stages.atlas.results import map_pictures
from popscan.study.tables import read_table

#: Maps that are drawn, by share of significant voxels; the others are in the table.
_MOST = 6
_FULL_T = 6.0


def atlas_sections(study_root: Path, config: Mapping[str, object]) -> list[Extra]:
    """Return the sections beside the averages themselves, of those that have something to show."""
    made = (cycle_section(study_root, config), differences_section(study_root, config))
    return [extra for extra in made if extra is not None]


def differences_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show where local volume goes with attributes; None without an atlas that was registered."""
    frame = protocol_of(config).atlas
    path = study_root / "atlas" / "maps" / "effects.npz"
    if frame is None or not Atlas.of(config).enabled:
        return None
    effects, distances = (read_table(study_root, n) for n in ("atlas_effects", "atlas_distances"))
    if "atlas_z_beyond_pct" not in distances or distances["atlas_z_beyond_pct"].isna().all():
        return None
    figures = _maps(effects, path, map_pictures(study_root, frame), frame)
    shown = effects.drop(columns="files", errors="ignore")
    tables = [("Effects on local volume.", shown)] if len(effects) else []
    return Extra(
        ident="atlas-differences",
        title="Differences from the atlas",
        lead="Local volume is the Jacobian of the displacement from the average to a subject, on a "
        "logarithmic scale; effects are those of linear models with HC3 errors in every voxel.",
        sentences=[*_found(effects), *_unusual(distances)],
        figures=figures,
        tables=tables,
        notes=[
            "p values were corrected over the voxels of a map, not over maps. Registration is "
            "driven by labels: local volume within a structure is interpolated.",
            *_as_measured(config),
        ],
        shared=False,
    )


def _as_measured(config: Mapping[str, object]) -> list[str]:
    if not Harmonise.of(config, or_defaults=True).by:
        return []
    return ["Biomarkers in these models are as measured, not harmonised."]


def _maps(
    effects: pd.DataFrame, path: Path, pictures: Mapping[str, object], frame: AtlasFrame
) -> list[tuple[Markup, str]]:
    if not path.exists() or not pictures or not len(effects):
        return []
    maps = read_npz(path)
    made = effects[[f"{term}|t" in maps for term in effects["term"]]]
    first = made.sort_values("significant_pct", ascending=False, kind="stable").head(_MOST)
    shown = [
        Overlay(
            title=title_of(str(term)),
            values=on_grid(maps[f"{term}|t"], maps["organ"]),
            marked=np.nan_to_num(on_grid(maps[f"{term}|q"], maps["organ"]), nan=1.0) < SIGNIFICANT,
        )
        for term in first["term"]
    ]
    if not shown:
        return []
    figure = overlays(
        shown, pictures, frame, full=_FULL_T, legend="t value (red: more volume)",
        alt=f"t values of {plural(len(shown), 'term')} over the average.",
    )  # fmt: skip
    caption = (
        "t values of the effects on local volume over the average of all subjects; outlined where "
        f"q is below {SIGNIFICANT:g}."
    )
    return [(figure, caption)]


def _found(effects: pd.DataFrame) -> list[str]:
    sentences = []
    for row in effects.to_dict("records"):
        share = float(row["significant_pct"])
        name = title_of(str(row["term"]))
        if np.isfinite(share) and share > 0:
            sentences.append(
                f"{name}: local volume differs significantly in {share:.2g}% of the voxels (mean "
                f"over all voxels {float(row['mean_effect_pct']):+.2g}% per unit, n = "
                f"{int(row['n'])})."
            )
        elif np.isfinite(share):
            sentences.append(
                f"{name}: no voxel differs significantly (smallest q "
                f"{float(row['smallest_q']):.2g}, n = {int(row['n'])}); this does not show that "
                "there is no effect."
            )
        else:
            sentences.append(f"{name}: no map ({row['note'] or 'nothing varies'}).")
    return sentences


def _unusual(distances: pd.DataFrame) -> list[str]:
    """Say how much is unusual, of one visit of each subject: the others have no z-scores."""
    beyond = distances.set_index("unit")["atlas_z_beyond_pct"].dropna()
    if not (beyond > 0).any():
        return [
            f"No voxel of {plural(len(beyond), 'subject')} has a z-score beyond 3 among the other "
            "subjects of the group (0.3% of the voxels do by chance)."
        ]
    highest = beyond[beyond > 0].sort_values(ascending=False, kind="stable").head(3)
    listed = ", ".join(f"{unit} ({share:.2g}%)" for unit, share in highest.items())
    return [
        f"In {plural(len(beyond), 'subject')} a median of {beyond.median():.2g}% of the voxels "
        "have a z-score beyond 3 among the other subjects of their group (0.3% by chance); most "
        f"in {listed}."
    ]
