"""Common spaces: where the subjects of a study are brought, to be averaged or compared.

A protocol declares them (`popscan.protocol.Protocol.atlas`, ``crops``); the stages atlas and rca
read them and know nothing else of the organ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["AtlasFrame", "CropFrame", "Cut", "Region"]

#: ``"module:name"``, as everywhere in a protocol.
Where = str


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of the organ of which an atlas has a probability map.

    Attributes
    ----------
    name
        Within columns and file names: ``white``.
    structures
        Names of the label set that make it up.
    words
        Within a sentence: ``the white matter``.
    colour
        Of its contours, ``#rrggbb``.
    level
        Its grey level in the image that steers the registration: far apart where two regions
        touch, and away from the background's 0.
    """

    name: str
    structures: tuple[str, ...]
    words: str
    colour: str
    level: float


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A slice of the atlas that the report shows.

    Attributes
    ----------
    title
        What it shows: ``axial``.
    axis
        Axis of the grid that it stands upright on.
    level
        Where, from 0 to 1 between the first and the last slice that holds `region`.
    region
        Name of a region (probability above one half); the whole grid where it has no such voxel.
    upward
        Whether the second of the remaining axes points up in the picture.
    """

    title: str
    axis: Literal[0, 1, 2]
    level: float
    region: str
    upward: bool = False


@dataclass(frozen=True, kw_only=True)
class AtlasFrame:
    """The frame in which subjects are averaged.

    Attributes
    ----------
    grid
        ``(*, spacing_mm) -> popscan.atlas.AtlasGrid``.
    prepare
        ``(image, labels, *, affine, spacing_mm, grid) -> popscan.atlas.Prepared`` of one frame,
        with a membership per region, in their order. Raises `SubjectError`.
    affine
        ``(grid) -> 4 x 4``: voxel of the grid -> RAS mm of the atlas's own space.
    regions
        What is averaged beside intensities.
    cuts
        Slices that the report shows.
    words
        What is averaged, for a sentence: ``brains``.
    legend
        A sentence that says which colour is what.
    phase
        Phase whose frame is averaged; empty: the protocol's first, or the only frame.
    smoothing_mm
        Stiffness of the registration's displacement.
    cycle
        ``(scan, labels, *, phases, n_phases, grid) -> popscan.atlas.cycle.Cycle`` of a series, in
        the pose of `phase`; `phases` are its named frames. Raises `SubjectError`. Empty where the
        organ does not move.
    """

    grid: Where
    prepare: Where
    affine: Where
    regions: tuple[Region, ...]
    cuts: tuple[Cut, ...]
    words: str = "subjects"
    legend: str = ""
    phase: str = ""
    smoothing_mm: float = 5.0
    cycle: Where = ""


@dataclass(frozen=True, kw_only=True)
class CropFrame:
    """Crops in the organ's own pose, on which subjects are compared with reference cases.

    Attributes
    ----------
    grid
        ``(*, inplane_mm, along_mm) -> popscan.register.crops.CropGrid``.
    frame
        ``(labels, *, spacing_mm) -> popscan.register.Frame`` of one frame. Raises `SubjectError`.
    fallback
        ``(labels, *, spacing_mm, like: Frame) -> Frame`` where labels are too poor for `frame`.
    around
        Within a sentence, what the crop lies around: ``the brain``.
    shown
        Structure whose map the report shows of those by which attributes are predicted; by default
        the first of the label set.
    """

    grid: Where
    frame: Where
    fallback: Where
    around: str
    shown: str = ""
