"""Every file below a folder, links to folders followed, each real folder once.

Archives are often offered as links: a subject's folder holds links to folders of series elsewhere.
They are followed wherever they lead, as links to files are, but never in a circle, and never to a
folder that holds the one that is read: that would make every subject part of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from popscan.records import SubjectError

#: More files or folders than this in one subject's folder are a mistake in the path.
MAX_FILES = 200_000
MAX_FOLDERS = 20_000


def walk(
    folder: str | Path, *, refused: list[str] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Give each folder from `folder` down, with the names of what is no folder in it, sorted.

    Parameters
    ----------
    folder
        Where it begins.
    refused
        For trees of whole studies: folders that cannot be listed are put here, and there is no
        limit of files and folders.

    Raises
    ------
    SubjectError
        ``unreadable_input`` where a folder cannot be listed, ``too_many_files``.
    """
    above = _above(folder)
    seen: set[tuple[int, int]] = set()
    n_files = 0
    for place, folders, names in os.walk(
        folder, followlinks=True, onerror=_refuse(folder, refused)
    ):
        new = []
        for name in sorted(folders):
            key = identity(os.path.join(place, name))
            if key is not None and key not in above and key not in seen:
                seen.add(key)
                new.append(name)
        folders[:] = new
        n_files += len(names)
        if refused is None and (n_files > MAX_FILES or len(seen) > MAX_FOLDERS):
            raise SubjectError(
                "too_many_files",
                f"{folder}: more than {MAX_FILES} files or {MAX_FOLDERS} folders",
            )
        yield place, sorted(names)


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of what a path leads to; None where it leads nowhere."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _above(folder: str | Path) -> set[tuple[int, int]]:
    """Identity of a folder and of all that hold it."""
    real = Path(os.path.realpath(folder))
    found = (identity(str(path)) for path in (real, *real.parents))
    return {key for key in found if key is not None}


def _refuse(folder: str | Path, refused: list[str] | None) -> Callable[[OSError], None]:
    def raised(error: OSError) -> None:
        if refused is not None:
            refused.append(str(error.filename))
            return
        raise SubjectError(
            "unreadable_input", f"{folder}: a folder in it cannot be read ({error.strerror})"
        )

    return raised
