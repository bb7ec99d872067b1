"""Work on the subjects of a shard: load ahead, work, write behind, journal.

A subject's failure becomes its record and the next subject goes on; a failure of the machine stops
the job, and what is journalled stays.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from popscan.disk import MACHINE_ERRNOS
from popscan.gpu_errors import is_gpu_fault
from popscan.journal import JournalState, JournalWriter
from popscan.jsontext import printable
from popscan.outputs import write_files
from popscan.records import NotApplicable, Outcome, Record, Status, Subject, SubjectError
from popscan.store import Store
from popscan.task import Ending, Inputs, MachineError, Task, Todo

log = logging.getLogger(__name__)

#: Threads that end the work of subjects and write, where several are worked on at once.
_SAVERS = 2

#: Characters of a record's message: what a file holds may be repeated, but never all of it.
MAX_MESSAGE = 1000


def work_through(
    store: Store,
    task: Task[Inputs],
    writer: JournalWriter,
    state: JournalState,
    todo: Sequence[Todo],
    *,
    ahead: int,
) -> Iterator[Record]:
    """Do the work, loading ahead and writing behind; journal each record once its files stand."""
    # Subjects during which a worker died come last and alone, so that they take none along.
    suspects = [t for t in todo if state.attempts.get(t.subject.unit)]
    others = [t for t in todo if not state.attempts.get(t.subject.unit)]
    for group, depth in ((others, ahead), (suspects, 0)):
        yield from _pipeline(store, task, writer, group, ahead=depth)


def _pipeline(
    store: Store, task: Task[Inputs], writer: JournalWriter, todo: Sequence[Todo], *, ahead: int
) -> Iterator[Record]:
    # Without loading ahead everything is done one by one.
    size = task.together if ahead and task.work_together else 1
    depth = max(ahead, size) if size > 1 else ahead
    with (
        ThreadPoolExecutor(max_workers=max(depth, 1)) as loaders,
        ThreadPoolExecutor(max_workers=min(size, _SAVERS)) as savers,
    ):
        loading: list[tuple[Todo, Future[tuple[Inputs, float]]]] = []
        saving: list[Future[Record]] = []
        begun: set[str] = set()
        queue = iter(todo)

        def load_next() -> None:
            item = next(queue, None)
            if item is not None:
                writer.attempt(item.subject.unit)
                begun.add(item.subject.unit)
                loading.append((item, loaders.submit(_timed_load, task, item.subject)))

        def journal_next() -> Record:
            record = saving.pop(0).result()
            writer.record(record)
            begun.remove(record.unit)
            return record

        try:
            for _ in range(depth + size):
                load_next()
            while loading:
                group = [loading.pop(0) for _ in range(min(size, len(loading)))]
                for item, end, seconds in _attempts(task, group):
                    saving.append(savers.submit(_end_and_save, store, task, item, end, seconds))
                while len(saving) > (size if ahead else 0):
                    yield journal_next()
                for _ in group:
                    load_next()
            while saving:
                yield journal_next()
        except (MachineError, OSError, KeyboardInterrupt) as error:
            # A subject that takes all memory is as one that kills its worker: its attempt counts.
            if not isinstance(error.__cause__, MemoryError):
                _take_back(writer, begun)
            raise
        finally:
            loaders.shutdown(wait=True, cancel_futures=True)


def _take_back(writer: JournalWriter, units: Collection[str]) -> None:
    """Note that work on these units counts as never begun: the machine failed, not they.

    Their records go, too, since some of their files may have been replaced already.
    """
    with contextlib.suppress(OSError):
        for unit in sorted(units):
            writer.forget(unit)


def _timed_load(task: Task[Inputs], subject: Subject) -> tuple[Inputs, float]:
    began = time.perf_counter()
    return task.load(subject), time.perf_counter() - began


def _attempts(
    task: Task[Inputs], group: Sequence[tuple[Todo, Future[tuple[Inputs, float]]]]
) -> Iterator[tuple[Todo, Ending, float]]:
    """Do the work of some subjects, together where the task can; yield what ends each.

    Seconds are those of loading and work; those of work done together are shared equally.
    """
    if len(group) == 1 or task.work_together is None:
        for item, future in group:
            outcome, seconds = _attempt(task, item.subject, future)
            yield item, _as_it_is(outcome), seconds
        return
    loaded = [(item, future) for item, future in group if future.exception() is None]
    inputs = [(item.subject, future.result()[0]) for item, future in loaded]
    began = time.perf_counter()
    try:
        endings = iter(task.work_together(inputs) if inputs else ())
    except Exception as error:  # What fails for one alone is known when it is tried alone.
        log.warning("%s: %d subjects one by one, after %r", task.stage, len(inputs), error)
        for one in group:
            yield from _attempts(task, [one])
        return
    share = (time.perf_counter() - began) / max(len(inputs), 1)
    for item, future in group:
        if future.exception() is None:
            yield item, next(endings), future.result()[1] + share
        else:
            yield from _attempts(task, [(item, future)])


def _as_it_is(outcome: Outcome) -> Ending:
    return lambda: outcome


def _attempt(
    task: Task[Inputs], subject: Subject, future: Future[tuple[Inputs, float]]
) -> tuple[Outcome, float]:
    """Do one subject's work; return what came of it and the seconds of loading and work."""
    began, loading = time.perf_counter(), 0.0
    try:
        inputs, loading = future.result()
        began = time.perf_counter()
        outcome = task.work(subject, inputs)
    except Exception as error:
        outcome = _outcome_of(task, subject, error)
    return outcome, loading + time.perf_counter() - began


