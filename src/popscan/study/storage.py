"""What of each subject stays on disk: files that no stage of the study will read are removed.

A stage's record says what it put out; of what is removed it keeps the checksum, so that the record
stands as before. Who needs such a file later makes it again (`popscan.stages.restoring`). What is
kept may be packed into archives, one per stage and shard (`popscan.archive`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from popscan.archive import Archive
from popscan.outputs import checksums, digest_of
from popscan.plan import read_shard
from popscan.records import PopscanError, Record, Status
from popscan.stages import SUBJECT_STAGES, built_on, reads
from popscan.store import Store
from popscan.study.storage_choice import COPIED, Choice, not_kept
from popscan.study.storage_counts import file_counts
from popscan.study.stored import PATIENCE_S, settle

log = logging.getLogger(__name__)

#: Results of stages that are no records: read by later ones, made of a shard or of the study.
_RESULTS = {
    "atlas_prepare": "atlas/work/prepared/{shard}.npz",
    "visibility_features": "visibility/features/{shard}.npz",
    "rca_references": "rca/references.npz",
}


@dataclass(kw_only=True)
class Removed:
    """How many files and bytes were removed; what was packed is not counted."""

    n_files: int = 0
    n_bytes: int = 0


def clear_shard(store: Store, shard: str, *, last: bool = False) -> Removed:
    """Remove files of a shard's subjects that are not kept and that no stage is going to read.

    Those that are kept are packed, where the study has archives.

    Parameters
    ----------
    store, shard
        Study and shard.
    last
        Whether all of the study is done, its report included: before that, subjects that failed or
        that QC wants to be looked at keep their images, since their pages show them.

    Raises
    ------
    PopscanError
        If the disk fails, or another process holds the journal.
    """
    choice, removed = Choice.read(store.root), Removed()
    keeps_files = choice.keep == "all" and not choice.archives
    for stage in choice.stages:
        archive = Archive(store.root, stage, shard)
        _remove_temporaries(store, archive)
        if keeps_files and not archive.path.exists():
            continue  # of earlier archives, entries of subjects that left go all the same
        if stage in SUBJECT_STAGES and store.manifest_path(stage, shard).exists():
            try:
                _clear_stage(store, choice, stage, shard, removed, last=last)
            except OSError as error:
                raise PopscanError(
                    f"{stage}, shard {shard}: its files cannot be packed or removed ({error}); "
                    "nothing is lost; type the same command again"
                ) from error
    return removed


def _remove_temporaries(store: Store, archive: Archive) -> None:
    """Remove what a kill left of an archive: it may hold subjects that leave the study."""
    if archive.temporaries():
        journal = store.journal(archive.stage, archive.shard)
        with journal.writer(patience_s=PATIENCE_S):  # whoever writes an archive holds it
            archive.remove_temporaries()


def _clear_stage(
    store: Store, choice: Choice, stage: str, shard: str, removed: Removed, *, last: bool
) -> None:
    journal = store.journal(stage, shard)
    if not _has_work(store, choice, stage, shard, journal.read().records, last=last):
        return
    readers = [one for one in choice.stages if stage in reads(one)]
    with journal.writer(patience_s=PATIENCE_S) as writer:
        # Asked under the lock: a reader that begins now has no result any more.
        if not all(_is_done(store, choice, one, shard, last=last) for one in readers):
            return
        done = _records_of(store, [one for one in readers if one in SUBJECT_STAGES], shard)
        shown = set() if last or stage in COPIED else _shown(store, choice, shard)
        before = journal.read().records
        if not _has_work(store, choice, stage, shard, before, last=last):
            return  # another process was faster, or gives files back
        after = dict(before)
        for unit, record in before.items():
            if unit not in shown and all(unit in other for other in done):
                after[unit] = _without_files(store, record, choice, removed)
        # First the archive holds what either journal says, then the journal says so, then entries
        # and files go.
        archive = Archive(store.root, stage, shard)
        changed = [record for unit, record in after.items() if record is not before[unit]]
        old, new = _packed(before), _packed(after)
        added = {name: new[name] for name in new.keys() - old.keys()}
        unused = last and _has_unused(archive, before)
        rewritten = bool(changed or unused) and archive.bring_to(old, added)
        for record in changed:
            writer.stored(record)
        writer.sync()
        if old.keys() - new.keys():
            rewritten |= archive.bring_to(new, {})
        gone = [name for record in after.values() for name in record.removed]
        if rewritten or any((store.root / name).exists() for name in gone):
            # An entry that could not be copied is missed by the next run.
            whole = all(archive.holds(record.packed) for record in after.values())
            settle(store, stage, shard, after, archive_seen=rewritten and whole)
            _unlink(store.root, gone)


def _has_work(
    store: Store,
    choice: Choice,
    stage: str,
    shard: str,
    records: Mapping[str, Record],
    *,
    last: bool,
) -> bool:
    """Whether anything of a stage's shard may be removed or packed, by these records.

    Before the study is done, what a kill left is not looked for.
    """
    if any(_leaves(record, choice) for record in records.values()):
        return True
    removed = [store.root / name for record in records.values() for name in record.removed]
    return last and (
        any(path.exists() for path in removed)
        or _has_unused(Archive(store.root, stage, shard), records)
    )


def _has_unused(archive: Archive, records: Mapping[str, Record]) -> bool:
    """Whether an archive has entries of records that are others since."""
    return not archive.sizes.keys() <= _packed(records).keys()


def _leaves(record: Record, choice: Choice) -> bool:
    """Whether anything of a record is to be removed or packed."""
    archives = choice.archives
    return bool(not_kept(record, choice.keep, archives=archives) or (archives and record.files))


def _packed(records: Mapping[str, Record]) -> dict[str, str]:
    """Return the entries that an archive has by these records, with their checksums."""
    return {name: one.removed[name] for one in records.values() for name in one.packed}


def _records_of(store: Store, stages: Sequence[str], shard: str) -> list[Mapping[str, Record]]:
    return [store.journal(one, shard).read().records for one in stages]


def _shown(store: Store, choice: Choice, shard: str) -> set[str]:
    """Return subjects that the report shows pictures of: whoever failed, or did not pass QC."""
    stages = [one for one in choice.stages if one in SUBJECT_STAGES]
    return {
        unit
        for records in _records_of(store, stages, shard)
        for unit, record in records.items()
        if record.status is Status.FAILED or record.values.get("verdict", "pass") != "pass"
    }


def _is_done(store: Store, choice: Choice, stage: str, shard: str, *, last: bool) -> bool:
    """Whether a stage has been through a shard since everything that it is built on.

    Snakemake deletes a job's result before it runs.
    """
    try:
        made = _result(store, stage, shard).stat().st_mtime_ns
        if last:
            return True
        before = [_result(store, s, shard) for s in built_on(stage) if s in choice.stages]
        return all(path.stat().st_mtime_ns <= made for path in before)
    except OSError:
        return False


def _result(store: Store, stage: str, shard: str) -> Path:
    if stage in _RESULTS:
        return store.root / _RESULTS[stage].format(shard=shard)
    return store.manifest_path(stage, shard)


def _without_files(store: Store, record: Record, choice: Choice, removed: Removed) -> Record:
    """Return a record without the files that are removed or packed; whatever is in doubt stays."""
    if not _leaves(record, choice):
        return record
    names = not_kept(record, choice.keep, archives=choice.archives)
    try:
        sums = checksums(store, record)
    except OSError:
        return record
    if digest_of(record, sums) != record.digest:
        log.warning("%s, %s: files changed since; they are left", record.stage, record.unit)
        return record
    sizes = {**record.files, **record.packed}
    left = {name: size for name, size in sizes.items() if name not in names}
    files = {} if choice.archives else {n: size for n, size in left.items() if n in record.files}
    packed = {name: size for name, size in left.items() if name not in files}
    removed.n_files += len(names)
    removed.n_bytes += sum(sizes[name] for name in names)
    gone = {name: sums[name] for name in sums if name not in files}
    return replace(record, files=files, removed=gone, packed=packed)


def _unlink(root: Path, names: Sequence[str]) -> None:
    """Remove files, and folders that are empty then."""
    for name in names:
        (root / name).unlink(missing_ok=True)
    for folder in {(root / name).parent for name in names}:
        with contextlib.suppress(OSError):
            folder.rmdir()


def clear_study(store: Store, shards: Sequence[str]) -> dict[str, dict[str, int]]:
    """Remove what is not kept of a study that is done; empty folders of subjects go, too.

    Returns
    -------
    dict
        As `popscan.study.storage_counts.file_counts`.
    """
    for shard in shards:
        clear_shard(store, shard, last=True)
        for planned in read_shard(store.root, shard):
            subject = planned.subject
            for name in dict.fromkeys((subject.folder, subject.sub)):
                with contextlib.suppress(OSError):
                    (store.root / "derivatives" / name).rmdir()
    return file_counts(store, shards)
