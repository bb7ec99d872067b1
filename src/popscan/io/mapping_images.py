"""What DICOM files hold of a map of relaxation times: raw images, their phase, ready-made maps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pydicom

from popscan.io.dicom_header import Plane, read_plane, text_of
from popscan.io.dicom_images import is_single_image, read_headers
from popscan.io.dicom_kind import image_type, is_phase
from popscan.io.rawfile import RawFile
from popscan.records import SubjectError

#: Read beside those of every image; the texts are compared, and never written.
_TAGS = (
    "InversionTime", "ImageComments", "SeriesDescription", "ProtocolName", "SequenceName",
    "PulseSequenceName",
)  # fmt: skip
_NAMES = _TAGS[2:]
#: How comments say an inversion time (Siemens): ``TIeff 100 ms``.
_COMMENT = re.compile(r"\bTI(?:eff)?\s*=?\s*(\d+(?:\.\d+)?)\s*ms\b", re.IGNORECASE)
#: How far tag and comment may differ, in ms.
_SAME_MS = 1.5
_MAP = re.compile(r"(?<![A-Za-z])T1[ _-]?MAP(?![A-Za-z])", re.IGNORECASE)


class Part(StrEnum):
    """What one image is."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    MAP = "map"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class MapImage:
    """One image.

    Attributes
    ----------
    plane
        Where it lies.
    part
        What it is.
    time_ms
        Inversion time; NaN where the file says none.
    names
        What the header calls series and sequence.
    named_map
        Whether the image's own comment or type says that it is a map, not its series only.
    half
        Half of what its pixels can hold, after rescaling: pi, of a phase image scaled like that.
    centred
        Whether rescaling puts 0 in their middle, as it does for phase whose turn they all hold.
    """

    plane: Plane
    part: Part
    time_ms: float
    names: str
    named_map: bool
    half: float
    centred: bool


def read_images(folder: str, files: Sequence[RawFile]) -> tuple[list[MapImage], int]:
    """Read the headers of a visit; also how many files are damaged, or none of these images.

    Raises
    ------
    SubjectError
        ``no_files``, ``not_dicom``, ``damaged_files``, ``mixed_patients``, ``conflicting_times``.
    """
    return read_headers(folder, files, _image, further=_TAGS)


def _image(file: RawFile, data: pydicom.Dataset) -> MapImage | None:
    """Return what a file is; None for what is no single grey MR image with a place."""
    if not is_single_image(data):
        return None
    plane = read_plane(file, data)
    names = " ".join(text_of(data, tag) for tag in _NAMES)
    comment = text_of(data, "ImageComments")
    own = f"{comment} {' '.join(image_type(data)[2:])}"
    time = _time_ms(data, comment)
    if math.isfinite(time):
        part = Part.PHASE if is_phase(data) else Part.MAGNITUDE
    elif _MAP.search(own) or _MAP.search(names):
        part = Part.MAP
    else:
        part = Part.OTHER
    bits = int(data.get("BitsStored") or 0)
    half = 2.0 ** (bits - 1) * abs(plane.slope) if bits else math.nan
    return MapImage(
        plane=plane, part=part, time_ms=time, names=names, named_map=bool(_MAP.search(own)),
        half=half, centred=plane.intercept == -half,
    )  # fmt: skip


def _time_ms(data: pydicom.Dataset, comment: str) -> float:
    """Inversion time by (0018,0082), else by the comment."""
    value = text_of(data, "InversionTime")
    tagged = float(value) if value else math.nan
    found = _COMMENT.search(comment)
    noted = float(found[1]) if found else math.nan
    if math.isfinite(tagged) and math.isfinite(noted) and abs(tagged - noted) > _SAME_MS:
        raise SubjectError(
            "conflicting_times",
            f"inversion time {tagged:g} ms by its tag, {noted:g} ms by the image's comment",
        )
    return tagged if math.isfinite(tagged) else noted
