"""Take out all that a study has of some subjects: their files, and their rows of its tables.

What is written names the subjects. It is for those who may see the study itself, unlike ``share/``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from popscan.archive import Archive, ArchiveError
from popscan.commands.export_account import Part, describe, listing, sentences
from popscan.commands.export_tables import Others, export_tables
from popscan.disk import MACHINE_ERRNOS, atomic_stream
from popscan.lock import StudyLock
from popscan.names import matching_units, resolve_units
from popscan.outputs import digest_of
from popscan.plan import read_shard
from popscan.records import PopscanError, Record, Status
from popscan.registry import read_registry
from popscan.stages import SUBJECT_STAGES
from popscan.store import Store
from popscan.study.tables import read_table
from popscan.withdrawn import Memory

_CHUNK = 1 << 20
#: Names in one message.
_LISTED = 10
_DESCRIPTION = "derivatives/dataset_description.json"
#: Why a subject has no files, where no record says it.
_NO_RECORD, _REMOVED, _NO_FILES = "no_record", "removed_by_storage", "no_stage_wrote_files"


class ExportDamageError(PopscanError):
    """Files of the chosen subjects are not what the study wrote: nothing is exported."""

    def __init__(self, damaged: Mapping[Path, Sequence[str]]) -> None:
        self.problems = [
            f"{root}: lost or changed since it was written: {name}"
            for root, names in damaged.items()
            for name in names
        ]
        self.problems += [
            f"nothing was exported; 'popscan verify {root} --deep' marks what is damaged, and the "
            "same snakemake command makes it again"
            for root in damaged
        ]
        super().__init__("; ".join(self.problems))


def export_subjects(parts: Sequence[Path], names: Sequence[str], out: Path) -> list[str]:
    """Write files and rows of some subjects into a new folder, as they lie in the study.

    Every file is compared with the checksum in its record. The folder is written whole or not at
    all: the same study and names give the same bytes.

    Parameters
    ----------
    parts
        The study's folder, or those of its protocols (`popscan.study.parts.parts_of`). Each
        protocol's files lie in a folder of its name then.
    names
        Subjects (all their visits) or visits.
    out
        A folder that does not exist, or an empty one.

    Returns
    -------
    list of str
        Sentences: what was written, and what is missing in it.

    Raises
    ------
    ExportDamageError
        If a file or table is not what the study wrote.
    PopscanError
        If a name is unknown, ambiguous or was withdrawn, `out` is not empty or lies in the study,
        the study is being run, or the disk is full. Nothing is written in any of these cases.
    """
    target = out.resolve()
    _check_folder(parts, out)
    if busy := [str(part) for part in parts if not StudyLock(part).is_free()]:
        raise PopscanError(f"{busy[0]} is being run; stop snakemake, or wait for its end")
    registries = {part: read_registry(part / "plan" / "registry.tsv") for part in parts}
    known = list(dict.fromkeys(unit for registry in registries.values() for unit in registry))
    chosen = _chosen(parts, names, known)
    others = Others(known, chosen)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        done = {}
        for part, registry in registries.items():
            here = [unit for unit in chosen if unit in registry]
            place = "." if len(parts) == 1 else part.name
            done[place] = _export_part(part, here, registry, temporary / place)
            done[place].tables = export_tables(part, temporary / place, here, others)
            done[place].outdated = _outdated(temporary / place, done[place].accounts)
        if len(parts) > 1:
            study = Part(root=parts[0].parent, units=chosen)
            study.tables = export_tables(study.root, temporary, chosen, others)
            done["."] = study
        damaged = {one.root: [*one.damaged, *one.tables.damaged] for one in done.values()}
        if found := {root: files for root, files in damaged.items() if files}:
            raise ExportDamageError(found)
        describe(temporary, chosen, done)
        temporary.rename(target)
    except OSError as error:
        raise PopscanError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return list(sentences(out, chosen, done))


def _check_folder(parts: Sequence[Path], out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PopscanError(f"--out {out}: exists and is not an empty folder; name a new one")
    studies = {part.resolve() for part in parts}
    if len(parts) > 1:
        studies.add(parts[0].resolve().parent)
    if studies & {out.resolve(), *out.resolve().parents}:
        raise PopscanError(f"--out {out}: lies in the study; name a folder elsewhere")


def _chosen(parts: Sequence[Path], names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the visits that are meant; none that was withdrawn or is unknown."""
    if not names:
        raise PopscanError("--subjects: no subject was named")
    memories = [Memory.read(part) for part in parts]

    def left(name: str) -> bool:
        return any(m.left_by_hand(name) or m.left_by_hand(f"sub-{name}") for m in memories)

    gone = [name for name in names if left(name) and not matching_units([name], known)]
    fresh = [name for name in names if name not in gone]
    chosen = resolve_units(fresh, known, where="--subjects") if fresh else []
    # A withdrawal that was interrupted is remembered already.
    if gone := [*gone, *(unit for unit in chosen if left(unit))]:
        raise PopscanError(
            f"--subjects: withdrawn from the study: {listing(gone)}; nothing was exported"
        )
    return chosen


