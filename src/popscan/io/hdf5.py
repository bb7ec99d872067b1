"""HDF5 files from outside: read within limits, and no link in them is followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from popscan.records import SubjectError

#: What h5py raises for a torn or hostile file.
DAMAGE = (
    OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError,
    RecursionError, NotImplementedError, IndexError,
)  # fmt: skip
#: Stored bytes may unpack to so many times their size; measured k-space hardly shrinks at all, and
#: its zeros are those of undersampling.
MAX_RATIO = 100
#: Arrays up to this size may be packed as they like.
_SMALL_BYTES = 2**26


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises
    ------
    SubjectError
        ``file_missing``, ``truncated_file`` or ``not_kspace``.
    """
    if not path.is_file():
        raise SubjectError("file_missing", f"{path}: no such file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"\x89HDF":
            raise SubjectError("truncated_file", f"{path}: the file is incomplete") from error
        raise SubjectError("not_kspace", f"{path}: not an HDF5 file") from error


def dataset_of(file: h5py.Group, name: str, *, max_bytes: int) -> h5py.Dataset:
    """Return a dataset that lies in the file itself and whose size is sane.

    Parameters
    ----------
    file
        The file, or a group of it.
    name
        Path of the dataset in it, with ``/`` between groups.
    max_bytes
        Largest size in memory.

    Raises
    ------
    ValueError, KeyError
        If it is a link, not there, too large, never written, or unpacks to far more than is stored.
    """
    item: Any = file
    for part in name.split("/"):
        if not isinstance(item, h5py.Group):
            raise KeyError(name)
        link = item.get(part, getlink=True)
        if link is None:
            raise KeyError(name)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link to elsewhere")
        item = item[part]
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise ValueError(f"{name} is not a dataset of this file")
    if item.nbytes > max_bytes:
        raise ValueError(f"{name} claims {item.nbytes} bytes, more than the limit of {max_bytes}")
    stored = item.id.get_storage_size()
    if item.nbytes > 0 and stored == 0:
        raise ValueError(f"{name} was never written")
    if item.nbytes > max(_SMALL_BYTES, MAX_RATIO * stored):
        raise ValueError(f"{name} unpacks {stored} bytes to {item.nbytes}: no k-space does")
    return item


def read_array(file: h5py.Group, name: str, *, max_bytes: int) -> NDArray[Any]:
    """Read a dataset of numbers; see `dataset_of`."""
    values = dataset_of(file, name, max_bytes=max_bytes)[()]
    if not isinstance(values, (np.ndarray, np.generic)):
        raise ValueError(f"{name} is {type(values).__name__}, not numbers")
    return np.asarray(values)


def has_dataset(file: h5py.Group, name: str) -> bool:
    """Whether a dataset of this name lies in the file itself; nothing is read."""
    try:
        dataset_of(file, name, max_bytes=2**63)
    except DAMAGE:
        return False
    return True
