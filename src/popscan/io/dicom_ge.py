"""What one of GE's phase-contrast images is: its ImageType is OTHER for all of them.

GE's private flag (0043,xx30) of GEMS_PARM_01 distinguishes them where a velocity encoding is set
(other sequences use it for other things): 2 and 8 are the magnitude, 3, 4, 5 velocities to the
right or left, front or back, head or feet, 9, 10, 11 the same of oblique planes. The bit of value 2
in (0043,xx32) says that velocities are multiplied by the magnitude. Both are known from notes in
one open flow tool, made on a phantom in 2010; no statement of GE's was found, and no real GE file
was read here.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pydicom

from popscan.arrays.geometry import plane_normal
from popscan.io.dicom_kind import many

_CREATOR, _GROUP, _FLAG, _MASK = "GEMS_PARM_01", 0x0043, 0x30, 0x32
#: For readers that parse listed tags only.
GE_TAGS: tuple[tuple[int, int], ...] = tuple(
    (_GROUP, element)
    for block in range(0x10, 0x18)
    for element in (block, (block << 8) | _FLAG, (block << 8) | _MASK)
)
_MAGNITUDE = frozenset({2, 8})
#: Flag of a velocity -> axis of the patient.
_VELOCITY = {3: 0, 4: 1, 5: 2, 9: 0, 10: 1, 11: 2}
_WEIGHTED_BIT = 0b10
#: A normal belongs to an axis of the patient if it is so much longer along it than along others.
_CLEARLY = 1.1


class GeImage(StrEnum):
    """What an image of GE's phase contrast is."""

    MAGNITUDE = "magnitude"
    VELOCITY = "velocity through the plane"
    WEIGHTED = "velocity through the plane, multiplied by the magnitude"
    ALONG = "velocity along the plane, or in a direction that cannot be decided"


def ge_image(data: pydicom.Dataset, *, venc_cm_s: float) -> GeImage | None:
    """Return what GE's flags say of an image; None where they say nothing.

    Parameters
    ----------
    data
        A header with its private tags.
    venc_cm_s
        By GE's own tag; 0 without it.
    """
    flag = _number(data, _FLAG) if venc_cm_s > 0 else None
    if flag in _MAGNITUDE:
        return GeImage.MAGNITUDE
    if flag not in _VELOCITY:
        return None
    normal = np.abs(plane_normal([float(v) for v in data.ImageOrientationPatient]))
    axis = _VELOCITY[flag]
    if not normal[axis] > _CLEARLY * np.delete(normal, axis).max():
        return GeImage.ALONG
    weighted = (_number(data, _MASK) or 0) & _WEIGHTED_BIT
    return GeImage.WEIGHTED if weighted else GeImage.VELOCITY


def _number(data: pydicom.Dataset, element: int) -> int | None:
    try:
        value = data.private_block(_GROUP, _CREATOR)[element].value
        return int(next(iter(many(value)), 0))
    except (KeyError, TypeError, ValueError):
        return None
