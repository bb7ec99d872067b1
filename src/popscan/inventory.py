"""What popscan wrote, so that what is lost or changed since is seen and made again.

Beside every output that Snakemake watches there is an inventory, ``store/inventory/<output>.tsv``:
size, time, checksum and name of the files that were written with it. Its first lines are the few
files of which the checksum is known (a manifest and its journal, tables, pages); then come the
files of single subjects, whose digest stands in their records. Size and time are compared, the
content only where they leave a doubt. An output without inventory is made again: that is cheap,
since the journals spare all subjects that are up to date.

The Snakefile imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from popscan.disk import noting_files, write_atomic

#: Size in bytes and mtime in ns.
Stamp = tuple[int, int]

_FOLDER = Path("store", "inventory")
_NO_CHECKSUM = "-"
#: Files that come and go while a job writes its output, and that are accounted for elsewhere: of
#: subjects whose files it had given back, their records, and copies outside the study.
_NOT_OF_AN_OUTPUT = ("store", "manifests", "derivatives", "archives", os.pardir)
_CHUNK = 1 << 20
#: Inventories larger than this are read in threads: the disk is asked over a network, perhaps.
_THREADS = 8
#: A dry run looks at single subjects' files where the inventories are no larger than this.
DRY_RUN_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file: its stamp when it was written, and the checksum of its content, if kept here."""

    name: str
    stamp: Stamp
    checksum: str = _NO_CHECKSUM


def inventory_path(root: Path, output: str) -> Path:
    """Path of the inventory of an output, which is named relative to the study's folder."""
    return root / _FOLDER / f"{output}.tsv"


def write_inventory(
    root: Path, output: str, whole: Iterable[Path], subject_files: Mapping[str, Stamp] | None = None
) -> None:
    """Write down what was written with an output.

    Parameters
    ----------
    root
        The study's folder.
    output
        File that Snakemake watches, relative to `root`.
    whole
        Files whose checksums are kept; those that are gone already are left out.
    subject_files
        Name relative to `root` -> stamp of files whose digests stand in the subjects' records.
    """
    entries = [
        Entry(name=os.path.relpath(path, root), stamp=stamp_of(path), checksum=checksum_of(path))
        for path in sorted(set(whole))
        if path.is_file()
    ]
    entries += [Entry(name=name, stamp=stamp) for name, stamp in (subject_files or {}).items()]
    lines = [f"{e.stamp[0]}\t{e.stamp[1]}\t{e.checksum}\t{e.name}\n" for e in entries]
    path, text = inventory_path(root, output), "".join(lines).encode()
    if not path.is_file() or path.read_bytes() != text:
        write_atomic(path, text)


@contextmanager
def inventoried(root: Path, output: Path) -> Iterator[None]:
    """Write down every whole file that is written inside the block as belonging to `output`."""
    with noting_files() as written:
        yield
    own = [p for p in written if _first_folder(root, p) not in _NOT_OF_AN_OUTPUT]
    write_inventory(root, os.path.relpath(output, root), [*own, output])


def _first_folder(root: Path, path: Path) -> str:
    return os.path.relpath(path, root).partition(os.sep)[0]


def read_inventory(root: Path, output: str, *, subject_files: bool = True) -> list[Entry] | None:
    """Read an inventory; None if there is none or it is damaged.

    Parameters
    ----------
    root, output
        As for `write_inventory`.
    subject_files
        Whether files of single subjects are wanted, too.
    """
    entries = []
    try:
        with inventory_path(root, output).open(encoding="utf-8") as stream:
            for line in stream:
                size, mtime, checksum, name = line.split("\t")
                if checksum == _NO_CHECKSUM and not subject_files:
                    break
                stamp = (int(size), int(mtime))
                entries.append(Entry(name=name.rstrip("\n"), stamp=stamp, checksum=checksum))
    except (OSError, ValueError):
        return None
    return entries or None


def drop_inventory(root: Path, output: str) -> None:
    """Have an output made again by the next run."""
    inventory_path(root, output).unlink(missing_ok=True)


def damaged_files(
    root: Path, output: str, *, subject_files: bool, content: bool = False
) -> list[str] | None:
    """Names of files of an output that are gone or not as they were written.

    Parameters
    ----------
    root, output
        As for `write_inventory`.
    subject_files
        Whether to look at files of single subjects: one of another time counts as in doubt.
    content
        Compare checksums also where size and time are as they were.

    Returns
    -------
    list of str or None
        None if it is not known what was written.
    """
    entries = read_inventory(root, output, subject_files=subject_files)
    if entries is None:
        return None
    return [entry.name for entry in entries if _differs(root, entry, content=content)]


def outputs_known(root: Path) -> list[str]:
    """Return all outputs that have an inventory, and the manifests, which ought to."""
    folder = root / _FOLDER
    known = {str(path.relative_to(folder))[: -len(".tsv")] for path in folder.rglob("*.tsv")}
    known |= {str(path.relative_to(root)) for path in root.glob("manifests/*/*.parquet")}
    return sorted(known)


def damaged_outputs(
    root: Path, *, subject_files: bool, content: bool = False
) -> dict[str, list[str]]:
    """Find the outputs that have to be made again.

    Returns
    -------
    dict
        Output -> files that are lost, changed or in doubt; the output itself if that is not known.
    """
    outputs = outputs_known(root)

    def look(output: str) -> list[str]:
        lost = damaged_files(root, output, subject_files=subject_files, content=content)
        return [output] if lost is None else lost

    with ThreadPoolExecutor(_THREADS if subject_files else 1) as pool:
        found = dict(zip(outputs, pool.map(look, outputs), strict=True))
    return {output: lost for output, lost in found.items() if lost}


def is_small(root: Path) -> bool:
    """Whether all files of all subjects can be looked at in a moment."""
    size = 0
    for path in (root / _FOLDER).rglob("*.tsv"):
        size += path.stat().st_size
        if size > DRY_RUN_BYTES:
            return False
    return True


def stamp_of(path: Path | str) -> Stamp:
    """Size and time of a file."""
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


def checksum_of(path: Path | str) -> str:
    """CRC-32 of a file's content."""
    value = 0
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"


def _differs(root: Path, entry: Entry, *, content: bool) -> bool:
    path = os.path.join(root, entry.name)
    try:
        stamp = stamp_of(path)
        if stamp == entry.stamp and not content:
            return False
        if stamp[0] != entry.stamp[0] or entry.checksum == _NO_CHECKSUM:
            return stamp != entry.stamp
        return checksum_of(path) != entry.checksum
    except OSError:
        return True
