"""What the columns of the table stopping mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popscan.columns import Column, flag, text
from popscan.protocol import Protocol

if TYPE_CHECKING:
    import pandas as pd

    from popscan.study.study import Study


def values(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of how long scans were, and of what that cost."""
    known = protocol.biomarkers.columns()
    columns = {
        "scan_seconds": Column("s", "seconds per slice at which the scan ended"),
        "full_seconds": Column("s", "seconds per slice of the whole scan"),
        "n_spokes": Column("", "spokes per frame at which the scan ended"),
        "passed": flag("whether every limit was reached; else the scan has its full length"),
        "not_reached": text("limits that the last look but one did not reach"),
        "simulated_spokes": flag("whether the spokes were simulated from images"),
        "dice_mean": Column(
            "",
            "Dice of the labels at the end of the scan and those of the full length, mean over "
            "structures and frames",
        ),
    }
    for outcome in protocol.outcomes:
        unit = known[outcome.name].unit if outcome.name in known else outcome.unit
        columns[outcome.name] = Column(unit, f"{outcome.words}, when the scan ended")
        columns[f"{outcome.name}_error"] = Column(
            unit, f"{outcome.words} when the scan ended less that of the full length"
        )
    return columns


def scan_lengths(study: Study) -> pd.DataFrame:
    """Return the table of a study that runs the stage; what an earlier run left is none."""
    table = study.table("stopping")
    return table if (study.ledger["stage"] == "stopping").any() else table.iloc[:0]
