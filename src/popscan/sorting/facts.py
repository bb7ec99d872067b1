"""What is known of one series of an unknown tree: geometry, timing, a picture of it, its quality.

Names of files and folders and texts of headers are no facts: people choose them, and they may hold
identifiers. Directions and positions are LPS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Pixels along each side of a thumbnail, and the side in mm: the larger part of a body fits in it.
THUMB, THUMB_MM = 64, 320.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Named:
    """A name that a protocol gives to a series.

    Attributes
    ----------
    name
        Short name, for tables.
    sure
        From 0 to 1: 1 where the header says it, lower where it follows from where a plane lies.
    by
        What speaks for it, in a few words that hold nothing of the file.
    """

    name: str
    sure: float
    by: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One series.

    Attributes
    ----------
    place
        Its file or folder, relative to the root of the tree.
    subject, session
        Keys of whose it is and of which visit: compared, and never written. The subject is empty
        where neither a header nor a name by BIDS says it.
    guessed
        Whether the visit is no more than a folder: several subjects may lie there.
    dicom
        Whether it is DICOM, else NIfTI.
    n_images, n_slices, n_frames, n_directions
        Single images; places along the normal; most images of one place; different normals.
    matrix, spacing_mm
        Pixels and their size, along a row and along a column.
    slice_mm
        Distance between slices, or their thickness where there is one; NaN where unknown.
    row, column, normal
        Unit vectors of the plane; NaN where the orientation is not known.
    centre_mm
        Middle of the imaged volume; NaN where the orientation is not known.
    along_mm
        Where its slices lie along the normal.
    signed
        Whether values are those of a phase or of a velocity.
    derived
        Whether the header says that it was computed from other images.
    inversion_ms
        Distinct inversion times; empty where the header gives none.
    prepared
        Whether the header speaks of an inversion, or of encoded velocity.
    venc
        Whether a velocity encoding is given.
    span_ms
        From the first to the last frame of a slice, by trigger times where they are those of a
        cycle, else by the time of the day; NaN where the header does not say.
    echo_ms, repetition_ms
        NaN where the header does not say.
    change
        Share of the intensity that changes over the frames where most of it changes (0 to 1).
    focus
        Share of that change within 60 mm of its centre: 1 where a single organ moves.
    closing
        Difference of the last frame from the first over the largest one of neighbours, of those
        looked at: about 1 or less for a closed cycle, more for a drift. NaN with fewer than 5
        frames.
    change_mm
        Centre of that change; NaN without.
    median, high
        Median and 99th percentile of the values above a tenth of the range.
    thumb : ndarray of uint8, shape (2, THUMB, THUMB)
        Mean over the frames of the middle slice, and change over the frames.
    volume : ndarray of float32, shape (x, y, z), or None
        Of volumes: values on a grid of `volume_mm`, axes to left, posterior, superior.
    volume_mm
        Its grid.
    sharpness, noise
        See `popscan.sorting.quality`.
    incomplete
        What is missing or doubtful: ``frames``, ``slices``, ``blank``; empty for nothing.
    aside_mm
        How far its plane passes the place that changes most in the visit; NaN for several slices,
        or where nothing changes.
    named
        What protocols call it, the surest first.
    """

    place: str
    subject: str
    session: str
    dicom: bool
    n_images: int
    n_slices: int
    n_frames: int
    matrix: tuple[int, int]
    spacing_mm: tuple[float, float]
    slice_mm: float
    row: Floats
    column: Floats
    normal: Floats
    centre_mm: Floats
    thumb: NDArray[np.uint8]
    guessed: bool = False
    n_directions: int = 1
    along_mm: tuple[float, ...] = ()
    signed: bool = False
    derived: bool = False
    inversion_ms: tuple[float, ...] = ()
    prepared: bool = False
    venc: bool = False
    span_ms: float = math.nan
    echo_ms: float = math.nan
    repetition_ms: float = math.nan
    change: float = 0.0
    focus: float = 0.0
    closing: float = math.nan
    change_mm: Floats = field(default_factory=lambda: np.full(3, np.nan))
    median: float = math.nan
    high: float = math.nan
    volume: NDArray[np.float32] | None = None
    volume_mm: float = math.nan
    sharpness: float = math.nan
    noise: float = math.nan
    incomplete: tuple[str, ...] = ()
    aside_mm: float = math.nan
    named: tuple[Named, ...] = ()

    @property
    def oriented(self) -> bool:
        """Whether it is known where it lies in the body."""
        return bool(np.isfinite(self.normal).all())

    @property
    def fov_mm(self) -> tuple[float, float]:
        """Field of view along a row and along a column."""
        return self.matrix[0] * self.spacing_mm[0], self.matrix[1] * self.spacing_mm[1]

    def same_plane(self, other: Facts, *, within_mm: float = 1.0) -> bool:
        """Whether another series shows the same slices on the same grid."""
        if self.matrix != other.matrix or not (self.oriented and other.oriented):
            return False
        if not np.allclose(self.spacing_mm, other.spacing_mm, rtol=0.01):
            return False
        if self.n_slices != other.n_slices or abs(float(self.normal @ other.normal)) < 0.999:
            return False
        return float(np.linalg.norm(self.centre_mm - other.centre_mm)) <= within_mm
