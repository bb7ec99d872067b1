"""One stage's journal of one shard: append-only, and robust to processes and disks that fail.

A journal is JSON lines. The last record of a subject wins; a torn last line (the process died
while writing it) is ignored and cut off before the next line is written. Beside records it holds
short notes: ``attempt`` (work on a subject began), ``forget`` (it is to be redone) and ``stored``
(which of its files are still there: `popscan.study.storage`). Every line ends with a checksum of
itself: a digit that the disk changed is still JSON and must not count.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

from popscan.disk import locked_append, write_atomic
from popscan.jsontext import canonical_json
from popscan.records import Record, Status

_RECORD_FIELDS = {f.name for f in fields(Record)}

#: A journal with this many times more lines than subjects is rewritten when it is compacted.
_REWRITE_FACTOR = 4

#: Fields of a record that are written only where they hold something.
_SELDOM = ("removed", "packed")

#: Key of a line's checksum.
_CHECKSUM = "~"


@dataclass
class JournalState:
    """Contents of a journal: last record per unit, and attempts since that record."""

    records: dict[str, Record] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    n_lines: int = 0


@dataclass(frozen=True)
class Journal:
    """One stage's journal of one shard.

    Attributes
    ----------
    path
        ``store/<stage>/<shard>.jsonl``; it need not exist yet.
    """

    path: Path

    def read(self) -> JournalState:
        """Read the journal; a torn last line and damaged lines are ignored."""
        state = JournalState()
        if not self.path.exists():
            return state
        with self.path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    state.n_lines += 1
                    _apply(state, line)
        return state

    @contextlib.contextmanager
    def writer(self, *, patience_s: float = 0.0) -> Iterator[JournalWriter]:
        """Open for appending, alone: a second writer waits, or is refused.

        Parameters
        ----------
        patience_s
            Wait for another writer as long as it wrote something within so many seconds.

        Raises
        ------
        PopscanError
            If another process is writing this journal.
        """
        with locked_append(self.path, patience_s=patience_s) as stream:
            _cut_torn_line(stream)
            yield JournalWriter(stream)
            stream.flush()
            os.fsync(stream.fileno())

    def compact(self, order: Sequence[str], state: JournalState) -> None:
        """Rewrite a journal that has grown far beyond its subjects; atomic.

        Call it last while holding the `writer`: what is appended afterwards would be lost.
        """
        if state.n_lines <= _REWRITE_FACTOR * max(len(order), 16):
            return
        lines = [record_line(record) for record in state.records.values()]
        for unit, count in state.attempts.items():
            lines += [_signed({"attempt": unit})] * count
        write_atomic(self.path, "".join(lines).encode())


@dataclass
class JournalWriter:
    """Appends to an open, locked journal, and counts the lines."""

    stream: IO[bytes]
    n_lines: int = 0

    def record(self, record: Record) -> None:
        """Append a record; it is complete on disk or it is not there."""
        self._write(record_line(record))

    def attempt(self, unit: str) -> None:
        """Note that work on `unit` begins, so that a worker killed by it can be identified."""
        self._write(_signed({"attempt": unit}))

    def forget(self, unit: str) -> None:
        """Note that the record of `unit` no longer counts."""
        self._write(_signed({"forget": unit}))

    def stored(self, record: Record) -> None:
        """Note which files of a record are stored and which were removed; the rest stands."""
        self._write(_signed(_storage_note(record)))

    def sync(self) -> None:
        """Have the disk hold what was appended before anything else happens."""
        os.fsync(self.stream.fileno())

    def _write(self, line: str) -> None:
        self.stream.write(line.encode())
        self.stream.flush()
        self.n_lines += 1


def record_line(record: Record) -> str:
    """One journal line, with its line break."""
    data = asdict(record)
    for name in _SELDOM:
        if not data[name]:
            del data[name]
    return _signed(data)


def _storage_note(record: Record) -> dict[str, Any]:
    note = {
        "stored": record.unit,
        "digest": record.digest,
        "files": record.files,
        "removed": record.removed,
    }
    return {**note, "packed": record.packed} if record.packed else note


def _signed(data: Mapping[str, Any]) -> str:
    """Return data as a line of JSON whose last key is the CRC-32 of the rest."""
    body = canonical_json(data)
    return f'{body[:-1]},"{_CHECKSUM}":"{zlib.crc32(body.encode()):08x}"}}\n'


def _verified(line: bytes) -> Any:
    """Return what a line holds.

    Raises
    ------
    ValueError
        If it is no JSON or its checksum differs.
    """
    body, mark, checksum = line.rpartition(f',"{_CHECKSUM}":"'.encode())
    body += b"}"
    if not mark or checksum != f'{zlib.crc32(body):08x}"}}\n'.encode():
        raise ValueError("the line was damaged")
    return json.loads(body)


def record_from_dict(data: Mapping[str, Any]) -> Record:
    """Rebuild a record from its JSON form."""
    known = {key: value for key, value in data.items() if key in _RECORD_FIELDS}
    known["status"] = Status(known["status"])
    known["rows"] = tuple(known.get("rows", ()))
    return Record(**known)


def _apply(state: JournalState, line: bytes) -> None:
    try:
        data = _verified(line)
        if "attempt" in data:
            state.attempts[data["attempt"]] = state.attempts.get(data["attempt"], 0) + 1
        elif "stored" in data:
            record = state.records[data["stored"]]
            if record.digest == data["digest"]:
                state.records[record.unit] = replace(
                    record,
                    files=dict(data["files"]),
                    removed=dict(data["removed"]),
                    packed=dict(data.get("packed", {})),
                )
        elif "forget" in data:
            state.records.pop(data["forget"], None)
            state.attempts.pop(data["forget"], None)
        else:
            record = record_from_dict(data)
            state.records[record.unit] = record
            state.attempts.pop(record.unit, None)
    except (ValueError, KeyError, TypeError):
        # A line damaged by the disk costs its subject a rerun, nothing else.
        return


def _cut_torn_line(stream: IO[bytes]) -> None:
    end = stream.seek(0, os.SEEK_END)
    if end == 0:
        return
    stream.seek(end - 1)
    if stream.read(1) == b"\n":
        return
    stream.seek(0)
    kept = stream.read().rfind(b"\n") + 1
    stream.truncate(kept)
    stream.seek(0, os.SEEK_END)
