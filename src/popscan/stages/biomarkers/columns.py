"""What the columns of the biomarkers mean, beside what the protocol measures."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, flag, text
from popscan.protocol import Protocol

_EXTRA: Mapping[str, Column] = {
    "qc_verdict": text("final QC verdict"),
    "analysed": flag("whether the subject is in the study's analyses"),
}


def biomarkers(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the biomarkers, of their intervals and of who is analysed."""
    return {**protocol.biomarkers.columns(), **_EXTRA}
