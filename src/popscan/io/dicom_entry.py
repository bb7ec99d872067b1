"""One file of a subject's folder: what it is, and the planes that it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from popscan.io.dicom_enhanced import frame_headers
from popscan.io.dicom_header import DAMAGE, Plane, has_place, open_dicom, read_plane, text_of
from popscan.io.dicom_kind import (
    Kind,
    Origin,
    foreign_modality,
    is_colour,
    is_phase,
    origin_of,
    promises_image,
)
from popscan.io.rawfile import RawFile

_ENDINGS = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one file is.

    Attributes
    ----------
    kind
        What it is.
    planes
        Its planes; of colour images, too, which are never used.
    series
        Identifier of its series, compared and never written.
    modality
        Of what is no MR.
    n_images
        Images of the file, however many of them have a plane.
    n_unplaced
        Those of a file with planes that have no position.
    """

    kind: Kind
    planes: tuple[Plane, ...] = ()
    series: str = ""
    modality: str = ""
    n_images: int = 1
    n_unplaced: int = 0


def read_header(file: RawFile) -> Entry:
    """Read what a file is, and the planes that it holds.

    Nothing that a file holds raises: a torn or senseless one is `Kind.DAMAGED`.
    """
    if Path(file.path).name.upper() == "DICOMDIR":  # an index of files
        return Entry(kind=Kind.OTHER)
    try:
        if not file.is_regular():  # a pipe would wait for ever
            return Entry(kind=Kind.OTHER)
        data = open_dicom(file, headers_only=True)
    except (InvalidDicomError, IsADirectoryError):
        return Entry(kind=Kind.DAMAGED if _was_dicom(file) else Kind.OTHER)
    except FileNotFoundError:
        return Entry(kind=Kind.MISSING)
    except DAMAGE:
        return Entry(kind=Kind.DAMAGED)
    try:
        return _entry(file, data)
    except DAMAGE:
        return Entry(kind=Kind.DAMAGED)


def _was_dicom(file: RawFile) -> bool:
    """Whether a file that is no DICOM has its ending, is empty, or holds zeros where it starts."""
    try:
        with file.open() as stream:
            start = stream.read(1024)
    except OSError:
        return True
    return file.path.lower().endswith(_ENDINGS) or not start.strip(b"\0")


def _entry(file: RawFile, data: pydicom.Dataset) -> Entry:
    modality = foreign_modality(data)
    if modality:
        return Entry(kind=Kind.MODALITY, modality=modality)
    n_frames = int(data.get("NumberOfFrames") or 1)
    series = text_of(data, "SeriesInstanceUID")
    described = bool(data.get("PerFrameFunctionalGroupsSequence"))
    if n_frames == 1 and (has_place(data) or not described):
        if data.get("Rows") in (None, "") or data.get("Columns") in (None, ""):
            kind = Kind.DAMAGED if promises_image(data) else Kind.NO_IMAGE
            return Entry(kind=kind, series=series)
        if is_phase(data):
            return Entry(kind=Kind.PHASE, series=series)
        if not has_place(data):
            kind = Kind.COLOUR if is_colour(data) else Kind.UNPLACED
            return Entry(kind=Kind.CAPTURE if _is_capture(data) else kind, series=series)
        kind = Kind.COLOUR if is_colour(data) else Kind.IMAGE
        return Entry(kind=kind, planes=(read_plane(file, data),), series=series, n_images=1)
    frames = list(frame_headers(data)) if described else []
    if not frames and _is_capture(data):
        return Entry(kind=Kind.CAPTURE, series=series, n_images=n_frames)
    if not frames:
        return Entry(kind=Kind.MULTIFRAME, series=series, n_images=n_frames)
    if len(frames) != n_frames:
        return Entry(kind=Kind.MISCOUNTED, series=series, n_images=max(len(frames), n_frames))
    magnitude = [(i, frame) for i, frame in enumerate(frames) if not is_phase(frame)]
    if not magnitude:
        return Entry(kind=Kind.PHASE, series=series, n_images=n_frames)
    planes = tuple(read_plane(file, f, frame=i) for i, f in magnitude if has_place(f))
    kind = Kind.COLOUR if is_colour(data) else Kind.IMAGE
    return Entry(
        kind=kind if planes else Kind.MULTIFRAME,
        planes=planes,
        series=series,
        n_images=n_frames,
        n_unplaced=len(magnitude) - len(planes) if planes else 0,
    )


def _is_capture(data: pydicom.Dataset) -> bool:
    return origin_of(data) in (Origin.SECONDARY, Origin.ANNOTATED)
