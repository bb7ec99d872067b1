"""How phase-contrast images are read (``source.flow``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from popscan.config.section import Section


class FlowInput(Section):
    """Protocols of flow: what files do not say of their images."""

    name: str = Field(
        default="",
        description="Part of the names of the files (bids) or series (dicom, ukb) to take, where "
        "there are several: planes of several vessels, say.",
    )
    venc_cm_s: float = Field(
        default=0.0,
        ge=0,
        le=800,
        description="Velocity encoding in cm/s, where the files do not say it; 0: they must. One "
        "that contradicts the files is refused.",
    )
    phase: Literal[
        "auto",
        "radians",
        "milliradians",
        "degrees",
        "half_turns",
        "4096ths",
        "2048ths",
        "cm_s",
        "mm_s",
        "m_s",
    ] = Field(
        default="auto",
        description="What phase images hold: an angle (4096ths and 2048ths are of half a turn), or "
        "velocities. auto: as the sidecar's Units say, else what the range of the values leaves no "
        "doubt of; others are refused.",
    )
    positive: Literal["auto", "head", "feet", "front", "back", "left", "right"] = Field(
        default="auto",
        description="Where blood of positive velocity flows to, as scanner and protocol have it. "
        "auto: forward is the direction of a vessel's largest flow, and QC compares vessels with "
        "each other only.",
    )
