"""Where raw scans come from: the sources of a protocol, and what each of them returns.

A source has two methods. ``find(root, *, problems=None, folders=None)`` lists who is there, cheap:
folder listings only, and of those none that `folders` remembers. ``load(paths, *, views=None,
**options)`` reads one subject's visit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from popscan.io.folders import Folders
from popscan.io.tables import subject_label
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import KSpace, LabelMap, PopscanError, Scan, SubjectError


@dataclass(frozen=True, kw_only=True)
class Found:
    """One subject's visit in a folder of raw data.

    Attributes
    ----------
    sub, ses
        Labels with their prefixes; `ses` is empty where the data has no visits.
    paths
        What `Source.load` wants: the visit's folder.
    """

    sub: str
    ses: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a source knows of one subject's visit, by view.

    Attributes
    ----------
    scans, kspace, labels
        Images, k-space and reference labels; a view is in `scans` or in `kspace`.
    references
        Images that reconstructions are compared with (simulated studies).
    extra
        Facts about the subject that stand beside the images (ACDC's group, height and weight).
    label_problems
        View -> why labels that are there cannot be used; the image is not lost with them.
    notes
        What the reader had to assume or left aside, a sentence each, without paths or identifiers.
    """

    scans: Mapping[str, Scan] = field(default_factory=dict)
    kspace: Mapping[str, KSpace] = field(default_factory=dict)
    labels: Mapping[str, LabelMap] = field(default_factory=dict)
    references: Mapping[str, Scan] = field(default_factory=dict)
    extra: Mapping[str, str | float] = field(default_factory=dict)
    label_problems: Mapping[str, SubjectError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Source(Interface):
    """What every source can do."""

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the visits below `root`, sorted; unusable folder names go to `problems`."""
        ...

    def load(
        self, paths: Sequence[str], *, views: Sequence[str] | None = None, **options: Any
    ) -> Loaded:
        """Read one visit; raise `SubjectError` if it cannot be used."""
        ...


def get_source(kind: str, protocol: Protocol | None = None) -> Source:
    """Return the source of this kind, as the protocol reads it.

    Parameters
    ----------
    kind
        As in the config.
    protocol
        By default the default protocol.

    Raises
    ------
    PopscanError
        If there is none; the message lists those that exist.
    """
    protocol = protocol or get_protocol(DEFAULT)
    if kind not in protocol.sources:
        known = ", ".join(sorted(protocol.sources))
        raise PopscanError(
            f"unknown source {kind!r} of protocol {protocol.name}: one of {known} expected"
        )
    source: Source = load_place(protocol.sources[kind])(protocol)
    return source


def found_folders(
    root: str | Path, names: Sequence[str], problems: list[str] | None
) -> list[Found]:
    """Turn folder names into visits without sessions; see `find` of `Source`.

    Names that are unsafe as identifiers, or that give a label twice, are reported in `problems`.
    """
    found: dict[str, Found] = {}
    for name in names:
        try:
            sub = subject_label(name)
        except PopscanError as error:
            note(problems, f"{root}: {error}")
            continue
        if sub in found:
            note(problems, f"{root}: folder {name!r} is {sub} again; it is left out")
            continue
        found[sub] = Found(sub=sub, paths=(os.path.join(root, name),))
    return [found[sub] for sub in sorted(found)]


def note(problems: list[str] | None, message: str) -> None:
    """Add a message to `problems`, if anyone wants to know."""
    if problems is not None:
        problems.append(message)


def one_folder(paths: Sequence[str]) -> Path:
    """Return the visit's folder out of ``Found.paths``.

    Raises
    ------
    SubjectError
        ``file_missing`` if it is not there (any more).
    """
    folder = Path(paths[0]) if paths else None
    if folder is None or not folder.is_dir():
        raise SubjectError("file_missing", f"{folder or 'no folder'}: the subject's folder is gone")
    return folder
