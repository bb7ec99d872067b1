"""Every series of an unknown folder tree, one after the other: DICOM, NIfTI, and zip archives.

A series is one NIfTI file, or the DICOM files of one folder (or archive) that share a series
identifier. Only the headers of one folder are held in memory at a time, and the pixels of one
series.
"""

from __future__ import annotations

import os
import re
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

_ENTITY = re.compile(r"^(sub|ses)-[A-Za-z0-9]+$")
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
        File or folder, relative to the root.
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
        Ending -> files that are no images.
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
            path, here = os.path.join(place, name), os.path.normpath(os.path.join(shown, name))
            ending = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                walked.other["hidden"] += 1
            elif is_nifti_name(name):
                yield from _nifti(path, here, walked)
            elif ending == ".zip":
                yield from _archive(path, here, walked)
            elif ending in _OTHER:
                walked.other[ending] += 1
            else:
                others.append(DiskFile(path))
        if others:
            yield from _dicom(others, shown, walked)
    for path in refused:
        yield Broken(place=os.path.relpath(path, root), reason="unreadable_input", n_files=0)


def keys_of(place: str) -> tuple[str, str]:
    """Return keys of subject and visit that a path gives: BIDS entities, else its first folders.

    Examples
    --------
    >>> keys_of("study/sub-1/ses-2/func/a.nii.gz")
    ('sub-1', 'sub-1/ses-2')
    >>> keys_of("study/someone/scans/a.nii.gz")
    ('study/someone', 'study/someone')
    """
    parts = Path(place).parts[:-1]
    found = {part[:3]: part for part in parts if _ENTITY.match(part)}
    if "sub" in found:
        return found["sub"], "/".join(found[key] for key in ("sub", "ses") if key in found)
    folder = "/".join(parts[:2]) or Path(place).name
    return folder, folder


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
    n_damaged = 0
    for found in dicom_series(files, place=here, subject=subject, session=session):
        if isinstance(found, Facts):
            yield found
        elif isinstance(found, Damaged):
            n_damaged += found.reason == "damaged_files"
            yield Broken(place=here, reason=found.reason, n_files=found.n_files)
        else:
            walked.other[found or "without ending"] += 1
