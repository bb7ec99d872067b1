"""Every series of an unknown folder tree, one after the other: DICOM, NIfTI, and zip archives.

A series is one NIfTI file, or the DICOM files of one folder (or archive) that share a series
identifier. Only the headers of one folder are held in memory at a time, and the pixels of one
series.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from popscan.io.nifti import is_nifti_name
from popscan.io.rawfile import DiskFile, RawFile
from popscan.io.tree_dicom import Damaged, dicom_series
from popscan.io.tree_nifti import nifti_series
from popscan.io.walk import walk
from popscan.io.zipped import ZipArchive, ZippedFile
from popscan.records import SubjectError
from popscan.sorting.facts import Facts

_SUB, _SES = re.compile(r"sub-[A-Za-z0-9]+"), re.compile(r"ses-[A-Za-z0-9]+")
_IN_NAME = re.compile(r"(?:^|_)((sub|ses)-[A-Za-z0-9]+)(?=[_.]|$)")
#: Folders of a BIDS dataset that hold other versions of its subjects.
_VERSIONS = ("derivatives", "sourcedata", "rawdata")
#: Characters that steer a terminal or break a line, by their categories of Unicode.
_STEERING = frozenset({"Cc", "Cf", "Zl", "Zp"})
#: Endings of files that are certainly neither images nor archives: they are not opened.
_OTHER = (
    ".json", ".tsv", ".csv", ".txt", ".md", ".xml", ".html", ".pdf", ".bval", ".bvec", ".png",
    ".jpg", ".jpeg", ".py", ".sh", ".log", ".cfg", ".yaml", ".yml", ".npz", ".npy", ".h5", ".mat",
    ".parquet", ".gz", ".tar", ".tgz",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Broken:
    """What could not be read.

    Attributes
    ----------
    place
        File or folder, relative to the root, as `shown_path` writes it.
    reason
        Reason code (docs/reasons.md).
    n_files
        Files that it stands for.
    """

    place: str
    reason: str
    n_files: int = 1


@dataclass(kw_only=True)
class Walked:
    """Counts of a walk.

    Attributes
    ----------
    n_folders, n_files
        Folders and files.
    other
        Ending -> files that are no images; ``special`` for pipes, sockets and devices.
    """

    n_folders: int = 0
    n_files: int = 0
    other: Counter[str] = field(default_factory=Counter)


def read_tree(root: str | Path, walked: Walked) -> Iterator[Facts | Broken]:
    """Give every series below a folder, in the order of the names of folders and files.

    Parameters
    ----------
    root
        Folder.
    walked
        Is counted up.

    A folder that cannot be listed is broken: ``unreadable_input``.
    """
    root = str(root)
    refused: list[str] = []
    for place, names in walk(root, refused=refused):
        shown = os.path.relpath(place, root)
        walked.n_folders += 1
        walked.n_files += len(names)
        others: list[RawFile] = []
        for name in names:
            path = os.path.join(place, name)
            here = shown_path(os.path.normpath(os.path.join(shown, name)))
            ending = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                walked.other["hidden"] += 1
            elif ending in _OTHER and not is_nifti_name(name):
                walked.other[ending] += 1
            elif _is_special(path):
                walked.other["special"] += 1
            elif is_nifti_name(name):
                yield from _nifti(path, here, walked)
            elif ending == ".zip":
                yield from _archive(path, here, walked)
            else:
                others.append(DiskFile(path))
        if others:
            yield from _dicom(others, shown_path(shown), walked)
    for path in refused:
        gone = shown_path(os.path.relpath(path, root))
        yield Broken(place=gone, reason="unreadable_input", n_files=0)


def shown_path(path: str) -> str:
    r"""Return a path as text that is safe in a table and on a terminal.

    Bytes that are no UTF-8, control characters and those that turn the direction of writing are
    escaped, and backslashes are doubled: different paths stay different.

    Examples
    --------
    >>> shown_path("a\x1b[31m/größe")
    'a\\x1b[31m/größe'
    """
    text = os.fsencode(path).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if unicodedata.category(letter) not in _STEERING:
        return letter
    code = ord(letter)
    if code < 128:
        return letter.encode("unicode_escape").decode()
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


def _is_special(path: str) -> bool:
    """Whether this is a pipe, a socket or a device: opening one may wait for ever."""
    try:
        return not DiskFile(path).is_regular()
    except OSError:
        return False  # reading it gives the reason


def keys_of(place: str) -> tuple[str, str]:
    """Return keys of subject and visit that a path gives: by BIDS, else its folder is the visit.

    Datasets have subjects of their own. Without ``sub-`` in a folder or in the file's name the
    subject is empty: how many folders lie between a study and its subjects is not known.

    Examples
    --------
    >>> keys_of("study/sub-1/ses-2/func/a.nii.gz")
    ('study/sub-1', 'study/sub-1/ses-2')
    >>> keys_of("study/train/someone/a.nii.gz")
    ('', 'study/train/someone')
    """
    *folders, name = Path(place).parts
    in_name = {kind: whole for whole, kind in _IN_NAME.findall(name)}
    at = next((i for i, part in enumerate(folders) if _SUB.fullmatch(part)), None)
    sessions = [part for part in folders[at or 0 :] if _SES.fullmatch(part)]
    if at is not None:
        above = folders[:at]
        first = next((i for i, part in enumerate(above) if part in _VERSIONS), at)
        subject = "/".join((*above[:first], folders[at]))
    elif "sub" in in_name:
        subject = "/".join((*(f for f in folders if f not in sessions), in_name["sub"]))
    else:
        return "", "/".join(folders) or "."
    session = sessions[0] if sessions else in_name.get("ses", "")
    return subject, f"{subject}/{session}" if session else subject


def _nifti(
    path: str, here: str, walked: Walked, file: ZippedFile | None = None
) -> Iterator[Facts | Broken]:
    subject, session = keys_of(here if file is None else os.path.join(here, file.name))
    try:
        found = nifti_series(path, place=here, subject=subject, session=session, file=file)
    except SubjectError as error:
        yield Broken(place=here, reason=error.reason)
    except OSError:
        yield Broken(place=here, reason="unreadable_input" if file is None else "zip_damaged")
    except MemoryError:
        yield Broken(place=here, reason="out_of_memory")
    except Exception:  # as the runner: a fault of ours or of a library; the others go on
        yield Broken(place=here, reason="unexpected_error")
    else:
        if found is None:
            walked.other["labels"] += 1
        else:
            yield found


def _archive(path: str, here: str, walked: Walked) -> Iterator[Facts | Broken]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(ZipArchive(path))
        except SubjectError as error:
            yield Broken(place=here, reason=error.reason)
            return
        rest: list[RawFile] = []
        for file in archive.files():
            if is_nifti_name(file.name):
                yield from _nifti(path, here, walked, file)
            elif not file.name.lower().endswith(_OTHER):
                rest.append(file)
        if rest:
            yield from _dicom(rest, here, walked)


def _dicom(files: Sequence[RawFile], here: str, walked: Walked) -> Iterator[Facts | Broken]:
    subject, session = keys_of(os.path.join(here, "file"))
    for found in dicom_series(files, place=here, subject=subject, session=session):
        if isinstance(found, Facts):
            yield found
        elif isinstance(found, Damaged):
            yield Broken(place=here, reason=found.reason, n_files=found.n_files)
        else:
            walked.other[shown_path(found) or "without ending"] += 1
