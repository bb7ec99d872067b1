"""What DICOM files hold of phase-contrast flow: phase, magnitude, and the velocity encoding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import pydicom

from popscan.io.dicom_ge import GE_TAGS, GeImage, ge_image
from popscan.io.dicom_header import Plane, read_plane, text_of
from popscan.io.dicom_images import is_single_image, read_headers
from popscan.io.dicom_kind import image_type, is_phase
from popscan.io.dicom_venc import PRIVATE_TAGS, encodes_in_plane, ge_venc_cm_s, read_venc_cm_s
from popscan.io.rawfile import RawFile
from popscan.records import SubjectError

#: Read beside those of every image; the texts are compared, and never written.
_NAMES = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
_TAGS: tuple[str | tuple[int, int], ...] = (
    *_NAMES, "MRVelocityEncodingSequence", "ComplexImageComponent", *PRIVATE_TAGS,
    *GE_TAGS,
)  # fmt: skip
#: Image types, and ends of names of series, of complex differences: still tissue is dark there.
_DIFFERENCE = frozenset({"MAG", "MSUM", "M_PCA", "ANGIO"})
_DIFFERENCE_NAME = re.compile(r"_(?:MAG|MSUM)$", re.IGNORECASE)


class Part(StrEnum):
    """What one image is."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    IN_PLANE = "phase of a direction along the plane"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class FlowImage:
    """One image.

    Attributes
    ----------
    plane
        Where it lies.
    part
        What it is.
    names
        What the header calls series and sequence.
    venc_cm_s, venc_by
        Velocity encoding of a phase image and who says so; 0 where no tag does.
    conflict
        Why its velocities cannot be used; None where they can. Raised only where the image is
        among those that are chosen.
    """

    plane: Plane
    part: Part
    names: str
    venc_cm_s: float = 0.0
    venc_by: str = ""
    conflict: SubjectError | None = None


#: Real and imaginary parts, which are signed as phase is.
_COMPLEX = frozenset({"R", "I", "REAL", "IMAGINARY"})
_PHASE = frozenset({"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP"})


def read_images(folder: str, files: Sequence[RawFile]) -> tuple[list[FlowImage], int]:
    """Read the headers of a visit; also how many files are damaged, or none of these images.

    Raises
    ------
    SubjectError
        ``no_files``, ``not_dicom``, ``damaged_files``, ``mixed_patients``.
    """
    return read_headers(folder, files, _image, further=_TAGS)


def _image(file: RawFile, data: pydicom.Dataset) -> FlowImage | None:
    """Return what a file is; None for what is no single grey MR image with a place."""
    if not is_single_image(data):
        return None
    plane = read_plane(file, data)
    names = " ".join(text_of(data, tag) for tag in _NAMES)
    ge = ge_image(data, venc_cm_s=ge_venc_cm_s(data))
    if ge is GeImage.MAGNITUDE:
        return FlowImage(plane=plane, part=Part.MAGNITUDE, names=names)
    if ge is GeImage.ALONG:
        return FlowImage(plane=plane, part=Part.IN_PLANE, names=names)
    if ge is GeImage.VELOCITY:
        return _phase(data, plane, names)
    if ge is GeImage.WEIGHTED:
        weighted = SubjectError(
            "bad_phase",
            "GE's velocities are multiplied by the magnitude (magnitude mask on); reconstruct them "
            "without it",
        )
        return replace(_phase(data, plane, names), conflict=weighted)
    kinds = set(image_type(data)[2:])
    component = text_of(data, "ComplexImageComponent").upper()
    if component in _COMPLEX or (kinds & _COMPLEX and not kinds & _PHASE):
        return FlowImage(plane=plane, part=Part.OTHER, names=names)
    if is_phase(data):
        return _phase(data, plane, names)
    magnitude = bool(kinds & {"M", "M_FFE", "FFE"}) or not kinds
    difference = kinds & _DIFFERENCE or _DIFFERENCE_NAME.search(
        text_of(data, "SeriesDescription")
    )  # fmt: skip
    part = Part.MAGNITUDE if magnitude and not difference else Part.OTHER
    return FlowImage(plane=plane, part=part, names=names)


def _phase(data: pydicom.Dataset, plane: Plane, names: str) -> FlowImage:
    if encodes_in_plane(data):
        return FlowImage(plane=plane, part=Part.IN_PLANE, names=names)
    try:
        venc, by = read_venc_cm_s(data)
    except SubjectError as error:
        conflict = error if error.reason == "conflicting_venc" else None
        return FlowImage(plane=plane, part=Part.PHASE, names=names, conflict=conflict)
    return FlowImage(plane=plane, part=Part.PHASE, names=names, venc_cm_s=venc, venc_by=by)
