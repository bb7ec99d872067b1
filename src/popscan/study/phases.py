"""Frames of a scan that have a name, found on its labels: the same for every stage."""

from __future__ import annotations

from popscan.protocols.cine_sax.volumes import phase_frames
from popscan.records import LabelMap, Scan


def phases_of(scan: Scan, labels: LabelMap) -> dict[str, int]:
    """Frame of each named phase.

    Biomarkers and QC find the same ones; where these leave a phase unknown, stages that need one
    frame of it get the first that is labelled.

    Parameters
    ----------
    scan
        For the names of its frames where the source knows them.
    labels
        Segmentation or reference on its grid.
    """
    return phase_frames(
        labels.array,
        frames=labels.frames,
        frame_labels=scan.meta.get("frame_labels"),
    )
