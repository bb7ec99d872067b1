"""What the columns of the truth mean."""

from __future__ import annotations

from popscan.columns import Column
from popscan.protocol import Protocol


def truth(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the truth: biomarkers, and what else the population knows."""
    further = protocol.simulation.columns() if protocol.simulation else {}
    return {**protocol.biomarkers.columns(), **further}
