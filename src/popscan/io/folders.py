"""What the folders of the raw data hold, read once per plan and remembered for the next.

A folder's change time (ctime) moves when an entry comes, goes or gets another name, and no program
can set it back. So a folder whose change time is the remembered one is not listed again. A file
that is rewritten in place leaves its folder's time alone: its files are therefore asked again for
size and time, but for folders of many files (a DICOM series) where the caller trusts the folder.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from popscan.disk import write_atomic
from popscan.records import PopscanError

#: A folder of more files than this counts as one of many.
MANY = 16
#: What changed so recently may change again within the same tick of the file system's clock.
_SETTLED_NS = 5 * 10**9
_CHUNK = 256


class Folder(NamedTuple):
    """What one folder holds, without what is below its folders.

    Attributes
    ----------
    stamp
        Inode and change time in ns: equal while no entry came or went.
    folders, links
        Names of its folders, and of links to folders.
    files
        Names of all else, links included; None where they are many.
    size, latest_ns
        Sum of the files' sizes in bytes; latest mtime of the folder and its files.
    """

    stamp: list[int]
    folders: list[str]
    links: list[str]
    files: list[str] | None
    size: int
    latest_ns: int


class Folders:
    """Listings and signatures of folders; each folder is asked for once.

    Parameters
    ----------
    known
        What was found last time.
    trust
        Take a folder of many files as unchanged while its own change time stands.
    """

    def __init__(self, known: Mapping[str, Folder] | None = None, *, trust: bool = False) -> None:
        self._known = dict(known or {})
        self._trust = trust
        self._seen: dict[str, Folder] = {}
        self._files: dict[str, tuple[int, int]] = {}
        self.n_listed = 0

    @classmethod
    def read(cls, path: Path, *, trust: bool = False) -> Folders:
        """Read what `write` wrote; a missing or damaged index is an empty one."""
        try:
            data = json.loads(path.read_bytes())
            known = {name: Folder(*fields) for name, fields in data.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            known = {}
        return cls(known, trust=trust)

    def write(self, path: Path) -> None:
        """Write what was seen and can be relied on, if it is not what is known already."""
        now = time.time_ns()
        # Folders that changed a moment ago, or claim to have in the future, are asked again.
        kept = {k: v for k, v in self._seen.items() if v.stamp[1] < now - _SETTLED_NS}
        if kept != self._known or not path.exists():
            write_atomic(path, json.dumps(kept, separators=(",", ":")).encode())

    def names(self, path: str | Path) -> list[str]:
        """Names of the folders in `path`, sorted; hidden ones (``.x``) are left out.

        Raises
        ------
        PopscanError
            If `path` is not a readable folder.
        """
        try:
            found = self._look(str(path))
        except OSError as error:
            raise PopscanError(f"{path}: not a readable folder ({error.strerror})") from error
        return sorted(n for n in (*found.folders, *found.links) if not n.startswith("."))

    def signature(self, path: str) -> tuple[int, int]:
        """Size in bytes and mtime in ns of a file; of a folder the sum and the latest below it.

        What is not there or cannot be read counts as (-1, 0).
        """
        if (file := self._files.get(path)) is not None:
            return file
        try:
            found = self._look(path)
        except NotADirectoryError:
            self._files[path] = _ask(path)
            return self._files[path]
        except OSError:
            return -1, 0
        return self._below(path, found, _Trail(path))

    def _below(self, path: str, found: Folder, trail: _Trail) -> tuple[int, int]:
        """Sum and latest of a folder and all below it, links to folders followed once."""
        size, latest = found.size, found.latest_ns
        for name in (*found.folders, *found.links):
            below = f"{path}/{name}"
            if name in found.links and not trail.enter(below):
                continue
            try:
                own = self._below(below, self._look(below), trail)
            except OSError:
                own = (-1, 0)
            size, latest = size + own[0], max(latest, own[1])
        return size, latest

    def prefetch(self, paths: Sequence[str], *, threads: int = 8) -> None:
        """Read folders and all below them, in threads: on a network's disk each question waits."""
        parts = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for _ in pool.map(lambda part: [self.signature(path) for path in part], parts):
                pass

    def _look(self, path: str) -> Folder:
        if (found := self._seen.get(path)) is not None:
            return found
        stat = os.stat(path)
        if not S_ISDIR(stat.st_mode):
            raise NotADirectoryError(path)
        old = self._known.get(path)
        if old is None or old.stamp != [stat.st_ino, stat.st_ctime_ns]:
            found = self._list(path, stat)
        elif old.files is None:
            found = old if self._trust else self._list(path, stat)
        else:
            found = self._ask_files(path, old, stat)
        self._seen[path] = found
        return found

    def _ask_files(self, path: str, old: Folder, stat: os.stat_result) -> Folder:
        """Ask the known files of a folder for size and time."""
        size, latest = 0, stat.st_mtime_ns
        for name in (*(old.files or ()), *old.links):
            file = _ask(f"{path}/{name}")
            size, latest = size + file[0], max(latest, file[1])
        return old if (size, latest) == old[4:] else old._replace(size=size, latest_ns=latest)

    def _list(self, path: str, stat: os.stat_result) -> Folder:
        folders: list[str] = []
        links: list[str] = []
        files: list[str] = []
        size, latest = 0, stat.st_mtime_ns
        self.n_listed += 1
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                (links if entry.is_symlink() and entry.is_dir() else files).append(entry.name)
                file = _ask(entry)
                size, latest = size + file[0], max(latest, file[1])
        return Folder(
            stamp=[stat.st_ino, stat.st_ctime_ns],
            folders=sorted(folders),
            links=sorted(links),
            files=sorted(files) if len(files) <= MANY else None,
            size=size,
            latest_ns=latest,
        )


class _Trail:
    """Where links to folders have led so far, so that nobody walks in a circle.

    Parameters
    ----------
    start
        The folder from which all were reached.
    """

    def __init__(self, start: str) -> None:
        self._start = start
        self._entered: set[str] = set()

    def enter(self, link: str) -> bool:
        """Whether a link leads to a folder that is new, and does not hold the start."""
        real, start = os.path.realpath(link), os.path.realpath(self._start)
        if real in self._entered or f"{start}/".startswith(f"{real.rstrip('/')}/"):
            return False
        self._entered.add(real)
        return True


def _ask(path: str | os.DirEntry[str]) -> tuple[int, int]:
    """Size and mtime in ns of a file; (-1, 0) of a link that leads nowhere."""
    try:
        stat = os.stat(path)
    except OSError:
        return -1, 0
    return stat.st_size, stat.st_mtime_ns
