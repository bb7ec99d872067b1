"""What is known of whom: one append-only journal per stage and shard, compacted into manifests.

A journal is JSON lines. The last record of a subject wins; a torn last line (the process died
while writing it) is ignored and cut off before the next line is written. Beside records it holds
two short notes: ``attempt`` (work on a subject began) and ``forget`` (it is to be redone). Every
line ends with a checksum of itself: a digit that the disk changed is still JSON and must not count.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from popscan.disk import locked_append, write_atomic
from popscan.manifest import manifest_bytes, manifest_columns, manifest_rows
from popscan.records import PopscanError, Record, Status

if TYPE_CHECKING:
    import pyarrow as pa

_RECORD_FIELDS = {f.name for f in fields(Record)}
#: A journal with this many times more lines than subjects is rewritten when it is compacted.
_REWRITE_FACTOR = 4
#: Key of a line's checksum.
_CHECKSUM = "~"


def canonical_json(data: Any) -> str:
    """JSON text that is equal for equal data: sorted keys, no spaces, NaN allowed."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=_plain)


def printable(text: str) -> str:
    r"""Text that UTF-8 can hold: a file name that was not UTF-8 leaves lone surrogates in messages.

    Examples
    --------
    >>> printable("M\udcfcller.dcm")
    'M?ller.dcm'
    """
    return text.encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    """JSON form of NumPy scalars and arrays, paths and tuples."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (Path, Status)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


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

    def _write(self, line: str) -> None:
        self.stream.write(line.encode())
        self.stream.flush()
        self.n_lines += 1


def record_line(record: Record) -> str:
    """One journal line, with its line break."""
    return _signed(asdict(record))


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


@dataclass(frozen=True)
class Store:
    """Where a study keeps what it knows.

    Attributes
    ----------
    root
        The study's results folder, ``results/<study>``.
    """

    root: Path

    def journal(self, stage: str, shard: str) -> Journal:
        """Return the journal of a stage and shard."""
        return Journal(self.root / "store" / stage / f"{shard}.jsonl")

    def manifest_path(self, stage: str, shard: str) -> Path:
        """Return the path of the manifest that the rule of `stage` declares as its output."""
        return self.root / self.manifest_name(stage, shard)

    @staticmethod
    def manifest_name(stage: str, shard: str) -> str:
        """Return the manifest's path relative to the study's folder."""
        return f"manifests/{stage}/{shard}.parquet"

    def stage_folder(self, stage: str, unit_folder: str) -> Path:
        """Folder of one subject's outputs of one stage."""
        return self.root / "derivatives" / unit_folder / stage

    def write_manifest(self, stage: str, shard: str, records: Iterable[Record]) -> None:
        """Write the records of a shard as the parquet file that Snakemake watches."""
        records = list(records)
        summary = {"popscan_summary": canonical_json(summarise(map(vars, records)))}
        data = manifest_bytes(records, summary, text=canonical_json, printable=printable)
        write_atomic(self.manifest_path(stage, shard), data)

    def read_manifest(
        self, stage: str, shard: str, *, columns: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """Read a manifest's rows as plain Python. Empty if there is none yet.

        Raises
        ------
        PopscanError
            If the file is damaged.
        """
        path = self.manifest_path(stage, shard)
        if not path.exists():
            return []
        with _named_damage(path):
            return manifest_rows(path, columns)

    def manifest_columns(self, stage: str, shard: str, columns: Sequence[str]) -> pa.Table | None:
        """Read a manifest's columns, typed; None if there is none yet.

        Raises
        ------
        PopscanError
            If the file is damaged.
        """
        path = self.manifest_path(stage, shard)
        if not path.exists():
            return None
        with _named_damage(path):
            return manifest_columns(path, columns)

    def read_summary(self, stage: str, shard: str) -> dict[str, Any] | None:
        """Read a shard's counts from its manifest's footer; None if it is not up to date."""
        import pyarrow.parquet as pq

        manifest = self.manifest_path(stage, shard)
        sources = [self.journal(stage, shard).path, shard_file(self.root, shard)]
        try:
            made = manifest.stat().st_mtime_ns
            if any(path.stat().st_mtime_ns > made for path in sources):
                return None
            text = pq.read_metadata(manifest).metadata[b"popscan_summary"]
        except (OSError, KeyError, TypeError, ValueError):
            return None
        return dict(json.loads(text))


@contextlib.contextmanager
def _named_damage(path: Path) -> Iterator[None]:
    """Say which manifest is damaged, and what to do."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise PopscanError(
            f"{path}: the manifest is damaged; type the same command again: it is made anew"
        ) from error


def shard_file(study_root: Path, shard: str) -> Path:
    """Path of the plan's file of a shard."""
    return study_root / "plan" / "shards" / f"{shard}.jsonl"


def summarise(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Count records: statuses, reasons other than ok with an example, seconds, first and last."""
    statuses: dict[str, int] = {}
    reasons: dict[str, list[Any]] = {}
    times, seconds = [], 0.0
    for row in records:
        status = str(row["status"])
        statuses[status] = statuses.get(status, 0) + 1
        seconds += row["seconds"]
        times += [row["finished"]] if row["finished"] else []
        if status != Status.OK and row["reason"]:
            example = [0, row["unit"], printable(row["message"])]
            known = reasons.setdefault(printable(row["reason"]), example)
            known[0] += 1
    ends = [min(times), max(times)] if times else []
    return {"statuses": statuses, "reasons": reasons, "seconds": seconds, "finished": ends}
