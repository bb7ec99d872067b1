"""Source ``kspace``: folders (or single files) of raw k-space, a subject each.

``sub-*/[ses-*/]`` as in BIDS; else a folder per subject under any name, and a file per subject
right in the root. Below a subject's folder any depth will do. The view is a part of a file's name,
as the protocol's series say (``cine_sax.mat``, ``sub-1_acq-sax_kspace.h5``); of several files of
one view the last in natural order is read. What a file is, its content says.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from popscan.config.kspace import KSpaceInput
from popscan.io.bids import find_visits
from popscan.io.bids_names import ViewWords
from popscan.io.folders import Folders
from popscan.io.kspace_formats import KSPACE_ENDINGS
from popscan.io.kspace_guarded import read_guarded
from popscan.io.sources import Found, Loaded, found_folders, note
from popscan.io.tables import subject_label
from popscan.io.walk import walk
from popscan.names import natural
from popscan.protocol import Protocol
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import KSpace, PopscanError, SubjectError

#: Words of a name that say what else than k-space a file holds.
_OTHER_FILES = frozenset({"traj", "trajectory", "mask", "csm", "sens", "noise"})


class KSpaceFiles:
    """Source ``kspace``: see the module.

    Parameters
    ----------
    protocol
        Which series are looked for; the default protocol's where none is given.
    """

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or get_protocol(DEFAULT)

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the visits below `root`, sorted."""
        folders = folders or Folders()
        names = folders.names(root)
        if any(name.startswith("sub-") for name in names):
            return find_visits(root, problems, folders)
        found = found_folders(root, names, problems)
        return sorted([*found, *_single_files(root, found, problems)], key=lambda one: one.sub)

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        kspace: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths
            The visit's folder, or its file.
        views
            Views wanted; None for all that are there.
        kspace
            Keys of the config's ``source.kspace``.

        Raises
        ------
        SubjectError
            ``file_missing``, ``view_missing``, and those of
            `popscan.io.kspace_formats.read_any_kspace`.
        """
        rules = KSpaceInput.model_validate(kspace or {})
        files, notes = self._by_view(_files_of(paths), paths)
        read: dict[str, KSpace] = {}
        unread: dict[str, SubjectError] = {}
        for view, there in sorted(files.items()):
            if views is not None and view not in views:
                continue
            try:
                read[view] = read_guarded(there[-1], view=view, rules=rules)
            except SubjectError as error:
                unread[view] = error
                continue
            if len(there) > 1:
                notes.append(f"{view}: {len(there)} files; the last by name is read")
        if unread and (self.protocol.view in unread or not read):
            raise unread.get(self.protocol.view) or next(iter(unread.values()))
        if not read:
            raise self._missing(paths, views, files)
        notes += [f"{view} was not read: {error.reason}" for view, error in unread.items()]
        return Loaded(kspace=read, notes=tuple(notes))

    def _by_view(
        self, files: Sequence[Path], paths: Sequence[str]
    ) -> tuple[dict[str, list[Path]], list[str]]:
        """View -> its files in natural order; a single file without a view is the first's."""
        words = ViewWords.of(self.protocol)
        by_view: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(files, key=lambda path: natural(path.name)):
            by_view[_view_of(path, words)].append(path)
        unnamed = by_view.pop("", [])
        first = self.protocol.view
        if len(unnamed) == 1 and not by_view:
            return {first: unnamed}, [f"the file's name says no view: read as {first}"]
        if unnamed and first not in by_view:
            raise SubjectError(
                "view_missing",
                f"{paths[0]}: {len(unnamed)} k-space files whose names say no view; one of "
                f"{', '.join(sorted(words.anywhere))} expected in the name",
            )
        return dict(by_view), []

    def _missing(
        self, paths: Sequence[str], views: Sequence[str] | None, files: Mapping[str, list[Path]]
    ) -> SubjectError:
        wanted = "any view" if views is None else ", ".join(views)
        there = f"; there is {', '.join(sorted(files))}" if files else ""
        return SubjectError("view_missing", f"{paths[0]}: no k-space of {wanted}{there}")


def _words_of(path: Path) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", path.stem.lower()) if word]


def _view_of(path: Path, words: ViewWords) -> str:
    parts = _words_of(path)
    named = next((words.anywhere[part] for part in parts if part in words.anywhere), "")
    return named or next((words.last[part] for part in parts if part in words.last), "")


def _is_kspace_name(path: Path) -> bool:
    """Whether a file may hold k-space, by its name; of BART's pairs the ``.cfl`` counts."""
    return path.suffix.lower() in KSPACE_ENDINGS and not _OTHER_FILES & set(_words_of(path))


def _files_of(paths: Sequence[str]) -> list[Path]:
    """Every file of a visit that may hold k-space."""
    if not paths or not os.path.exists(paths[0]):
        raise SubjectError("file_missing", f"{[*paths, 'no folder'][0]}: it is gone")
    files: list[Path] = []
    for place in map(Path, paths):
        if place.is_dir():
            files += [Path(folder, name) for folder, names in walk(place) for name in names]
        else:
            files.append(place)
    return [path for path in files if _is_kspace_name(path) and not path.name.startswith(".")]


def _single_files(
    root: str | Path, folders: Sequence[Found], problems: list[str] | None
) -> list[Found]:
    """Files of k-space right in the root, one subject each."""
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
    taken = {one.sub for one in folders}
    found = []
    for name in names:
        path = Path(root, name)
        if name.startswith(".") or not _is_kspace_name(path):
            continue
        try:
            sub = subject_label(path.stem)
        except PopscanError as error:
            note(problems, f"{root}: {error}")
            continue
        if sub in taken:
            note(problems, f"{root}: file {name!r} is {sub} again; it is left out")
            continue
        taken.add(sub)
        beside = [path.with_suffix(".json")]
        if path.suffix.lower() == ".cfl":
            beside.append(path.with_suffix(".hdr"))
        found.append(Found(sub=sub, paths=tuple(str(p) for p in (path, *beside) if p.exists())))
    return found
