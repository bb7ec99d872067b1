"""Names of UK Biobank's bulk files, and the files of a folder that bear one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from popscan.io.walk import identity
from popscan.records import PopscanError

_NAME = re.compile(r"(\d{4,10})_(\d{1,6})_(\d{1,2})_(\d{1,4})\.zip", re.ASCII | re.IGNORECASE)
_REGIONS = re.compile(r"(.+)_dseg\.nii(?:\.gz)?", re.IGNORECASE)
#: More files below the root than this are a mistake in the path.
MAX_FILES = 20_000_000


class BulkFile(NamedTuple):
    """A bulk file, as its name says."""

    eid: str
    field: int
    instance: int
    array: int
    path: str

    @classmethod
    def of(cls, path: str) -> BulkFile | None:
        """Read a file's name; None where it is none of a bulk file.

        Examples
        --------
        >>> BulkFile.of("20209/1000012_20209_2_0.zip")[:4]
        ('1000012', 20209, 2, 0)
        """
        match = _NAME.fullmatch(os.path.basename(path))
        if match is None:
            return None
        eid, *numbers = match.groups()
        field, instance, array = map(int, numbers)
        return cls(eid, field, instance, array, path)

    @classmethod
    def of_regions(cls, path: str) -> BulkFile | None:
        """Read the name of a file of regions: that of the bulk file they were drawn on."""
        match = _REGIONS.fullmatch(os.path.basename(path))
        bulk = cls.of(f"{match[1]}.zip") if match else None
        return bulk._replace(path=path) if bulk else None


def bulk_files(root: str | Path, *, regions: bool) -> Iterator[str]:
    """Every zip below a folder, links to folders followed once, in order of names.

    With `regions` also what is named as regions are.

    Raises
    ------
    PopscanError
        If the folder cannot be listed, or holds far too much.
    """
    seen = {identity(str(root))}
    n_files = 0

    def refuse(error: OSError) -> None:
        raise PopscanError(f"{root}: a folder in it cannot be read ({error.strerror})")

    for place, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        new = []
        for name in sorted(folders):
            key = identity(os.path.join(place, name))
            if key is not None and key not in seen and not name.startswith("."):
                seen.add(key)
                new.append(name)
        folders[:] = new
        n_files += len(names)
        if n_files > MAX_FILES:
            raise PopscanError(f"{root}: more than {MAX_FILES} files")
        for name in sorted(names):
            wanted = name.lower().endswith(".zip") or (regions and _REGIONS.fullmatch(name))
            if wanted and not name.startswith("."):
                yield os.path.join(place, name)
