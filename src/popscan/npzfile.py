"""NumPy's ``.npz`` files: read whole and in the limits of the file, or refused with a message."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from popscan.records import PopscanError
from popscan.yamlfile import shorten

#: Bytes of all arrays of a file.
MAX_BYTES = 32 * 2**30
_DAMAGE = (
    OSError, ValueError, KeyError, EOFError, SyntaxError, TypeError, NotImplementedError,
    RuntimeError, OverflowError, zipfile.BadZipFile, zlib.error, tokenize.TokenError,
)  # fmt: skip


def read_npz(
    path: Path, *, prefix: str = "", max_bytes: int = MAX_BYTES
) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file; pickled content is refused, and so is a promise of more memory.

    Parameters
    ----------
    path
        The file.
    prefix
        Only arrays are read whose name begins so.
    max_bytes
        Limit of all arrays.

    Raises
    ------
    PopscanError
        If it is missing, damaged, no ``.npz`` or beyond the limit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > max_bytes:
                raise ValueError(f"more than {max_bytes} bytes")
            for item in archive.infolist():
                _check_promise(archive, item)
        with np.load(path, allow_pickle=False) as stored:
            return {
                name: np.asarray(stored[name]) for name in stored.files if name.startswith(prefix)
            }
    except _DAMAGE as error:
        raise PopscanError(f"{path}: not a readable .npz file ({shorten(error)})") from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays compressed; object arrays are refused. The same arrays give the same bytes."""
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _check_promise(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
    """Refuse an array whose header promises more than its part of the file holds."""
    with archive.open(item) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if math.prod(shape) * dtype.itemsize > item.file_size:
        raise ValueError(f"{item.filename} promises an array of {shape}")
