"""Files of a shard's subjects in one archive per stage: an inode in place of some for each subject.

An archive is a plain zip, stored without compression (images are compressed already), whose names
are those below ``derivatives/``: any program unpacks it there. Entries are sorted and carry no
time, so that the same files give the same bytes. It is written whole or not at all. Which entries
count, and the SHA-256 of each, stands in the journals (`popscan.records.Record.packed`): names and
sizes in the archive itself are believed only where they agree with that.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import IO

from popscan.disk import MACHINE_ERRNOS, atomic_stream
from popscan.records import PopscanError

#: Folder of all archives of a study.
FOLDER = "archives"
_BELOW = "derivatives/"
_CHUNK = 1 << 20
#: What zipfile raises for what is damaged, encrypted, or packed in another manner; of OSError only
#: those of an archive that is not there and of offsets that lie outside of it.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError,
           OverflowError, zipfile.BadZipFile)  # fmt: skip
_DAMAGE_ERRNOS = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, None}
#: Before a zip's first year there is nothing: no time.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16


class ArchiveError(PopscanError):
    """A file is not in its archive as it was packed: the archive is lost, damaged or another's."""


@dataclass(frozen=True)
class Archive:
    """The archive of one stage and shard; it need not exist.

    Attributes
    ----------
    root
        The study's folder, to which all names of files are relative.
    stage, shard
        Whose files.
    """

    root: Path
    stage: str
    shard: str

    @property
    def name(self) -> str:
        """Path relative to the study."""
        return f"{FOLDER}/{self.stage}/{self.shard}.zip"

    @property
    def path(self) -> Path:
        """The zip file."""
        return self.root / self.name

    def temporaries(self) -> list[Path]:
        """Return what killed processes left of it, and what another one is writing."""
        return sorted(self.path.parent.glob(f".{escape(self.path.name)}.*.tmp"))

    def remove_temporaries(self) -> None:
        """Remove them; whoever calls knows that nobody writes this archive.

        Whether the process of another machine still runs is not known here.
        """
        for path in self.temporaries():
            path.unlink(missing_ok=True)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Name relative to the study -> bytes; empty where there is no archive, or a damaged one.

        An archive with two entries of one name, or with one that is compressed or encrypted, was
        not written by popscan: it counts as damaged.

        Raises
        ------
        OSError
            If the disk fails (EIO, ESTALE, too many open files): that says nothing of the archive.
        """
        with _damage_passed_over(), _opened(self.path) as archive:
            return {_BELOW + i.filename: i.file_size for i in archive.infolist()}
        return {}

    def holds(self, packed: Mapping[str, int]) -> bool:
        """Whether all of these files are listed with these sizes; their content is not read."""
        return all(self.sizes.get(name) == size for name, size in packed.items())

    def checksums(self, packed: Collection[str]) -> dict[str, str]:
        """Return the SHA-256 of entries by name; of what is lost or damaged an empty text.

        Raises
        ------
        OSError
            If the disk fails, as for `sizes`.
        """
        sums = dict.fromkeys(packed, "")
        with _damage_passed_over(), _opened(self.path) as archive:
            for name in sums:
                with _damage_passed_over():
                    sums[name] = _copy(archive, name, None)
        return sums

    def unpack(self, wanted: Mapping[str, str], target: Callable[[str], Path]) -> None:
        """Write entries as files, each whole or not at all.

        Parameters
        ----------
        wanted
            Name relative to the study -> SHA-256 that the entry has to have.
        target
            Name -> where to. Names inside the archive lead nowhere: only those wanted are read.

        Raises
        ------
        ArchiveError
            If an entry is missing, damaged or of another content.
        PopscanError
            If the disk is full.
        """
        if not wanted:
            return
        try:
            with _opened(self.path) as archive:
                for name, checksum in wanted.items():
                    with atomic_stream(target(name)) as stream:
                        if _copy(archive, name, stream) != checksum:
                            raise ArchiveError(f"{self.path}: {Path(name).name} was changed since")
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno in MACHINE_ERRNOS:
                raise
            message = f"{self.path}: files cannot be read from it ({type(error).__name__})"
            raise ArchiveError(message) from error

    def bring_to(self, keep: Mapping[str, str], add: Mapping[str, str]) -> bool:
        """Make it hold these entries and no others; left alone where it does.

        An entry that is damaged, or is not what it should be, is left out. Without any entry there
        is no archive.

        Parameters
        ----------
        keep, add
            Name -> SHA-256: of entries that stay, and of files that are packed in place of entries
            of the same name.

        Returns
        -------
        bool
            Whether it was written.

        Raises
        ------
        PopscanError
            If the disk is full.
        OSError
            If a file to be added cannot be read, or the disk fails, as for `sizes`; the archive
            is as it was.
        """
        if self.sizes.keys() == {*keep, *add} and self.checksums(add) == add:
            return False
        sums = self.checksums([name for name in keep if name in self.sizes])
        sound = {name for name, found in sums.items() if found and found == keep[name]}
        names = sorted({*sound, *add})
        if names:
            with ExitStack() as stack:
                old = stack.enter_context(_opened(self.path)) if sound else None
                stream = stack.enter_context(atomic_stream(self.path))
                new = stack.enter_context(zipfile.ZipFile(stream, "w"))
                for name in names:
                    if old is None or name in add:
                        with (self.root / name).open("rb") as content:
                            _write(new, name, (self.root / name).stat().st_size, content)
                    else:
                        with old.open(_entry(name)) as content:
                            _write(new, name, old.getinfo(_entry(name)).file_size, content)
        else:
            self.path.unlink(missing_ok=True)
        self.__dict__.pop("sizes", None)
        return True


def _entry(name: str) -> str:
    return name.removeprefix(_BELOW)


@contextmanager
def _damage_passed_over() -> Iterator[None]:
    """End the block where an archive is lost or damaged.

    What else goes wrong on a disk passes: whoever took it for damage would drop what is sound.
    """
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in _DAMAGE_ERRNOS:
            raise


def _copy(archive: zipfile.ZipFile, name: str, stream: IO[bytes] | None) -> str:
    """Read an entry, into a stream if there is one; return its SHA-256."""
    digest = hashlib.sha256()
    with archive.open(_entry(name)) as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            if stream is not None:
                stream.write(chunk)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive that popscan can have written."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len({entry.filename for entry in entries}) < len(entries):
            raise zipfile.BadZipFile("two entries of one name")
        if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries):
            raise zipfile.BadZipFile("a compressed or encrypted entry")
        yield archive


def _write(archive: zipfile.ZipFile, name: str, size: int, content: IO[bytes]) -> None:
    info = zipfile.ZipInfo(_entry(name), date_time=_NO_TIME)
    info.create_system, info.external_attr, info.file_size = 3, _MODE, size
    with archive.open(info, "w") as stream:
        shutil.copyfileobj(content, stream, _CHUNK)
