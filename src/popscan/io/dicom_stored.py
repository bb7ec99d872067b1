"""What stored pixel values of a DICOM image mean before slope and intercept are applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from popscan.records import SubjectError


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
        ``bad_pixels`` where there is a whole row or more beyond rows times columns, or the bits of
        a value lie elsewhere than at the low end.
    """
    meta = getattr(data, "file_meta", None)
    syntax = getattr(meta, "TransferSyntaxUID", None)
    pixels = data.get("PixelData")
    if pixels is None or (syntax is not None and syntax.is_compressed):
        return
    width = int(data.get("BitsAllocated") or 16) // 8
    rows, columns = int(data.get("Rows") or 0), int(data.get("Columns") or 0)
    n_frames, samples = int(data.get("NumberOfFrames") or 1), int(data.get("SamplesPerPixel") or 1)
    row = columns * width * samples
    if row > 0 and len(pixels) - row * rows * n_frames >= max(row, 8):
        raise SubjectError(
            "bad_pixels",
            f"{shown()}: {len(pixels)} bytes of pixels; {row * rows * n_frames} expected of "
            f"{n_frames} x {rows} x {columns}",
        )
    high, stored = data.get("HighBit"), data.get("BitsStored")
    if high is not None and stored and int(high) > int(stored) - 1 and width == 2:
        order = "<u2" if syntax is None or syntax.is_little_endian else ">u2"
        words = np.frombuffer(pixels[: len(pixels) // 2 * 2], dtype=order)
        if words.any() and not np.any(words & ((1 << (int(high) + 1 - int(stored))) - 1)):
            raise SubjectError(
                "bad_pixels",
                f"{shown()}: the highest bit of {stored} is number {high}, and the lowest are "
                f"empty; {int(stored) - 1} expected",
            )


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
        bits = int(data.get("BitsStored") or 16)
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
