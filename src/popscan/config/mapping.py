"""How images for maps of relaxation times are read (``source.mapping``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from popscan.config.section import Section


class MappingInput(Section):
    """Protocols of relaxation times: what files do not say of their images."""

    use: Literal["raw", "map"] = Field(
        default="raw",
        description="raw: fit raw images where there are any, else take the ready-made map; map: "
        "take the ready-made map only.",
    )
    name: str = Field(
        default="",
        description="Part of the names of the files (bids) or series (dicom) to take, where there "
        "are several: T1 before and after contrast agent, say.",
    )
    scheme: Literal["auto", "shmolli", "molli", "inversion_recovery"] = Field(
        default="auto",
        description="How raw images of T1 are fitted: shmolli chooses samples per voxel, molli "
        "takes all, both with the Look-Locker correction; inversion_recovery takes all without it. "
        "auto: as the header names its sequence; a series that names none is refused.",
    )
    unit: Literal["auto", "ms", "s"] = Field(
        default="auto",
        description="Unit of ready-made maps, after `factor`. auto: as the sidecar says, else what "
        "the values leave no doubt of; a map in another unit is refused.",
    )
    factor: float = Field(
        default=1.0, gt=0, le=10_000, description="Ready-made maps: stored value times this."
    )
