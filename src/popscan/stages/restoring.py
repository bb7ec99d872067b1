"""Files that a study does not store are made again where a stage reads them.

The stage that made them does its work on that subject once more, with as many threads and on the
same kind of device, which the last bits of a result depend on; the digest of its record says
whether the result is the same. Nothing is restored unless somebody reads it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from popscan.archive import ArchiveError
from popscan.disk import MACHINE_ERRNOS
from popscan.given import read_given
from popscan.methods import resolve
from popscan.plan import Planned, read_shard
from popscan.records import PopscanError, Record, Subject, SubjectError
from popscan.run import fingerprint_of
from popscan.stages import SUBJECT_STAGES, TASKS
from popscan.standing import forget
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.storage_choice import Choice
from popscan.study.stored import known_record, put_back, unpack
from popscan.task import Task
from popscan.threads import numeric_threads

if TYPE_CHECKING:
    from popscan.stages.remaking import Remaker

log = logging.getLogger(__name__)


class Restorer:
    """Makes files of one shard's subjects again; one after the other, whoever asks.

    Work that was done with another number of threads than numerics use here is done in another
    process, as libraries fix the number when they start; that process serves until this one ends.
    """

    def __init__(self, store: Store, shard: str) -> None:
        self.store, self.shard = store, shard
        self._lock = threading.RLock()
        self._tasks: dict[tuple[str, bool], Task] = {}
        self._remakers: dict[int, Remaker] = {}

    @cached_property
    def _planned(self) -> Mapping[str, Planned]:
        return {one.subject.unit: one for one in read_shard(self.store.root, self.shard)}

    def __call__(self, stage: str, subject: Subject, wanted: str = "") -> None:
        """Give back files of a stage's record that are not stored: unpacked, or made again.

        Parameters
        ----------
        stage, subject
            Whose files.
        wanted
            The one that is read, relative to the study: where the archive has it, nothing is made
            again. By default all files are wanted.

        Raises
        ------
        SubjectError
            ``not_restored`` if the stage cannot do its work any more (raw data are gone, or it was
            done on a GPU and here is none); ``upstream_lost`` if it does something else now: its
            record is forgotten then, and the next run begins there.
        """
        with self._lock:
            record = known_record(self.store, stage, self.shard, subject.unit)
            if record.packed and (not wanted or wanted in record.packed):
                self._unpack(stage, subject.unit)
                record = known_record(self.store, stage, self.shard, subject.unit)
            if not record.removed or wanted in record.files:
                return  # another job was faster, or the archive had it
            threads = max(int(record.cores), 1)
            if threads == numeric_threads():
                self._make(stage, self._planned[subject.unit].subject, record)
                return
            if threads not in self._remakers:
                from popscan.stages.remaking import Remaker

                self._remakers[threads] = Remaker(self.store.root, self.shard, threads=threads)
            self._remakers[threads](stage, subject.unit)

    def _unpack(self, stage: str, unit: str) -> None:
        try:
            unpack(self.store, stage, self.shard, unit)
        except ArchiveError as error:
            log.warning("%s; files of %s are made again", error, unit)

    def remake(self, stage: str, unit: str) -> None:
        """Make files of a subject again in this process, for another one that asked for it."""
        with self._lock:
            record = known_record(self.store, stage, self.shard, unit)
            if record.removed:
                self._make(stage, self._planned[unit].subject, record)

    def _make(self, stage: str, subject: Subject, record: Record) -> None:
        task = self._task(stage, on_gpu=record.gpus > 0)
        self._check(task, subject, record)
        try:
            outcome = task.work(subject, task.load(subject))
        except (SubjectError, OSError) as error:
            if isinstance(error, OSError) and error.errno in MACHINE_ERRNOS:
                raise
            raise _not_restored(stage, error) from error
        if not put_back(self.store, task, self.shard, subject, record, outcome):
            self._give_up(stage, subject, "its result is another one now")

    def _check(self, task: Task, subject: Subject, record: Record) -> None:
        try:
            same = fingerprint_of(task, subject) == record.fingerprint
        except (SubjectError, OSError) as error:
            raise _not_restored(task.stage, error) from error
        if not same:
            self._give_up(task.stage, subject, "what it is made of changed since")

    def _give_up(self, stage: str, subject: Subject, why: str) -> None:
        forget(self.store, stage, self.shard, [subject.unit])
        raise SubjectError(
            "upstream_lost", f"{stage}: files that storage removed cannot be made again: {why}"
        )

    def _task(self, stage: str, *, on_gpu: bool) -> Task:
        if on_gpu and not _has_gpu():
            raise SubjectError(
                "not_restored",
                f"{stage}: files that storage removed were made on a GPU, and here is none",
            )
        if (stage, on_gpu) not in self._tasks:
            context = ShardContext(
                store=self.store,
                shard=self.shard,
                options=_on_device(_options(self.store, stage), on_gpu=on_gpu),
                planned=self._planned,
                threads=numeric_threads() or 1,
                restore=self,
            )
            self._tasks[stage, on_gpu] = resolve(TASKS, stage, "popscan")(context)
        return self._tasks[stage, on_gpu]


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _on_device(options: Mapping[str, object], *, on_gpu: bool) -> dict[str, object]:
    """Return a stage's options for the kind of device that its record was made on.

    A config's ``device`` may say another one since, and a cluster's nodes differ; no fingerprint
    contains it.
    """
    changed = dict(options)
    for name, section in options.items():
        if isinstance(section, Mapping) and "device" in section:
            known = str(section["device"])
            wanted = ("auto" if known == "cpu" else known) if on_gpu else "cpu"
            changed[name] = {**section, "device": wanted}
    return changed


def _not_restored(stage: str, error: Exception) -> SubjectError:
    return SubjectError(
        "not_restored", f"{stage}: files that storage removed cannot be made again: {error}"
    )


def _options(store: Store, stage: str) -> Mapping[str, object]:
    name = Choice.read(store.root).given.get(stage)
    if name is None:
        raise PopscanError(
            f"{store.root}: what {stage} was given is not known; run the study once more"
        )
    options = read_given(str(store.root / "params" / name))
    return {key: value for key, value in options.items() if key != "subjects"}


def restore_all(store: Store, shard: str, subject: Subject) -> int:
    """Give back all files of a subject that are not stored; return how many."""
    n_files, restore = 0, Restorer(store, shard)
    for stage in SUBJECT_STAGES:
        record = store.journal(stage, shard).read().records.get(subject.unit)
        if record and record.removed:
            n_files += len(record.removed)
            restore(stage, subject)
    return n_files
