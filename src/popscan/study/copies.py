"""Copies of files that lie in a shard's archives, for readers that change nothing in the study.

They lie in the temporary folder of the machine. Their process removes them at its end; where it is
killed, the next one that makes copies does so, or a withdrawal. Whether a process still runs is
asked of the kernel's lock that it holds, which holds for processes of other containers, too, that
share the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import weakref
from collections import OrderedDict
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from popscan.archive import Archive
from popscan.records import Record

#: Subjects and stages whose copies are kept at a time; the oldest go first.
_N_KEPT = 16
_PREFIX = "popscan-copies-"
_LOCK = "lock"


class Copies:
    """Copies of packed files in a temporary folder, which goes with this object.

    Parameters
    ----------
    root, shard
        The study's folder, and the shard.
    """

    def __init__(self, root: Path, shard: str) -> None:
        self.root, self.shard = root, shard
        remove_left_copies()
        self._folder, lock = _locked_folder()
        weakref.finalize(self, _remove, self._folder, lock)
        self._made: OrderedDict[tuple[str, str], Path] = OrderedDict()

    def of(self, record: Record) -> Path:
        """Return the folder with copies of all packed files of a record.

        Raises
        ------
        ArchiveError
            If they are not in the archive as they were packed.
        """
        key = (record.stage, record.unit)
        if key not in self._made:
            while len(self._made) >= _N_KEPT:
                shutil.rmtree(self._made.popitem(last=False)[1], ignore_errors=True)
            folder = Path(self._folder, record.stage, record.unit)
            wanted = {name: record.removed[name] for name in record.packed}
            archive = Archive(self.root, record.stage, self.shard)
            archive.unpack(wanted, lambda name: folder / Path(name).name)
            self._made[key] = folder
        self._made.move_to_end(key)
        return self._made[key]


def remove_left_copies() -> None:
    """Remove copies on this machine whose process was killed; others, and other users', stay."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder() -> tuple[str, int]:
    """Make a folder that others leave alone as long as this process runs."""
    while True:
        folder = mkdtemp(prefix=f"{_PREFIX}{socket.gethostname()}-{os.getpid()}-")
        path = os.path.join(folder, _LOCK)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            with contextlib.suppress(OSError):  # without locks nobody removes what is left
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(path):
                return folder, lock
            os.close(lock)  # another process took the folder for one that is left


def _remove(folder: str, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
