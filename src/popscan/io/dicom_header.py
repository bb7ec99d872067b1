"""What popscan reads of a DICOM file's header, and nothing else.

Tags are an explicit allow-list: name, birth date, sex, address, dates, institution, station and
serial numbers are not even parsed. The patient's identifier is read for one purpose, to notice two
patients in one folder, and kept as a hash that never leaves memory.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from popscan.io.dicom_contrast import CONTRAST_TAGS, NO_CONTRAST, Contrast, contrast_of
from popscan.io.dicom_deflated import check_inflated
from popscan.io.dicom_kind import KIND_TAGS, Origin, many, origin_of
from popscan.io.dicom_stored import is_inverted
from popscan.io.dicom_turn import AS_STORED, Turn
from popscan.io.rawfile import RawFile

#: What reading a torn or senseless file raises. pydicom's words may hold bytes of the header: they
#: are never reported.
DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    NotImplementedError, struct.error, BytesLengthException, InvalidDicomError,
)  # fmt: skip
#: Many archives hold values that break the standard's rules for text; only a few numbers matter
#: here, and each is checked when it is used.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

#: Largest image, and largest content of a file that is deflated as a whole.
_MAX_PIXELS, _MAX_INFLATED = 2**26, 2**29

_GEOMETRY_TAGS = ["Rows", "Columns", "PixelSpacing", "ImagePositionPatient"]
_GEOMETRY_TAGS += ["ImageOrientationPatient", "FrameOfReferenceUID", "NumberOfFrames"]
_VALUE_TAGS = ["RescaleSlope", "RescaleIntercept"]
_ENHANCED_TAGS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
_ORDER_TAGS = ["SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"]
_ORDER_TAGS += ["TriggerTime", "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime"]
_ORDER_TAGS += ["SOPInstanceUID", "StudyInstanceUID", "PatientID", "ImagesInAcquisition"]
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
_TAGS = [*_GEOMETRY_TAGS, *KIND_TAGS, *_VALUE_TAGS, *_ORDER_TAGS, *_ENHANCED_TAGS, *META_TAGS]
_TAGS += CONTRAST_TAGS


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One image of a folder: where it lies, when it was taken, where its pixels are.

    Attributes
    ----------
    file, frame
        Where it lies, and the number of the frame in a multi-frame file (-1 in others).
    orientation, position
        ImageOrientationPatient (6, orthonormal) and ImagePositionPatient (3), LPS mm.
    rows, columns, row_spacing_mm, column_spacing_mm
        The pixel grid.
    series, study, frame_of_reference, instance_uid, patient, patient_alike
        Identifiers, compared and never written; `patient` is a hash, `patient_alike` one of the
        identifier without case, spaces and leading zeros.
    series_number, acquisition, instance, temporal
        Numbers that order images; -1 where the file does not say.
    trigger_ms
        Time after the R wave; NaN where the file does not say.
    acquisition_time, content_time
        AcquisitionTime and ContentTime, as text, for ordering.
    slope, intercept
        From stored to real values.
    origin
        What the image was made from; the smaller, the better.
    promised
        Images of its series, as the header says; 0 where it does not.
    turn
        How the stored pixels are brought onto the grid that the other attributes describe.
    inverted
        Whether the smallest value is white; reading the pixels turns them.
    contrast
        How it was made.
    meta
        Values of `META_TAGS`, under their keys.
    """

    file: RawFile
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
    patient_alike: str
    series_number: int
    acquisition: int
    instance: int
    temporal: int
    trigger_ms: float
    acquisition_time: str
    content_time: str
    frame: int = -1
    slope: float = 1.0
    intercept: float = 0.0
    origin: Origin = Origin.ORIGINAL
    promised: int = 0
    turn: Turn = AS_STORED
    inverted: bool = False
    contrast: Contrast = NO_CONTRAST
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Path of its file, for order and messages."""
        return self.file.path

    @property
    def time(self) -> str:
        """When it was taken, as far as the file says."""
        return self.acquisition_time or self.content_time


def open_dicom(
    file: RawFile, *, headers_only: bool, further: Sequence[str | tuple[int, int]] = ()
) -> pydicom.FileDataset:
    """Read a file with or without the 128 bytes and the letters DICM at its start.

    Of headers only the tags of the allow-list are parsed, and those of `further`.

    Raises
    ------
    InvalidDicomError
        If it is no DICOM file.
    ValueError
        If it is packed and would unpack to more than any image.
    """
    tags: list[Any] | None = [*_TAGS, *further] if headers_only else None
    with file.open() as stream:
        check_inflated(stream, max_bytes=_MAX_INFLATED)
        stream.seek(0)
        try:
            return pydicom.dcmread(stream, stop_before_pixels=headers_only, specific_tags=tags)
        except InvalidDicomError:
            stream.seek(0)
            start = stream.read(8)
            # Old archives lack the preamble: such files start with a group 8 element of a few
            # bytes.
            if start[:2] not in (b"\x08\x00", b"\x02\x00") or start[3:4] != b"\x00":
                raise
            stream.seek(0)
            return pydicom.dcmread(
                stream, stop_before_pixels=headers_only, specific_tags=tags, force=True
            )


def has_place(data: pydicom.Dataset) -> bool:
    """Whether a header says where its image lies in the patient, and on which grid."""
    return not any(data.get(tag) in (None, "") for tag in _GEOMETRY_TAGS[:5])


def read_plane(file: RawFile, data: pydicom.Dataset, *, frame: int = -1) -> Plane:
    """Read the plane out of a header that has a place.

    Raises
    ------
    ValueError
        For geometry that cannot be; and what else of `DAMAGE` a senseless value raises.
    """
    if not 0 < int(data.Rows) * int(data.Columns) <= _MAX_PIXELS:
        raise ValueError("more pixels than an image has")
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
    patient = text_of(data, "PatientID")
    return Plane(
        file=file,
        orientation=orientation,
        position=position,
        rows=int(data.Rows),
        columns=int(data.Columns),
        row_spacing_mm=spacing[0],
        column_spacing_mm=spacing[1],
        series=text_of(data, "SeriesInstanceUID"),
        study=text_of(data, "StudyInstanceUID"),
        frame_of_reference=text_of(data, "FrameOfReferenceUID"),
        instance_uid=text_of(data, "SOPInstanceUID"),
        patient=_hash(patient),
        patient_alike=_hash(patient.casefold().replace(" ", "").lstrip("0") if patient else ""),
        series_number=int(_number(data, "SeriesNumber", -1)),
        acquisition=int(_number(data, "AcquisitionNumber", -1)),
        instance=int(_number(data, "InstanceNumber", -1)),
        temporal=int(_number(data, "TemporalPositionIdentifier", -1)),
        trigger_ms=_number(data, "TriggerTime", math.nan),
        acquisition_time=text_of(data, "AcquisitionTime"),
        content_time=text_of(data, "ContentTime"),
        frame=frame,
        slope=_number(data, "RescaleSlope", 1.0) or 1.0,
        intercept=_number(data, "RescaleIntercept", 0.0),
        origin=origin_of(data),
        promised=int(_number(data, "ImagesInAcquisition", 0)),
        inverted=is_inverted(data),
        contrast=contrast_of(data),
        meta=_meta(data),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


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
            text = "\\".join(str(v) for v in many(data.get(tag)))[:64].strip()
            if text:
                meta[key] = text
        else:
            value = _number(data, tag, math.nan)
            if math.isfinite(value) and value > 0:
                meta[key] = value
    return meta


def text_of(data: pydicom.Dataset, tag: str) -> str:
    """Return a value as text; empty where there is none."""
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
