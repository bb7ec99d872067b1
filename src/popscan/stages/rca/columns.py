"""What the columns of predicted Dice mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, text
from popscan.protocol import Protocol

_REST: Mapping[str, Column] = {
    "best_reference": text("reference case that the segmentation suited best"),
    "similarity": Column("", "correlation of the images with it, after registration"),
    "n_references": Column("", "reference cases that the segmentation was carried to"),
}


def subjects(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of predicted Dice, a row per subject."""
    return {
        "predicted_dice": Column("", "predicted Dice, mean over structures and phases"),
        **{
            f"predicted_dice_{name}": Column("", f"predicted Dice of {words}, mean over phases")
            for name, words in protocol.labels.words.items()
        },
        **_REST,
    }


def structures(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of predicted Dice, a row per subject, phase and structure."""
    phases = " or ".join(protocol.phase_names) or "empty"
    return {
        "phase": text(f"{phases}: as found on the segmentation"),
        "structure": text(protocol.labels.either),
        "predicted_dice": Column("", "Dice predicted by reverse classification accuracy"),
    }
