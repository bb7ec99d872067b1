"""Where a study keeps its records: one journal per stage and shard, compacted into manifests.

A manifest is the Parquet file that Snakemake watches; `popscan.journal` describes the journals.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from popscan.disk import write_atomic
from popscan.journal import Journal
from popscan.jsontext import canonical_json, printable
from popscan.manifest import ManifestRow, manifest_bytes, manifest_columns, manifest_rows
from popscan.records import PopscanError, Record, Status

if TYPE_CHECKING:
    import pyarrow as pa


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
        summary = {"popscan_summary": canonical_json(summarise(records))}
        data = manifest_bytes(records, summary, text=canonical_json, printable=printable)
        write_atomic(self.manifest_path(stage, shard), data)

    def read_manifest(
        self, stage: str, shard: str, *, columns: list[str] | None = None
    ) -> list[ManifestRow]:
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

    def read_summary(self, stage: str, shard: str) -> ShardSummary | None:
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
        return cast(ShardSummary, json.loads(text))


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


class ShardSummary(TypedDict):
    """Counts of a shard's records: by status, by reason other than ok, and when they were made.

    ``reasons`` holds per reason how many there are, and unit and message of the first;
    ``finished`` the first and the last time, or nothing.
    """

    statuses: dict[str, int]
    reasons: dict[str, tuple[int, str, str]]
    seconds: float
    finished: list[str]


def summarise(records: Iterable[Record]) -> ShardSummary:
    """Count records: statuses, reasons other than ok with an example, seconds, first and last."""
    statuses: dict[str, int] = {}
    reasons: dict[str, tuple[int, str, str]] = {}
    times, seconds = [], 0.0
    for record in records:
        status = str(record.status)
        statuses[status] = statuses.get(status, 0) + 1
        seconds += record.seconds
        times += [record.finished] if record.finished else []
        if status != Status.OK and record.reason:
            reason = printable(record.reason)
            count, unit, message = reasons.get(reason, (0, record.unit, printable(record.message)))
            reasons[reason] = (count + 1, unit, message)
    ends = [min(times), max(times)] if times else []
    return {"statuses": statuses, "reasons": reasons, "seconds": seconds, "finished": ends}
