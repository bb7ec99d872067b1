"""How any per-subject stage runs over a shard: one runner for all.

A stage gives a `Task` (what it reads, how that is loaded, the work, how a file is written) and
knows nothing else. The runner keeps what is up to date, hands the rest to the worker, and ends
with the manifest that Snakemake watches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from popscan.disk import MACHINE_ERRNOS, remove_temporaries
from popscan.journal import JournalState, JournalWriter
from popscan.jsontext import canonical_json
from popscan.plan import Planned
from popscan.records import (
    PopscanError,
    Record,
    Status,
    Subject,
    SubjectError,
)
from popscan.standing import GONE, FileStamps, ask_above, gone_message, note_files
from popscan.store import Store
from popscan.task import MachineError, Task, Todo
from popscan.worker import now, work_through

#: Work on a subject that was begun this often without leaving a record killed its worker each time.
MAX_ATTEMPTS = 3
_STOPS = (Status.FAILED, Status.SKIPPED, Status.EXCLUDED)


class ShardFailedError(PopscanError):
    """More of a shard failed than the config allows."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a job counts as failed: both must be exceeded."""

    max_failed_fraction: float = 0.5
    max_failed_min: int = 5

    def exceeded(self, n_failed: int, n_total: int) -> bool:
        """Whether so many failures of so many subjects fail the job."""
        return n_failed >= self.max_failed_min and n_failed > self.max_failed_fraction * n_total


@dataclass(kw_only=True)
class ShardResult:
    """Records of a shard in order, and how many subjects were worked on."""

    records: list[Record] = field(default_factory=list)
    n_done: int = 0
    n_kept: int = 0


