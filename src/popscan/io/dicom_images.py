"""Headers of a visit's single images, whatever a reader makes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import pydicom
from pydicom.errors import InvalidDicomError

from popscan.io.dicom_header import DAMAGE, Plane, has_place, open_dicom
from popscan.io.dicom_kind import foreign_modality, is_colour
from popscan.io.rawfile import RawFile
from popscan.records import SubjectError


class HasPlane(Protocol):
    """An image with its place."""

    @property
    def plane(self) -> Plane:
        """Header of the image."""


Image = TypeVar("Image", bound=HasPlane)


def is_single_image(data: pydicom.Dataset) -> bool:
    """Whether a file is a single grey MR image with a place."""
    single = int(data.get("NumberOfFrames") or 1) == 1
    return single and not foreign_modality(data) and not is_colour(data) and has_place(data)


def read_headers(
    folder: str,
    files: Sequence[RawFile],
    image_of: Callable[[RawFile, pydicom.Dataset], Image | None],
    *,
    further: Sequence[str | tuple[int, int]],
) -> tuple[list[Image], int]:
    """Read the headers of a visit; also how many files are damaged, or none of these images.

    Parameters
    ----------
    folder
        Of the visit, for messages.
    files
        At least one.
    image_of
        What a file is; None for what is not wanted.
    further
        Tags that are read beside those of every image.

    Raises
    ------
    SubjectError
        ``no_files``, ``not_dicom``, ``damaged_files``, ``mixed_patients``, and those of `image_of`.
    """
    if not files:
        raise SubjectError("no_files", f"{folder}: the folder is empty")
    images: list[Image] = []
    damaged = others = 0
    for file in files:
        try:
            if not file.is_regular():
                continue
            data = open_dicom(file, headers_only=True, further=further)
        except InvalidDicomError:
            continue
        except DAMAGE:
            damaged += 1
            continue
        try:
            image = image_of(file, data)
        except DAMAGE:
            damaged += 1
            continue
        images += [image] if image is not None else []
        others += image is None
    if not images:
        reason = "damaged_files" if damaged else "not_dicom"
        raise SubjectError(
            reason,
            f"{folder}: no usable MR image among {len(files)} files ({damaged} damaged, {others} "
            "of another kind)",
        )
    if len({image.plane.patient_alike for image in images if image.plane.patient_alike}) > 1:
        raise SubjectError("mixed_patients", f"{folder}: images of several patients")
    return images, damaged + others
