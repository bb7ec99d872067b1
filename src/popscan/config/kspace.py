"""How raw k-space is read (``source.kspace``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from popscan.config.section import Section

#: A length in mm.
Millimetres = Annotated[float, Field(gt=0, le=1000)]


class KSpaceInput(Section):
    """Source kind `kspace`: what files don't say, and what is done before reconstruction."""

    coils: int = Field(
        default=12,
        ge=0,
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
