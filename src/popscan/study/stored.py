"""Records whose files come and go while all else that they say stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from popscan.archive import Archive
from popscan.outputs import write_files
from popscan.plan import read_shard
from popscan.records import Outcome, Record, Subject, SubjectError
from popscan.standing import FileStamps, note_files
from popscan.store import Store
from popscan.task import Task

#: A job waits for a worker that outlived its Snakemake as long as it goes on recording subjects.
PATIENCE_S = 3600.0


def known_record(store: Store, stage: str, shard: str, unit: str) -> Record:
    """Return a stage's record of a subject, as it is at this moment.

    Raises
    ------
    SubjectError
        If there is none (reason ``upstream_missing``).
    """
    record = store.journal(stage, shard).read().records.get(unit)
    if record is None:
        raise SubjectError("upstream_missing", f"{stage} has no record of this subject yet")
    return record


def put_back(
    store: Store, task: Task, shard: str, subject: Subject, record: Record, outcome: Outcome
) -> bool:
    """Write a record's files again; return whether they are what it says.

    Parameters
    ----------
    store, task, shard, subject
        Whose files.
    record
        As it was before the work; another job that changed it meanwhile did the same.
    outcome
        What came of the work.
    """
    folder = store.stage_folder(task.stage, subject.folder)
    given = task.source_folder(subject) if task.source_folder else None
    with store.journal(task.stage, shard).writer(patience_s=PATIENCE_S) as writer:
        if known_record(store, task.stage, shard, subject.unit) != record:
            return True
        digest, files = write_files(store, folder, task, outcome, given)
        if digest != record.digest:
            return False
        writer.stored(replace(record, files=files, removed={}, packed={}))
        records = store.journal(task.stage, shard).read().records
        settle(store, task.stage, shard, records)
    return True


def unpack(store: Store, stage: str, shard: str, unit: str) -> int:
    """Give a subject's files back that lie in the shard's archive; return how many.

    Raises
    ------
    ArchiveError
        If they are not there as they were packed.
    SubjectError
        If the stage has no record of the subject (reason ``upstream_missing``).
    """
    with store.journal(stage, shard).writer(patience_s=PATIENCE_S) as writer:
        record = known_record(store, stage, shard, unit)
        if not record.packed:
            return 0
        wanted = {name: record.removed[name] for name in record.packed}
        Archive(store.root, stage, shard).unpack(wanted, lambda name: store.root / name)
        removed = {name: record.removed[name] for name in record.gone}
        files = {**record.files, **record.packed}
        writer.stored(replace(record, files=files, removed=removed, packed={}))
        settle(store, stage, shard, store.journal(stage, shard).read().records)
    return len(wanted)


def settle(
    store: Store,
    stage: str,
    shard: str,
    records: Mapping[str, Record],
    *,
    archive_seen: bool = False,
) -> None:
    """Bring manifest and inventory in line with a journal whose records list other files now.

    Times stay as they were: Snakemake has nothing to run for it. Call it last while holding the
    writer.

    Parameters
    ----------
    store, stage, shard, records
        Whose.
    archive_seen
        As for `popscan.standing.note_files`.
    """
    manifest, journal = store.manifest_path(stage, shard), store.journal(stage, shard).path
    try:
        times = manifest.stat()
    except FileNotFoundError:
        return  # its job is going to write both
    order = [item.subject.unit for item in read_shard(store.root, shard)]
    present = [records[unit] for unit in order if unit in records]
    stamps = FileStamps.of(store, stage, shard)
    store.journal(stage, shard).compact(order, store.journal(stage, shard).read())
    store.write_manifest(stage, shard, present)
    for path in (manifest, journal):
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    note_files(store, stage, shard, present, stamps, archive_seen=archive_seen)
