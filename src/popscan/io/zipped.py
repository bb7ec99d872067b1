"""Zip archives of raw data, read without unpacking them: every promise is checked beforehand.

Nothing is written to disk, so a name that leaves the folder would do no harm; but whoever packs
such names, links, archives in archives or a gigabyte of zeros did not pack a scan.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from popscan.records import SubjectError

#: Entries, and bytes of the directory that lists them: zipfile reads all of it at once.
MAX_ENTRIES, MAX_DIRECTORY = 50_000, 16 * 2**20
#: Bytes of one entry and of all, unpacked.
MAX_ENTRY, MAX_BYTES = 2**30, 4 * 2**30
#: Unpacked to packed size beyond which an archive of some size holds no images.
MAX_RATIO, RATIO_FROM = 100, 64 * 2**20
#: Unpacked entries are kept for the next reading up to so many bytes.
KEPT_BYTES = 256 * 2**20

_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PACKED = (".zip", ".tar", ".tgz", ".7z", ".rar")
_DRIVE = re.compile(r"[A-Za-z]:")
_ENTRY_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_FIRST = b"PK\x03\x04"


class ZipArchive:
    """A zip archive whose entries are read one by one; use it in a ``with`` statement.

    Parameters
    ----------
    path
        The archive.

    Raises
    ------
    SubjectError
        ``file_missing``, ``unreadable_input``, ``not_a_zip``, ``zip_truncated``, ``zip_damaged``,
        ``zip_too_large``, ``zip_encrypted``, ``zip_method``, ``zip_unsafe_name``, ``zip_link``,
        ``zip_duplicate_name`` or ``zip_nested``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._kept: dict[str, bytes] = {}
        self._n_kept = 0
        try:
            with open(self.path, "rb") as file:
                _check_directory(self.path, file)
        except FileNotFoundError as error:
            raise SubjectError("file_missing", f"{path}: no such file") from error
        except OSError as error:
            raise SubjectError("unreadable_input", f"{path}: {error.strerror}") from error
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (*_ENTRY_DAMAGE, OSError, struct.error) as error:
            raise _damaged(self.path) from error
        try:
            entries = self._zip.infolist()
            _check_entries(self.path, entries)
        except SubjectError:
            self.close()
            raise
        self._infos = {entry.filename: entry for entry in entries if not entry.is_dir()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and forget what was read."""
        self._zip.close()
        self._kept.clear()

    @property
    def names(self) -> list[str]:
        """Names of the files in it, sorted; hidden ones and those of a Mac's metadata left out."""
        return sorted(
            name for name in self._infos
            if not name.rpartition("/")[2].startswith(".") and not name.startswith("__MACOSX/")
        )  # fmt: skip

    def size(self, name: str) -> int:
        """Bytes of an entry, unpacked."""
        return self._infos[name].file_size

    def read(self, name: str) -> bytes:
        """Read an entry, which is never more than its checked size.

        Raises
        ------
        OSError
            If it is damaged.
        SubjectError
            ``zip_nested`` if it is an archive itself.
        """
        if name in self._kept:
            return self._kept[name]
        try:
            data = self._zip.read(self._infos[name])
        except _ENTRY_DAMAGE as error:
            raise OSError(f"a damaged entry ({type(error).__name__})") from error
        if data[:4] == _FIRST:
            raise SubjectError("zip_nested", f"{self.path}: an archive in the archive")
        if self._n_kept + len(data) <= KEPT_BYTES:
            self._kept[name] = data
            self._n_kept += len(data)
        return data

    def files(self) -> list[ZippedFile]:
        """Return the files in it, in order of names."""
        return [ZippedFile(self, name) for name in self.names]


@dataclass(frozen=True)
class ZippedFile:
    """A file in an archive; a `popscan.io.rawfile.RawFile`."""

    archive: ZipArchive = field(repr=False)
    name: str

    @property
    def path(self) -> str:
        """Path of the archive, and name in it."""
        return f"{self.archive.path}/{self.name}"

    def is_regular(self) -> bool:
        """As `RawFile`: links were refused."""
        return True

    def size(self) -> int:
        """As `RawFile`."""
        return self.archive.size(self.name)

    def open(self) -> BinaryIO:
        """As `RawFile`."""
        return io.BytesIO(self.archive.read(self.name))


def _damaged(path: str) -> SubjectError:
    return SubjectError("zip_damaged", f"{path}: its directory is damaged; fetch the file again")


def _too_large(path: str, what: str) -> SubjectError:
    return SubjectError("zip_too_large", f"{path}: {what}: no scan is like that")


def _check_directory(path: str, file: BinaryIO) -> None:
    """Refuse what is no zip, and a directory that is too large to be read."""
    start = file.read(4)
    size = file.seek(0, io.SEEK_END)
    tail_from = max(size - 2**16 - 22, 0)
    file.seek(tail_from)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        if _FIRST.startswith(start) or not start.strip(b"\0"):
            raise SubjectError(
                "zip_truncated", f"{path}: the archive ends before its directory; fetch it again"
            )
        raise SubjectError("not_a_zip", f"{path}: not a zip archive")
    count, n_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
        (place,) = struct.unpack("<Q", tail[at - 12 : at - 4])
        file.seek(min(place, size))
        record = file.read(56)
        if record[:4] != _END64 or len(record) < 56:
            raise _damaged(path)
        count, n_bytes = struct.unpack("<QQ", record[32:48])
    if count > MAX_ENTRIES or n_bytes > MAX_DIRECTORY:
        raise _too_large(path, f"{count} entries, {MAX_ENTRIES} at most expected")


def _check_entries(path: str, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive for what its directory promises."""
    if len(entries) > MAX_ENTRIES:  # the count of the directory's end may be wrong
        raise _too_large(path, f"{len(entries)} entries, {MAX_ENTRIES} at most expected")
    _check_sizes(path, entries)
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise SubjectError("zip_encrypted", f"{path}: encrypted entries; there is no password")
    if methods := {entry.compress_type for entry in entries} - set(_METHODS):
        raise SubjectError(
            "zip_method", f"{path}: compression method {min(methods)}; stored or deflate expected"
        )
    # Names are not repeated in messages: whoever wrote them chose them.
    if n := sum(_leaves(entry.orig_filename) for entry in entries):
        raise SubjectError("zip_unsafe_name", f"{path}: {n} entries whose names leave the folder")
    if n := sum(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries):
        raise SubjectError("zip_link", f"{path}: {n} entries are links")
    if n := len(entries) - len({entry.filename for entry in entries}):
        raise SubjectError("zip_duplicate_name", f"{path}: {n} entries whose name is there already")
    if n := sum(entry.filename.lower().endswith(_PACKED) for entry in entries):
        raise SubjectError("zip_nested", f"{path}: {n} entries are archives themselves")


def _check_sizes(path: str, entries: list[zipfile.ZipInfo]) -> None:
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if total > MAX_BYTES or any(entry.file_size > MAX_ENTRY for entry in entries):
        raise _too_large(path, f"{total} bytes unpacked, {MAX_BYTES} at most expected")
    if total > RATIO_FROM and total > MAX_RATIO * packed:
        ratio = total // max(packed, 1)
        raise _too_large(path, f"unpacks to {ratio} times its size, {MAX_RATIO} at most expected")
    large = [entry for entry in entries if entry.file_size > RATIO_FROM]
    if any(entry.file_size > MAX_RATIO * entry.compress_size for entry in large):
        raise _too_large(path, f"an entry unpacks to more than {MAX_RATIO} times its size")


def _leaves(name: str) -> bool:
    """Whether a name leads out of the folder that it would be unpacked into."""
    plain = name.replace("\\", "/")
    return plain.startswith("/") or bool(_DRIVE.match(plain)) or ".." in plain.split("/")
