"""What the columns of the tables of motion mean: the protocol says."""

from __future__ import annotations

from popscan.columns import Column
from popscan.protocol import Protocol


def values(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the motion, a row per subject."""
    return dict(protocol.motion.columns()) if protocol.motion else {}


def rows(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the motion, a row per subject and segment."""
    return dict(protocol.motion.row_columns()) if protocol.motion else {}
