"""Files that are deflated as a whole: how large they become is found out before they are read."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_START = 132
_STEP = 2**20


def check_inflated(file: BinaryIO, *, max_bytes: int) -> None:
    """Refuse an open deflated DICOM file that unpacks to more than `max_bytes`; others pass unread.

    Raises
    ------
    ValueError
        If it does, or its preamble or stream is damaged.
    """
    head = file.read(4096)
    start = _START if head[128:_START] == b"DICM" else 0
    if _DEFLATED not in head or head[start : start + 2] != b"\x02\x00":
        return
    # The first element is the length of the group that stands before the stream.
    if head[start : start + 4] != b"\x02\x00\x00\x00":
        raise ValueError("a group without its length")
    (length,) = struct.unpack("<I", head[start + 8 : start + 12])
    file.seek(start + 12 + length)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while not stream.eof and (data := file.read(2**16)):
        while data and not stream.eof:
            try:
                total += len(stream.decompress(data, _STEP))
            except zlib.error as error:
                raise ValueError("a damaged stream") from error
            if total > max_bytes:
                raise ValueError("unpacks to more than any image")
            data = stream.unconsumed_tail
