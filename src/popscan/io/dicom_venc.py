"""Velocity encoding of a phase-contrast image, wherever its vendor writes it.

The standard has MR Velocity Encoding (0018,9197) of enhanced files, in cm/s. Classic files have
private tags, by their creator (names as in pydicom's dictionary of private tags):

- GE: GEMS_ACQU_01, (0019,xxCC) "Velocity encoding", in mm/s;
- Philips: Philips Imaging DD 001, (2001,xx1A) "PC Velocity", one number per direction in cm/s,
  0 for directions that are not encoded;
- Siemens: SIEMENS MR HEADER, (0051,xx14), a text like ``v150in`` or ``v33_through`` (through the
  plane, in cm/s; ``ap``, ``rl``, ``fh`` are other directions), or a sequence name ending in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pydicom

from popscan.io.dicom_kind import many
from popscan.records import SubjectError

_GE, _PHILIPS, _SIEMENS = "GEMS_ACQU_01", "Philips Imaging DD 001", "SIEMENS MR HEADER"
_TEXT = re.compile(r"v(\d{1,3}(?:\.\d+)?)_?(in|ap|rl|fh|through|$)", re.IGNORECASE)
#: Directions that are not through the plane.
_IN_PLANE = ("ap", "rl", "fh")
#: Private tags, with the creators of their blocks, for readers that parse listed tags only.
PRIVATE_TAGS: tuple[tuple[int, int], ...] = tuple(
    tag
    for group, element in ((0x0019, 0xCC), (0x2001, 0x1A), (0x0051, 0x14))
    for block in range(0x10, 0x18)
    for tag in ((group, block), (group, (block << 8) | element))
)
#: Two places that differ by more are not the same encoding.
_SAME = 0.02


def read_venc_cm_s(data: pydicom.Dataset) -> tuple[float, str]:
    """Return the encoding through the plane, and who says so.

    Parameters
    ----------
    data
        A header with its private tags.

    Returns
    -------
    venc_cm_s, by
        ``standard``, ``ge``, ``philips`` or ``siemens``.

    Raises
    ------
    SubjectError
        ``no_venc`` where none of these places says it, ``conflicting_venc`` where they differ or
        several directions are encoded.
    """
    found = {
        name: values
        for name, values in (
            ("standard", _standard(data)),
            ("ge", [v / 10.0 for v in _private(data, _GE, 0x0019, 0xCC)]),
            ("philips", _private(data, _PHILIPS, 0x2001, 0x1A)),
            ("siemens", _siemens(data)),
        )
        if values
    }
    numbers = [value for values in found.values() for value in values]
    if not numbers:
        raise SubjectError("no_venc", "no tag gives the velocity encoding of a phase image")
    if max(numbers) > (1.0 + _SAME) * min(numbers):
        listed = ", ".join(f"{value:g}" for value in numbers[:6])
        raise SubjectError(
            "conflicting_venc",
            f"velocity encodings {listed} cm/s ({', '.join(found)}); one expected, that of the "
            "plane's normal",
        )
    return numbers[0], next(iter(found))


def ge_venc_cm_s(data: pydicom.Dataset) -> float:
    """Return the encoding that GE's own tag gives; 0 where it gives none."""
    return max((v / 10.0 for v in _private(data, _GE, 0x0019, 0xCC)), default=0.0)


def _positive(values: object) -> list[float]:
    """Return the finite numbers above 0; texts that are none count as not there."""
    numbers = []
    for value in many(values):
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number) and number > 0:
            numbers.append(number)
    return numbers


def _standard(data: pydicom.Dataset) -> list[float]:
    return [
        number
        for item in data.get("MRVelocityEncodingSequence") or []
        for number in _positive(item.get("VelocityEncodingMaximumValue"))
    ]


def _private(data: pydicom.Dataset, creator: str, group: int, element: int) -> list[float]:
    value = _value(data, creator, group, element)
    return [] if value is None else _positive(value)


def _value(data: pydicom.Dataset, creator: str, group: int, element: int) -> object:
    try:
        return data.private_block(group, creator)[element].value
    except KeyError:
        return None


def encodes_in_plane(data: pydicom.Dataset) -> bool:
    """Whether Siemens's text says that a velocity along the plane is encoded, not through it."""
    match = next(_siemens_texts(data), None)
    return match is not None and match[2].lower() in _IN_PLANE


def _siemens(data: pydicom.Dataset) -> list[float]:
    match = next(_siemens_texts(data), None)
    return [] if match is None else _positive(match[1])


def _siemens_texts(data: pydicom.Dataset) -> Iterator[re.Match[str]]:
    texts = [_value(data, _SIEMENS, 0x0051, 0x14)]
    if "SIEMENS" in str(data.get("Manufacturer") or "").upper():
        texts.append(str(data.get("SequenceName") or "").rpartition("_")[2])
    for text in texts:
        match = _TEXT.fullmatch(str(text).strip()) if text else None
        if match:
            yield match
