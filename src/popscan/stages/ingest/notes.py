"""What ingest says of a subject that it could read: what was open, contradicted or not used."""

from __future__ import annotations

import math
from collections.abc import Mapping

from popscan.io.sources import Loaded
from popscan.records import LabelMap, Scan


def unlabelled_notes(loaded: Loaded, used: Mapping[str, LabelMap]) -> list[str]:
    """Say which frames' label files hold no label."""
    empty = {
        view: sorted(set(loaded.labels[view].frames) - set(labels.frames))
        for view, labels in used.items()
    }
    return [
        f"{view}: no voxel is labelled in frame {', '.join(str(t + 1) for t in frames)}: not scored"
        for view, frames in empty.items()
        if frames
    ]


def header_notes(scan: Scan) -> list[str]:
    """Say what a header leaves open or contradicts, and what was done about it."""
    meta, notes = scan.meta, []
    if meta.get("frame_time_unit_assumed"):
        notes.append(f"time step without a unit taken as {meta['frame_time_unit_assumed']}")
    if meta.get("spacing_conflict_pct") and "sform_spacing_mm" not in meta:
        notes.append(
            f"slices lie {scan.spacing_mm[2]:g} mm apart, which is their thickness; the sidecar "
            f"says {meta.get('stated_step_mm', math.nan):g} mm"
        )
    elif meta.get("spacing_conflict_pct"):
        sform, pixdim, used = (
            " x ".join(f"{step:g}" for step in steps)
            for steps in (
                meta.get("sform_spacing_mm", ()),
                meta.get("pixdim_spacing_mm", ()),
                scan.spacing_mm,
            )
        )
        notes.append(f"sform says {sform} mm, pixdim {pixdim} mm; {used} mm is used")
    if meta.get("standard_space"):
        notes.append(
            f"brought to the space {meta['standard_space']}, as header or name say: sizes may be "
            "the atlas's"
        )
    if meta.get("orientation_conflict_deg"):
        notes.append(
            f"axes of sform and qform lie {meta['orientation_conflict_deg']:g} degrees apart; the "
            "sform is used"
        )
    return notes
