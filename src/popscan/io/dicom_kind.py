"""What kind of thing a DICOM file is: an image that was measured, a copy of one, or none at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Any

import pydicom

KIND_TAGS = (
    "SOPClassUID",
    "Modality",
    "ImageType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
    "ComplexImageComponent",
    "BitsStored",
)
#: Storage classes of other modalities, by the start of their UID, for files without a modality.
_FOREIGN_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.3": "US",
    "1.2.840.10008.5.1.4.1.1.6": "US",
    "1.2.840.10008.5.1.4.1.1.11": "PR",
    "1.2.840.10008.5.1.4.1.1.12": "XA",
    "1.2.840.10008.5.1.4.1.1.20": "NM",
    "1.2.840.10008.5.1.4.1.1.88": "SR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
}
_MR_IMAGES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PHASE = frozenset(
    {"P", "R", "I", "PHASE", "PHASE MAP", "PHASE CONTRAST M", "VELOCITY MAP", "VELOCITY"}
)


class Kind(StrEnum):
    """What a file is; the values are words for a person."""

    IMAGE = "images"
    OTHER = "files that are no DICOM"
    NO_IMAGE = "DICOM files without an image"
    MODALITY = "images of another modality"
    COLOUR = "colour images"
    PHASE = "phase images"
    CAPTURE = "screen captures"
    UNPLACED = "images without a position in the patient"
    MULTIFRAME = "multi-frame files without positions"
    MISCOUNTED = "frames of multi-frame files that miscount them"
    DAMAGED = "damaged files"
    MISSING = "links that lead nowhere"


class Origin(IntEnum):
    """What an image was made from: the smaller, the nearer to what was measured."""

    ORIGINAL = 0
    UNKNOWN = 1
    DERIVED = 2
    SECONDARY = 3
    ANNOTATED = 4
    PHASE_LIKE = 5


def many(value: Any) -> Iterable[Any]:
    """Return the values of an element, of which there may be none, one or several."""
    if value is None:
        return ()
    return (value,) if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else value


def foreign_modality(data: pydicom.Dataset) -> str:
    """Return the modality of a file that is no MR; empty where it is MR or does not say."""
    modality = str(next(iter(many(data.get("Modality"))), "")).strip().upper()
    if modality and modality != "MR":
        return modality if re.fullmatch(r"[A-Z]{2,8}", modality) else "an unknown kind"
    storage = str(data.get("SOPClassUID") or "")
    for start, name in _FOREIGN_CLASSES.items():
        if storage == start or storage.startswith(start + "."):
            return name
    return ""


def promises_image(data: pydicom.Dataset) -> bool:
    """Whether a file without rows and columns says that it is an MR image: it was cut short."""
    meta = getattr(data, "file_meta", None)
    storage = str(data.get("SOPClassUID") or getattr(meta, "MediaStorageSOPClassUID", "") or "")
    if not storage:
        return foreign_modality(data) == "" and bool(data.get("Modality"))
    return storage in _MR_IMAGES


def is_colour(data: pydicom.Dataset) -> bool:
    """Whether the pixels are colours: no value was measured there."""
    samples = data.get("SamplesPerPixel")
    photometric = str(data.get("PhotometricInterpretation") or "MONOCHROME2").upper()
    return samples not in (None, "", 1) or not photometric.startswith("MONOCHROME")


def is_phase(data: pydicom.Dataset) -> bool:
    """Whether this is a phase, real or imaginary image, or a velocity map."""
    if str(data.get("ComplexImageComponent") or "").upper() in ("PHASE", "REAL", "IMAGINARY"):
        return True
    return bool(_PHASE & set(image_type(data)[2:]))


def origin_of(data: pydicom.Dataset) -> Origin:
    """Say what an image was made from.

    Values that are scaled around zero by half of what the pixels can hold are those of a phase map
    whose image type was emptied.
    """
    kinds = set(image_type(data)[:2])
    if str(data.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        return Origin.ANNOTATED
    if _scaled_like_phase(data):
        return Origin.PHASE_LIKE
    storage = str(data.get("SOPClassUID") or "")
    if "SECONDARY" in kinds or f"{storage}.".startswith(f"{_SECONDARY_CAPTURE}."):
        return Origin.SECONDARY
    if "DERIVED" in kinds:
        return Origin.DERIVED
    return Origin.ORIGINAL if "ORIGINAL" in kinds else Origin.UNKNOWN


def _scaled_like_phase(data: pydicom.Dataset) -> bool:
    try:
        slope = float(data.get("RescaleSlope") or 1)
        offset = -float(data.get("RescaleIntercept") or 0)
        half = 2.0 ** (int(data.get("BitsStored") or 0) - 1) * abs(slope)
    except (TypeError, ValueError, OverflowError):
        return False
    return half > 1 and abs(offset - half) <= 0.01 * half


def image_type(data: pydicom.Dataset) -> list[str]:
    """Return the values of ImageType in capitals."""
    return [str(kind).strip().upper() for kind in many(data.get("ImageType"))]