def run_shard(
    store: Store,
    task: Task,
    shard: str,
    planned: Sequence[Planned],
    *,
    only: frozenset[str] = frozenset(),
    limits: Limits | None = None,
    ahead: int = 2,
    patience_s: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> ShardResult:
    """Bring a stage's records of a shard up to date and write its manifest.

    Parameters
    ----------
    store
        The study's store.
    task
        The stage.
    shard, planned
        Name of the shard, and its subjects.
    only
        Units to which work is restricted; empty for all. Records of others are left as they are.
    limits
        When the job counts as failed.
    ahead
        Subjects loaded ahead of the work.
    patience_s
        Wait for another process at work on this shard as long as it records something within so
        many seconds; 0 to be refused at once.
    progress
        Called with (subjects looked at, subjects in all).

    Raises
    ------
    ShardFailedError
        If too many subjects failed; their records are kept, and are tried again next time.
    MachineError
        If the machine failed; records written so far are kept.
    """
    try:
        return _run_shard(
            store,
            task,
            shard,
            planned,
            only=only,
            limits=limits or Limits(),
            ahead=ahead,
            patience_s=patience_s,
            report_progress=progress or (lambda done, total: None),
        )
    except OSError as error:
        if error.errno in MACHINE_ERRNOS:
            raise MachineError(f"{store.root}: cannot be written ({error.strerror})") from error
        raise


def _run_shard(
    store: Store,
    task: Task,
    shard: str,
    planned: Sequence[Planned],
    *,
    only: frozenset[str],
    limits: Limits,
    ahead: int,
    patience_s: float,
    report_progress: Callable[[int, int], None],
) -> ShardResult:
    journal = store.journal(task.stage, shard)
    upstream = {stage: store.journal(stage, shard).read().records for stage in task.upstream}
    order = [item.subject.unit for item in planned]
    stamps = FileStamps.of(store, task.stage, shard)
    with journal.writer(patience_s=patience_s) as writer:
        remove_temporaries(journal.path.parent, journal.path.name)
        state = journal.read()
        retry = limits.exceeded(_n_failed(state.records.values()), len(planned))
        todo: list[Todo] = []
        result = ShardResult()
        for index, item in enumerate(planned):
            if only and item.subject.unit not in only:
                continue
            step = _decide(
                store, task, item, state=state, upstream=upstream, stamps=stamps, retry=retry
            )
            if isinstance(step, Record):
                _keep_or_append(store, writer, state, step, result)
            else:
                todo.append(step)
            report_progress(index + 1 - len(todo), len(planned))
        for record in work_through(store, task, writer, state, todo, ahead=ahead):
            state.records[record.unit] = record
            state.attempts.pop(record.unit, None)
            result.n_done += 1
            report_progress(len(planned) - len(todo) + result.n_done, len(planned))
        result.records = [state.records[unit] for unit in order if unit in state.records]
        journal.compact(order, replace(state, n_lines=state.n_lines + writer.n_lines))
    missed = [r.unit for r in result.records if r.reason in GONE]
    if missed and (gone := ask_above(store, task.stage, task.upstream, shard, missed)):
        raise gone_message(task.stage, shard, gone)
    n_failed = _n_failed(result.records)
    if limits.exceeded(n_failed, len(planned)):
        raise ShardFailedError(_too_many_failed(task.stage, shard, result.records, n_failed))
    store.write_manifest(task.stage, shard, result.records)
    kept = [r for r in result.records if only and r.unit not in only]
    note_files(store, task.stage, shard, result.records, stamps, kept=kept, archive_seen=not kept)
    return result


def _n_failed(records: Iterable[Record]) -> int:
    return sum(record.status is Status.FAILED for record in records)


def _keep_or_append(
    store: Store, writer: JournalWriter, state: JournalState, record: Record, result: ShardResult
) -> None:
    old = state.records.get(record.unit)
    if old is record:
        result.n_kept += 1
        return
    writer.record(record)
    state.attempts.pop(record.unit, None)
    # Who is set aside or skipped now leaves no files of better days.
    for name in old.files if old else ():
        (store.root / name).unlink(missing_ok=True)
    state.records[record.unit] = record


def _too_many_failed(stage: str, shard: str, records: Sequence[Record], n_failed: int) -> str:
    reasons: dict[str, int] = {}
    example = ""
    for record in records:
        if record.status is Status.FAILED:
            reasons[record.reason] = reasons.get(record.reason, 0) + 1
            example = example or f"{record.unit}: {record.message}"
    counts = ", ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
    return (
        f"{stage}, shard {shard}: {n_failed} of {len(records)} subjects failed: {counts}; "
        f"first: {example}. They are tried again when the same command is typed again; "
        "to accept them as failed, raise plan.max_failed_fraction"
    )


def fingerprint_of(task: Task, subject: Subject) -> str:
    """Hash of everything that a subject's result depends on."""
    parts = {
        "stage": task.stage,
        "version": task.version,
        "options": task.options,
        "reads": task.reads(subject),
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def _decide(
    store: Store,
    task: Task,
    item: Planned,
    *,
    state: JournalState,
    upstream: Mapping[str, Mapping[str, Record]],
    stamps: FileStamps,
    retry: bool,
) -> Record | Todo:
    """Give the record that stands (kept, skipped, set aside), or what is to be done."""
    unit = item.subject.unit
    old = state.records.get(unit)
    blank = Record(unit=unit, stage=task.stage, status=Status.FAILED, finished=now())
    if item.problem and not task.upstream:
        status = Status(item.problem["status"])
        reason, message = item.problem["reason"], item.problem["message"]
        return _same(old, replace(blank, status=status, reason=reason, message=message))
    for stage, records in upstream.items():
        above = records.get(unit)
        if above is None:
            skip = ("upstream_missing", f"{stage} has no record of this subject yet")
        elif above.status in _STOPS:
            skip = (above.reason, f"{stage}: {above.message}"[:500])
        else:
            continue
        return _same(old, replace(blank, status=Status.SKIPPED, reason=skip[0], message=skip[1]))
    try:
        fingerprint = fingerprint_of(task, item.subject)
    except SubjectError as error:
        return _same(old, replace(blank, reason=error.reason, message=str(error)))
    except OSError as error:
        reason, message = "unreadable_input", str(error.strerror or error)
        return _same(old, replace(blank, reason=reason, message=message))
    # Work begun after the record may have replaced some of its files before it was killed.
    begun = state.attempts.get(unit, 0)
    stands = old and not begun and old.fingerprint == fingerprint and old.reason not in GONE
    if old and stands and stamps.stand(store, old) and not (retry and old.status is Status.FAILED):
        return old
    if begun >= MAX_ATTEMPTS:
        message = (
            f"the worker died {begun} times while it worked on this subject "
            "(out of memory or time?); 'popscan rerun' tries again"
        )
        return replace(blank, reason="worker_died", message=message, fingerprint=fingerprint)
    return Todo(subject=item.subject, fingerprint=fingerprint)


def _same(old: Record | None, new: Record) -> Record:
    """Return the old record where the new one says the same."""
    if old and (old.status, old.reason, old.message) == (new.status, new.reason, new.message):
        return old
    return new