def _export_part(root: Path, units: list[str], registry: Mapping[str, str], out: Path) -> Part:
    """Copy the files of some visits of one study, each held against its record."""
    done, store = Part(root=root, units=units), Store(root)
    of_shard: dict[str, list[str]] = {}
    for unit in units:
        of_shard.setdefault(registry[unit], []).append(unit)
    records: dict[str, list[Record]] = {unit: [] for unit in units}
    for shard, mine in of_shard.items():
        planned = {one.subject.unit for one in read_shard(root, shard)}
        if absent := [unit for unit in mine if unit not in planned]:
            raise PopscanError(f"{root}: not in the study any more: {listing(absent)}")
        for stage in _stages(root, shard):
            found = store.journal(stage, shard).read().records
            for unit in mine:
                if unit in found:
                    records[unit].append(found[unit])
                    account = (str(found[unit].status), found[unit].reason)
                    done.accounts[unit, stage] = account
                    _export_record(store, found[unit], shard, out, done)
    for unit, own in records.items():
        if not any(record.files or record.packed for record in own):
            done.without_files[unit] = _why(own)
    return done


def _stages(root: Path, shard: str) -> list[str]:
    """Stages that have been through a shard, in order; last those that are not installed here."""
    there = {path.parent.name for path in (root / "store").glob(f"*/{shard}.jsonl")}
    order = [stage for stage in SUBJECT_STAGES if stage in there]
    return [*order, *sorted(there - set(order))]


def _export_record(store: Store, record: Record, shard: str, out: Path, done: Part) -> None:
    """Copy the files of one record; note those that are damaged, and those that are not stored."""
    if record.gone:
        done.removed.setdefault(record.unit, []).extend(sorted(record.gone))
    bad, sums = [], dict(record.removed)
    for name in sorted(record.files):
        try:
            sums[name] = _copied(store.root / name, out / name)
        except OSError as error:
            if error.errno in MACHINE_ERRNOS:
                raise
            bad.append(name)
    archive = Archive(store.root, record.stage, shard)
    for name in sorted(record.packed):
        try:
            archive.unpack({name: record.removed[name]}, lambda entry: out / entry)
        except ArchiveError:
            bad.append(f"{archive.name}: {name}")
    n_files = len(record.files) + len(record.packed)
    if n_files and not bad and digest_of(record, sums) != record.digest:
        # The digest is of all files of the record; a size tells at once which one it is.
        sizes = {name: (out / name).stat().st_size for name in record.files}
        other = [name for name, size in record.files.items() if sizes[name] != size]
        bad = sorted(other or record.files or record.packed)
    done.damaged += bad
    if n_files:
        done.n_files[record.stage] = done.n_files.get(record.stage, 0) + n_files


def _copied(source: Path, target: Path) -> str:
    """Copy a file; return its SHA-256."""
    digest = hashlib.sha256()
    with source.open("rb") as stream, atomic_stream(target) as copy:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _why(records: Sequence[Record]) -> str:
    """Return why there are no files of a visit."""
    if not records:
        return _NO_RECORD
    if any(record.gone for record in records):
        return _REMOVED
    for record in records:
        if record.reason and record.status in (Status.FAILED, Status.EXCLUDED, Status.SKIPPED):
            return f"{record.stage}: {record.reason}"
    return _NO_FILES


def _outdated(out: Path, accounts: Mapping[tuple[str, str], tuple[str, str]]) -> list[str]:
    """Return visits whose rows in the exported ledger are not what the records say."""
    columns = ["unit", "stage", "status", "reason"]
    ledger = read_table(out, "ledger", columns=columns)
    rows = ledger.fillna("").astype(str).to_dict("records") if len(ledger) else []
    outdated = [
        row["unit"]
        for row in rows
        if accounts.get((row["unit"], row["stage"])) != (row["status"], row["reason"])
    ]
    return list(dict.fromkeys(outdated))
