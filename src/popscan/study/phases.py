"""Frames of a scan that have a name, found on its labels: the same for every stage."""

from __future__ import annotations

from popscan.protocol import Protocol, load
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import LabelMap, Scan


def phases_of(scan: Scan, labels: LabelMap, protocol: Protocol | None = None) -> dict[str, int]:
    """Frame of each named phase, as the protocol finds them.

    Biomarkers and QC find the same ones; where these leave a phase unknown, stages that need one
    frame of it get the first that is labelled.

    Parameters
    ----------
    scan
        For the names of its frames where the source knows them.
    labels
        Segmentation or reference on its grid.
    protocol
        The study's; the default protocol where none is given.

    Returns
    -------
    dict
        Phase -> frame, at least one; of a protocol without phases the first labelled frame, without
        a name.
    """
    protocol = protocol or get_protocol(DEFAULT)
    if not protocol.phases:
        return {"": labels.frames[0] if labels.frames else 0}
    named: dict[str, int] = load(protocol.phases)(
        labels.array, frames=labels.frames, frame_labels=scan.meta.get("frame_labels")
    )
    return named
