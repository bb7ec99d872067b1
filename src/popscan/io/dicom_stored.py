"""What stored pixel values of a DICOM image mean before slope and intercept are applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRBigEndian

from popscan.records import SubjectError

#: Most bits of a value: a float64's.
_MOST_BITS = 64


def check_layout(data: pydicom.Dataset, *, shown: Callable[[], str]) -> None:
    """Refuse pixels that do not lie as the header says; compressed ones say it themselves.

    Parameters
    ----------
    data
        A file, read as a whole.
    shown
        Says which image this is, for the message.

    Raises
    ------
    SubjectError
        ``bad_header`` where it says what no pixels have; ``bad_pixels`` where there is a whole row
        or more beyond rows times columns, or the bits of a value lie elsewhere than at the low end.
    """
    meta = getattr(data, "file_meta", None)
    pixels = data.get("PixelData")
    if pixels is None or _is_compressed(getattr(meta, "TransferSyntaxUID", None)):
        return
    allocated = _whole(data, "BitsAllocated", 16, shown=shown)
    stored = _whole(data, "BitsStored", allocated, shown=shown)
    high = _whole(data, "HighBit", stored - 1, shown=shown)
    if not 0 < stored <= allocated <= _MOST_BITS or not 0 <= high < allocated:
        raise SubjectError(
            "bad_header", f"{shown()}: {stored} of {allocated} bits, the highest of them {high}"
        )
    rows, columns, n_frames, samples = (
        _whole(data, name, default, shown=shown)
        for name, default in (
            ("Rows", 0), ("Columns", 0), ("NumberOfFrames", 1), ("SamplesPerPixel", 1),
        )
    )  # fmt: skip
    row = columns * (allocated // 8) * samples
    if row > 0 and len(pixels) - row * rows * n_frames >= max(row, 8):
        raise SubjectError(
            "bad_pixels",
            f"{shown()}: {len(pixels)} bytes of pixels; {row * rows * n_frames} expected of "
            f"{n_frames} x {rows} x {columns}",
        )
    if high > stored - 1 and allocated == 16:
        words = np.frombuffer(pixels[: len(pixels) // 2 * 2], dtype=_words(meta))
        if words.any() and not np.any(words & ((1 << (high + 1 - stored)) - 1)):
            raise SubjectError(
                "bad_pixels",
                f"{shown()}: the highest bit of {stored} is number {high}, and the lowest are "
                f"empty; {stored - 1} expected",
            )


def _is_compressed(syntax: object) -> bool:
    """Whether pixels lie otherwise than in rows; so, too, in a transfer syntax that is none."""
    try:
        return isinstance(syntax, UID) and syntax.is_compressed
    except ValueError:
        return True


def _words(meta: object) -> str:
    """Order of the two bytes of a value."""
    syntax = getattr(meta, "TransferSyntaxUID", None)
    return ">u2" if syntax == ExplicitVRBigEndian else "<u2"


def _whole(data: pydicom.Dataset, name: str, default: int, *, shown: Callable[[], str]) -> int:
    """Return a number of the header, `default` where there is none."""
    value = data.get(name)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise SubjectError("bad_header", f"{shown()}: {name} is no whole number") from error


def is_inverted(data: pydicom.Dataset) -> bool:
    """Whether the smallest value is white (MONOCHROME1)."""
    return str(data.get("PhotometricInterpretation") or "").strip().upper() == "MONOCHROME1"


def stored_values(
    data: pydicom.Dataset, pixels: NDArray[Any], *, as_shown: bool = True
) -> NDArray[np.float32]:
    """Return stored values, the largest the brightest; padding is as dark as the darkest pixel.

    Parameters
    ----------
    data
        The header.
    pixels
        As pydicom returns them.
    as_shown
        Turn values over where the smallest is shown white. Not so for what was measured, as T1 in
        ms: how a value is shown does not change it (DICOM PS3.3 C.7.6.3.1.2).

    Returns
    -------
    ndarray of float32
        Same shape. ``PixelPaddingValue`` counts as padding only where it lies beyond all other
        values and is not 0, which is also measured.
    """
    values = np.asarray(pixels, dtype=np.float32)
    padding = _is_padding(data, values)
    if as_shown and is_inverted(data):
        bits = _whole(data, "BitsStored", 16, shown=lambda: "an inverted image")
        values = (-1.0 if data.get("PixelRepresentation") == 1 else 2.0**bits - 1.0) - values
    if padding.any():
        values = np.where(padding, values[~padding].min(), values)
    return np.asarray(values, dtype=np.float32)


def _is_padding(data: pydicom.Dataset, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    ends = [data.get(tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    numbers = [float(end) for end in ends if isinstance(end, int | float)]
    nothing = np.zeros(values.shape, dtype=bool)
    if not any(numbers):
        return nothing
    found = (values >= min(numbers)) & (values <= max(numbers))
    rest = values[~found]
    if not rest.size or rest.min() < min(numbers) <= rest.max():
        return nothing
    return np.asarray(found)
