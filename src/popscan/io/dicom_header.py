"""What popscan reads of a DICOM file's header, and nothing else.

Tags are an explicit allow-list: name, birth date, sex, address, dates, institution, station and
serial numbers are not even parsed. The patient's identifier is read for one purpose, to notice two
patients in one folder, and kept as a hash that never leaves memory.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from popscan.io.dicom_enhanced import frame_headers
from popscan.io.sources import list_files
from popscan.records import SubjectError

#: What reading a torn or senseless file raises. pydicom's words may hold bytes of the header: they
#: are never told.
DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    NotImplementedError, struct.error, BytesLengthException, InvalidDicomError,
)  # fmt: skip
#: Many archives hold values that break the standard's rules for text; only a few numbers matter
#: here, and each is checked when it is used.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

_GEOMETRY_TAGS = ["Rows", "Columns", "PixelSpacing", "ImagePositionPatient"]
_GEOMETRY_TAGS += ["ImageOrientationPatient", "FrameOfReferenceUID", "NumberOfFrames"]
_VALUE_TAGS = ["RescaleSlope", "RescaleIntercept"]
_ENHANCED_TAGS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
_ORDER_TAGS = ["SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"]
_ORDER_TAGS += ["TriggerTime", "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime"]
_ORDER_TAGS += ["SOPInstanceUID", "StudyInstanceUID", "ImageType", "Modality", "PatientID"]
#: Tag -> key of ``Scan.meta``: everything of a header that is ever written to a file.
META_TAGS = {
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "model",
    "MagneticFieldStrength": "field_strength_t",
    "SliceThickness": "slice_thickness_mm",
    "EchoTime": "echo_time_ms",
    "RepetitionTime": "repetition_time_ms",
    "FlipAngle": "flip_angle_deg",
    "NominalInterval": "rr_ms",
    "HeartRate": "heart_rate_bpm",
    "CardiacNumberOfImages": "n_frames_told",
    "ScanningSequence": "scanning_sequence",
}
_TEXT_META = frozenset({"manufacturer", "model", "scanning_sequence"})
_TAGS = [*_GEOMETRY_TAGS, *_VALUE_TAGS, *_ORDER_TAGS, *_ENHANCED_TAGS, *META_TAGS]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One image of a folder: where it lies, when it was taken, where its pixels are.

    Attributes
    ----------
    path, frame
        The file, and the number of the frame in a multi-frame file (-1 in others).
    orientation, position
        ImageOrientationPatient (6, orthonormal) and ImagePositionPatient (3), LPS mm.
    rows, columns, row_spacing_mm, column_spacing_mm
        The pixel grid.
    series, study, frame_of_reference, instance_uid, patient
        Identifiers, compared and never written; `patient` is a hash.
    series_number, acquisition, instance, temporal
        Numbers that order images; -1 where the file does not say.
    trigger_ms
        Time after the R wave; NaN where the file does not say.
    time, content_time
        AcquisitionTime (or ContentTime), and ContentTime, as text, for ordering.
    slope, intercept
        From stored to real values.
    meta
        Values of `META_TAGS`, under their keys.
    """

    path: str
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    rows: int
    columns: int
    row_spacing_mm: float
    column_spacing_mm: float
    series: str
    study: str
    frame_of_reference: str
    instance_uid: str
    patient: str
    series_number: int
    acquisition: int
    instance: int
    temporal: int
    trigger_ms: float
    time: str
    content_time: str
    frame: int = -1
    slope: float = 1.0
    intercept: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What lies in a subject's folder: planes, and counts of what was left aside."""

    planes: list[Plane]
    n_files: int
    n_other: int
    n_multiframe: int
    n_damaged: int


def read_folder(folder: str | Path) -> Folder:
    """Read the header of every DICOM image below `folder`; other files are counted.

    Raises
    ------
    SubjectError
        ``no_files``, ``not_dicom``, ``damaged_files``, ``unsupported_multiframe``,
        ``mixed_patients``, or ``no_planes`` if no image has a position.
    """
    files = list_files(folder)
    if not files:
        raise SubjectError("no_files", f"{folder}: the folder is empty")
    planes: dict[str, Plane] = {}
    counts = {"other": 0, "multiframe": 0, "damaged": 0, "dicom": 0}
    for path in files:
        kind, found = _read_planes(path)
        counts[kind] += 1
        for plane in found:
            planes.setdefault(plane.instance_uid or f"{path}#{plane.frame}", plane)
    if counts["multiframe"] and not planes:
        raise SubjectError(
            "unsupported_multiframe",
            f"{folder}: multi-frame DICOM whose frames have no positions; convert it to "
            "single-frame files first (e.g. with dcm4che's emf2sf)",
        )
    if not planes and counts["damaged"]:
        raise SubjectError(
            "damaged_files",
            f"{folder}: no usable image; {counts['damaged']} files are damaged or lie nowhere",
        )
    if counts["other"] == len(files):
        raise SubjectError("not_dicom", f"{folder}: none of its {len(files)} files is DICOM")
    if not planes:
        raise SubjectError("no_planes", f"{folder}: no DICOM image with a position in the patient")
    patients = {plane.patient for plane in planes.values()} - {""}
    if len(patients) > 1:
        raise SubjectError(
            "mixed_patients", f"{folder}: images of {len(patients)} patients in one folder"
        )
    return Folder(
        planes=list(planes.values()),
        n_files=len(files),
        n_other=counts["other"],
        n_multiframe=counts["multiframe"],
        n_damaged=counts["damaged"],
    )