def _outcome_of(task: Task[Inputs], subject: Subject, error: Exception) -> Outcome:
    """Turn what one subject's work raised into its outcome, or stop the job."""
    _raise_if_machine(task, subject, error)
    if isinstance(error, NotApplicable):
        return Outcome(status=Status.NOT_APPLICABLE, reason=error.reason, message=str(error))
    if isinstance(error, SubjectError):
        return Outcome(status=Status.FAILED, reason=error.reason, message=str(error))
    if isinstance(error, MemoryError):
        raise MachineError(f"{task.stage}, {subject.unit}: out of memory") from error
    if isinstance(error, OSError):
        if error.errno in MACHINE_ERRNOS:
            raise MachineError(f"{task.stage}, {subject.unit}: {error}") from error
        return Outcome(status=Status.FAILED, reason="unreadable_input", message=str(error))
    # A fault of ours or of a library: logged with its traceback; the next subject goes on.
    log.error("%s, %s: unexpected error", task.stage, subject.unit, exc_info=error)
    name = type(error).__name__
    first_line = (str(error).splitlines() or [""])[0]
    return Outcome(
        status=Status.FAILED, reason="unexpected_error", message=f"{name}: {first_line}"[:300]
    )


def _raise_if_machine(task: Task[Inputs], subject: Subject, error: Exception) -> None:
    """Stop the job if what was raised is the fault of the GPU or of its driver."""
    if is_gpu_fault(error):
        first = (str(error).splitlines() or [""])[0]
        kind = type(error).__name__
        raise MachineError(
            f"{task.stage}, {subject.unit}: the GPU failed, not the subject ({kind}: {first[:200]})"
        ) from error
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error):
        # How torch says MemoryError of the processor's memory.
        raise MachineError(f"{task.stage}, {subject.unit}: out of memory") from MemoryError()


def _end_and_save(
    store: Store, task: Task[Inputs], item: Todo, end: Ending, seconds: float
) -> Record:
    """End a subject's work and write what came of it; return its record."""
    began = time.perf_counter()
    try:
        outcome = end()
    except Exception as error:
        outcome = _outcome_of(task, item.subject, error)
    return _save(store, task, item, outcome, seconds + time.perf_counter() - began)


def _save(store: Store, task: Task[Inputs], item: Todo, outcome: Outcome, seconds: float) -> Record:
    """Write an outcome's files, each whole or not at all; return its record."""
    folder = store.stage_folder(task.stage, item.subject.folder)
    began = time.perf_counter()
    given = task.source_folder(item.subject) if task.source_folder else None
    try:
        try:
            digest, files = write_files(store, folder, task, outcome, given)
        except OSError:
            raise
        except Exception as error:
            # What a library refuses to write is the subject's fault; its files, old ones too, go.
            outcome = _outcome_of(task, item.subject, error)
            digest, files = write_files(store, folder, task, outcome)
    except OSError as error:
        raise MachineError(f"{folder}: cannot write: {error.strerror or error}") from error
    return Record(
        unit=item.subject.unit,
        stage=task.stage,
        status=outcome.status,
        reason=printable(outcome.reason),
        message=printable(" ".join(outcome.message.split()))[:MAX_MESSAGE],
        fingerprint=item.fingerprint,
        digest=digest,
        files=files,
        values=outcome.values,
        rows=outcome.rows,
        seconds=round(seconds + time.perf_counter() - began, 4),
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        cores=float(task.cores),
        gpus=float(_uses_gpu()),
        finished=now(),
    )


def _uses_gpu() -> bool:
    """Whether this process has begun to work on a GPU; torch is not loaded for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def now() -> str:
    """Return the time of day, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
