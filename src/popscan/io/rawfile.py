"""One file of raw data, wherever it lies: on disk by itself, or in an archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from popscan.io.walk import walk


class RawFile(Protocol):
    """What readers of images need of a file."""

    @property
    def path(self) -> str:
        """Where it lies, for order and messages; an archive's path goes before its entry's name."""
        ...

    def is_regular(self) -> bool:
        """Whether it is a file that ends; a pipe would wait for ever."""
        ...

    def size(self) -> int:
        """Bytes of its content."""
        ...

    def open(self) -> BinaryIO:
        """Open its content, which can be sought in.

        Raises
        ------
        OSError
            If it cannot be read, or is damaged.
        """
        ...


@dataclass(frozen=True)
class DiskFile:
    """A file on disk."""

    path: str

    def is_regular(self) -> bool:
        """As `RawFile`."""
        return stat.S_ISREG(os.stat(self.path).st_mode)

    def size(self) -> int:
        """As `RawFile`."""
        return os.stat(self.path).st_size

    def open(self) -> BinaryIO:
        """As `RawFile`."""
        return open(self.path, "rb")


def list_files(folder: str | Path) -> list[str]:
    """Every file below `folder`, sorted, as `popscan.io.walk.walk`; hidden files are skipped.

    Raises
    ------
    SubjectError
        ``too_many_files`` or ``unreadable_input``.
    """
    found = ((place, name) for place, names in walk(folder) for name in names)
    return [os.path.join(place, name) for place, name in found if not name.startswith(".")]


def files_of(folder: str | Path) -> Sequence[RawFile]:
    """Every file below `folder`, as `list_files`."""
    return [DiskFile(path) for path in list_files(folder)]