def open_dicom(path: str, *, headers_only: bool) -> pydicom.FileDataset:
    """Read a file with or without the 128 bytes and the letters DICM at its start.

    Raises
    ------
    InvalidDicomError
        If it is no DICOM file.
    """
    tags: list[Any] | None = _TAGS if headers_only else None
    try:
        return pydicom.dcmread(path, stop_before_pixels=headers_only, specific_tags=tags)
    except InvalidDicomError:
        with open(path, "rb") as file:
            start = file.read(8)
        # Old archives lack the preamble: such files start with a group 8 element of a few bytes.
        if start[:2] not in (b"\x08\x00", b"\x02\x00") or start[3:4] != b"\x00":
            raise
        return pydicom.dcmread(
            path, stop_before_pixels=headers_only, specific_tags=tags, force=True
        )


def _read_planes(path: str) -> tuple[str, list[Plane]]:
    """Return what the file is (a key of the counts) and its planes."""
    try:
        data = open_dicom(path, headers_only=True)
    except (InvalidDicomError, IsADirectoryError):
        return "other", []
    except DAMAGE:
        return "damaged", []
    try:
        n_frames = int(data.get("NumberOfFrames") or 1)
        if n_frames == 1 and _is_image(data):
            return "dicom", [_plane(path, data)]
        if data.get("PerFrameFunctionalGroupsSequence"):
            frames = list(frame_headers(data))[:n_frames]
            planes = [_plane(path, f, frame=i) for i, f in enumerate(frames) if _is_image(f)]
            return ("dicom" if planes else "multiframe"), planes
        return ("multiframe" if n_frames > 1 else "dicom"), []
    except DAMAGE:
        return "damaged", []


def _is_image(data: pydicom.Dataset) -> bool:
    """Whether this is a magnitude image of a plane (no phase map, report or screen shot)."""
    if any(data.get(tag) in (None, "") for tag in _GEOMETRY_TAGS[:5]):
        return False
    kinds = [str(kind).upper() for kind in _many(data.get("ImageType"))]
    return not ({"P", "PHASE MAP", "PHASE CONTRAST M", "VELOCITY MAP"} & set(kinds[2:]))


def _plane(path: str, data: pydicom.Dataset, *, frame: int = -1) -> Plane:
    orientation = tuple(float(v) for v in data.ImageOrientationPatient)
    position = tuple(float(v) for v in data.ImagePositionPatient)
    spacing = tuple(float(v) for v in data.PixelSpacing)
    numbers = (*orientation, *position, *spacing)
    if (len(orientation), len(position), len(spacing)) != (6, 3, 2):
        raise ValueError("wrong number of values")
    if not all(math.isfinite(v) for v in numbers) or min(spacing) <= 0:
        raise ValueError("values that are not finite")
    lengths = np.linalg.norm(np.reshape(orientation, (2, 3)), axis=1)
    if abs(float(np.dot(orientation[:3], orientation[3:]))) > 0.02 or np.any(
        np.abs(lengths - 1) > 0.02
    ):
        raise ValueError("directions that are not at right angles")
    orientation = _orthonormal(orientation)
    patient = _text(data, "PatientID")
    content = _text(data, "ContentTime")
    return Plane(
        path=path,
        orientation=orientation,
        position=position,
        rows=int(data.Rows),
        columns=int(data.Columns),
        row_spacing_mm=spacing[0],
        column_spacing_mm=spacing[1],
        series=_text(data, "SeriesInstanceUID"),
        study=_text(data, "StudyInstanceUID"),
        frame_of_reference=_text(data, "FrameOfReferenceUID"),
        instance_uid=_text(data, "SOPInstanceUID"),
        patient=hashlib.sha256(patient.encode()).hexdigest() if patient else "",
        series_number=int(_number(data, "SeriesNumber", -1)),
        acquisition=int(_number(data, "AcquisitionNumber", -1)),
        instance=int(_number(data, "InstanceNumber", -1)),
        temporal=int(_number(data, "TemporalPositionIdentifier", -1)),
        trigger_ms=_number(data, "TriggerTime", math.nan),
        time=_text(data, "AcquisitionTime") or content,
        content_time=content,
        frame=frame,
        slope=_number(data, "RescaleSlope", 1.0) or 1.0,
        intercept=_number(data, "RescaleIntercept", 0.0),
        meta=_meta(data),
    )


def _orthonormal(orientation: tuple[float, ...]) -> tuple[float, ...]:
    """Undo the rounding of direction cosines: unit length, the column at a right angle."""
    row, column = np.reshape(orientation, (2, 3))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    return (*row.tolist(), *(column / np.linalg.norm(column)).tolist())


def _meta(data: pydicom.Dataset) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for tag, key in META_TAGS.items():
        if key in _TEXT_META:
            text = "\\".join(str(v) for v in _many(data.get(tag)))[:64].strip()
            if text:
                meta[key] = text
        else:
            value = _number(data, tag, math.nan)
            if math.isfinite(value) and value > 0:
                meta[key] = value
    return meta


def _many(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return (value,) if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else value


def _text(data: pydicom.Dataset, tag: str) -> str:
    value = data.get(tag)
    return "" if value is None else str(value).strip()


def _number(data: pydicom.Dataset, tag: str, default: float) -> float:
    value = data.get(tag)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return number if math.isfinite(number) else default
