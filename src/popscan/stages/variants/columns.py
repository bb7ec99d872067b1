"""What the columns of the table variant_scores mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popscan.columns import Column, flag, text
from popscan.protocol import Protocol

if TYPE_CHECKING:
    import pandas as pd

    from popscan.study.study import Study


def scores(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of what reconstructions do to labels and biomarkers."""
    known = protocol.biomarkers.columns()
    columns = {
        "variant": text("reconstruction variant"),
        "in_use": flag("whether later stages read this variant"),
        "dice_mean": Column(
            "",
            "Dice of the labels that the model gives this variant and those it gives the reference "
            "image, mean over structures and frames",
        ),
        "dice_reference_labels": Column(
            "",
            "Dice with the reference labels, mean over structures and labelled frames; empty "
            "without such labels",
        ),
    }
    for name, words in protocol.labels.words.items():
        columns[f"dice_{name}"] = Column(
            "", f"Dice of the two segmentations, {words}, mean over frames; empty where neither has"
        )
    for outcome in protocol.outcomes:
        unit = known[outcome.name].unit if outcome.name in known else outcome.unit
        columns[outcome.name] = Column(unit, f"{outcome.words}, measured on this variant")
        columns[f"{outcome.name}_error"] = Column(
            unit, f"{outcome.words} of this variant less that of the reference image"
        )
    return columns


def variant_scores(study: Study) -> pd.DataFrame:
    """Return the table of a study that runs the stage; what an earlier run left is none."""
    table = study.table("variant_scores")
    return table if (study.ledger["stage"] == "variants").any() else table.iloc[:0]
