"""What the core asks of the disk: whole files, and one writer at a time.

Locks are the kernel's (``flock``): they end with the process that holds them, however it ends, so
that nothing has to be unlocked by hand after a crash. Imports nothing heavy: the Snakefile uses it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import filecmp
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from popscan.records import PopscanError

_POLL_S = 0.5
#: Clocks of a cluster's nodes differ by less than this.
_CLOCK_SLACK_S = 5.0
#: Faults of the machine, not of a file or subject: disk or quota full, read-only, handles used up.
MACHINE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}
#: Lists that are notified of every file that `write_atomic` wrote; see `noting_files`.
_NOTES: list[list[Path]] = []


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, then rename: whole or not at all."""
    with atomic_stream(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def atomic_stream(path: Path) -> Iterator[IO[bytes]]:
    """Write a temporary file beside `path`, renamed at the block's end: whole or not at all.

    It may be read as well; a block that raises leaves `path` as it was.

    Raises
    ------
    PopscanError
        If the disk is full or read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_temporaries(path.parent, path.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in MACHINE_ERRNOS:
            raise PopscanError(f"{path}: cannot be written ({error.strerror})") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    for notes in _NOTES:
        notes.append(path)


@contextlib.contextmanager
def noting_files() -> Iterator[list[Path]]:
    """Note every file that `write_atomic` writes inside the block."""
    notes: list[Path] = []
    _NOTES.append(notes)
    try:
        yield notes
    finally:
        _NOTES[:] = [other for other in _NOTES if other is not notes]


def store_once(path: Path, other: Path) -> bool:
    """Make a file a hard link of another one that holds the same bytes.

    Nothing that popscan writes is changed in place (`write_atomic`, and files that are renamed into
    theirs), so a link shares content, never fate: who writes either anew leaves the other alone.

    Returns
    -------
    bool
        False, with both left as they are, where they differ, lie on different disks, or the file
        system knows no links.
    """
    linked = path.with_name(f".{path.name}.link")
    try:
        filecmp.clear_cache()
        if not filecmp.cmp(path, other, shallow=False):
            return False
        linked.unlink(missing_ok=True)
        os.link(other, linked)
        linked.replace(path)
    except OSError:
        linked.unlink(missing_ok=True)
        return False
    return True


def remove_temporaries(folder: Path, name: str = "*") -> None:
    """Remove what `write_atomic` left of files `name` when its process was killed."""
    for path in folder.glob(f".{name}.*.tmp"):
        if not _is_running(path.name.split(".")[-2]):
            path.unlink(missing_ok=True)


def _is_running(process_id: str) -> bool:
    return process_id.isdecimal() and Path("/proc", process_id).exists()


def no_later_than_now(paths: Iterable[Path]) -> None:
    """Set files that claim to come from the future to now.

    After a clock jumped back, Snakemake would take them for newer than all that is made from then
    on, and would not see that they have to be made again.
    """
    now = time.time()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime > now + _CLOCK_SLACK_S:
                os.utime(path)


@contextlib.contextmanager
def locked_append(path: Path, *, patience_s: float = 0.0) -> Iterator[IO[bytes]]:
    """Open a file for appending and reading, alone.

    Parameters
    ----------
    path
        The file; made if absent.
    patience_s
        Wait for another holder as long as the file has grown within so many seconds.

    Raises
    ------
    PopscanError
        If another process holds it and has written nothing for that long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        stream = path.open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            idle_s = time.time() - os.fstat(stream.fileno()).st_mtime
            stream.close()
            if patience_s and idle_s < patience_s:
                time.sleep(_POLL_S)
                continue
            raise PopscanError(
                f"{path}: another popscan process is working on this shard; "
                "wait for it to end, or stop it"
            ) from error
        if _still_there(path, stream):
            break
        # The holder rewrote the file under another inode before it let go.
        stream.close()
    with stream:
        yield stream


def _still_there(path: Path, stream: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False
