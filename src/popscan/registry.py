"""Which shard a subject is in: an append-only file; no subject ever moves.

New subjects are appended, so ten of them touch one shard; the place of a withdrawn visit stays
taken, without its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from popscan.records import PopscanError, Subject

#: Stands in the registry for a visit that was withdrawn; no identifier can be this.
WITHDRAWN = "*"

_HEADER = "unit\tsub\tses\tshard\n"

_LOST = "; put a copy of the file back, or delete it: subjects are then assigned to shards anew"


def shard_name(index: int) -> str:
    """Name of the shard with this number: five digits, so that names sort."""
    return f"{index:05d}"


class RegistryLine(NamedTuple):
    """One place in a shard: who has it; a visit that was withdrawn leaves `WITHDRAWN` there."""

    unit: str
    sub: str
    ses: str
    shard: str


def registry_lines(path: Path) -> list[RegistryLine]:
    """Read all places of the registry, in order of appearance; empty before the first plan.

    Raises
    ------
    PopscanError
        If the file is damaged: a registry is never guessed, since shards would move.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise PopscanError(f"{path}: damaged, not text" + _LOST) from error
    if not lines or lines[0] != _HEADER:
        raise PopscanError(f"{path}: not a popscan registry (header expected: {_HEADER!r})" + _LOST)
    found = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.rstrip("\n").split("\t")
        if len(cells) != 4 or not line.endswith("\n"):
            raise PopscanError(f"{path}, line {number}: 4 tab-separated columns expected" + _LOST)
        found.append(RegistryLine(*cells))
    return found


def read_registry(path: Path) -> dict[str, str]:
    """Read who is in which shard: unit -> shard, in order of appearance; as `registry_lines`."""
    return {line.unit: line.shard for line in registry_lines(path) if line.unit != WITHDRAWN}


def tombstoned(path: Path, units: Collection[str]) -> str:
    """Return the registry's text without the names of some units; their places stay taken."""
    lines = [
        RegistryLine(WITHDRAWN, WITHDRAWN, "", line.shard) if line.unit in units else line
        for line in registry_lines(path)
    ]
    return _HEADER + "".join("\t".join(line) + "\n" for line in lines)


def extend_registry(
    registry: Mapping[str, str],
    subjects: Iterable[Subject],
    *,
    shard_size: int,
    vacated: Iterable[str] = (),
) -> dict[str, str]:
    """Registry with the subjects that it lacks appended, each in the next free place.

    The shard size may change between runs: places already given stay as they are, and the last
    shard is filled up to the new size. `vacated` holds the shard of every place whose subject was
    withdrawn: nobody moves into it, so that nobody moves.
    """
    out = dict(registry)
    counts: dict[str, int] = {}
    for shard in (*out.values(), *vacated):
        counts[shard] = counts.get(shard, 0) + 1
    last = max((int(shard) for shard in counts), default=0)
    for subject in subjects:
        if subject.unit in out:
            continue
        if counts.get(shard_name(last), 0) >= shard_size:
            last += 1
        out[subject.unit] = shard_name(last)
        counts[shard_name(last)] = counts.get(shard_name(last), 0) + 1
    return out


def registry_text(registry: Mapping[str, str], subjects: Mapping[str, Subject], path: Path) -> str:
    """Return the file's text with a line appended for every unit that it lacks."""
    old = path.read_text(encoding="utf-8") if path.exists() else _HEADER
    known = {line.split("\t", 1)[0] for line in old.splitlines()[1:]}
    lines = [old]
    for unit, shard in registry.items():
        if unit not in known:
            subject = subjects[unit]
            lines.append(f"{unit}\t{subject.sub}\t{subject.ses}\t{shard}\n")
    return "".join(lines)
