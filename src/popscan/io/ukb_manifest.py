"""``manifest.cvs`` or ``manifest.csv`` in a bulk zip of UK Biobank: which images there ought to be.

The file is no CSV that a parser can read: dates and descriptions hold commas and are not quoted,
some have no header, names of columns and endings are written in any case. So nothing is taken
from its columns; names of files are found wherever they stand.
"""

from __future__ import annotations

import re

from popscan.io.zipped import ZipArchive
from popscan.records import SubjectError

_NAMES = frozenset({"manifest.csv", "manifest.cvs"})
#: A manifest of a few hundred images has some 100 kB.
_MAX_BYTES = 16 * 2**20
#: Blanks are counted: of a file of blanks each would be asked for all that follow.
_FILE = re.compile(
    r"(?:^|[,;\t\"/\\]) {0,8}([\w.+-]{1,200}\.(?:dcm|ima|dicom))(?= {0,8}(?:[,;\t\"\r]|$))",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)


def is_manifest(name: str) -> bool:
    """Whether an entry of a zip is its manifest.

    Examples
    --------
    >>> is_manifest("manifest.cvs"), is_manifest("a/Manifest.CSV"), is_manifest("1.dcm")
    (True, True, False)
    """
    return name.rpartition("/")[2].lower() in _NAMES


def listed_images(text: str) -> set[str]:
    r"""Names of image files that a manifest lists, in small letters, without folders.

    Examples
    --------
    >>> sorted(listed_images("Filename,Date\n1.2.DCM,Jan 2, 2015 10:31\n1.3.dcm,x, y"))
    ['1.2.dcm', '1.3.dcm']
    """
    return {name.lower() for name in _FILE.findall(text)}


def missing_images(archive: ZipArchive, *, what: str) -> list[str]:
    """Say how many images the manifest lists that the archive lacks; nothing where it says none.

    Parameters
    ----------
    archive
        With a manifest, or without.
    what
        Name of the archive in the sentence.
    """
    names = archive.names
    there = {name.rpartition("/")[2].lower() for name in names}
    listed: set[str] = set()
    for name in filter(is_manifest, names):
        if archive.size(name) <= _MAX_BYTES:
            try:
                listed |= listed_images(archive.read(name).decode("utf-8", "replace"))
            except (OSError, SubjectError):
                continue
    lost = len(listed - there)
    return [f"{what}: {lost} of {len(listed)} images that its manifest lists are missing"] * bool(
        lost
    )
