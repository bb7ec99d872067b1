"""How raw k-space is read (``source.kspace``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from popscan.config.section import Section

#: A length in mm.
Millimetres = Annotated[float, Field(gt=0, le=1000)]
#: A side of an image in pixels.
Side = Annotated[int, Field(ge=2, le=8192)]


class KSpaceInput(Section):
    """Source kind `kspace`: what files don't say, and what is done before reconstruction."""

    coils: int = Field(
        default=12,
        ge=0,
        le=1024,
        description="Compress to at most so many virtual coils; 0 keeps the scanner's.",
    )
    prewhiten: bool = Field(
        default=True,
        description="Decorrelate the coils' noise where the file holds noise scans.",
    )
    tick_ms: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="ISMRMRD: length of a tick of the time stamps in ms; 0: 2.5 for Siemens, and "
        "of other vendors frame times are unknown.",
    )
    dataset: str = Field(
        default="",
        description="HDF5 and MATLAB: name of the array; empty: the only complex one, or `kspace`.",
    )
    axes: str = Field(
        default="",
        pattern=r"^([cxyzt1]( [cxyzt1])*)?$",
        description="Arrays: what each axis is, in HDF5's order (of MATLAB files in MATLAB's): "
        "c coil, x readout, y phase encoding, z slice, t frame, 1 one entry; e.g. `x y c z t`. "
        "Empty: as fastMRI, CMRxRecon or BART have it.",
    )
    spacing_mm: list[Millimetres] = Field(
        default=[],
        max_length=3,
        description="Arrays: distance of pixels along x and y, and of slices, in mm.",
    )
    readout_oversampling: float = Field(
        default=1.0,
        ge=1,
        le=16,
        description="Arrays: field of view along the readout over that which is wanted.",
    )
    frame_step_ms: float = Field(
        default=0.0, ge=0, le=10_000, description="Arrays: time between frames in ms; 0: unknown."
    )
