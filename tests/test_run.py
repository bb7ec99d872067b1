"""The runner: nothing redone without need, nothing lost whatever fails."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from popscan.inventory import damaged_files, damaged_outputs
from popscan.plan import Planned
from popscan.records import (
    NotApplicable,
    Outcome,
    PopscanError,
    Status,
    Subject,
    SubjectError,
)
from popscan.run import Limits, ShardFailedError, run_shard
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.task import MachineError, Task

N = 6


def planned(n: int = N, **problem) -> list[Planned]:
    return [Planned(subject=Subject(sub=f"sub-{i:02d}")) for i in range(n)]


class Stage:
    """A stage that writes one small file and counts whom it worked on."""

    def __init__(self, *, version="1", options=None, faults=None, inputs=None, upstream=()):
        self.done: list[str] = []
        self.faults = faults or {}
        self.inputs = inputs if inputs is not None else {}
        self.task = Task(
            stage="count",
            version=version,
            options=options or {},
            reads=lambda subject: {"input": self.inputs.get(subject.unit, 0)},
            load=lambda subject: self.inputs.get(subject.unit, 0),
            work=self.work,
            write=lambda path, content: path.write_text(content),
            upstream=upstream,
        )

    def work(self, subject, loaded):
        self.done.append(subject.unit)
        if subject.unit in self.faults:
            raise self.faults[subject.unit]
        return Outcome(files={"out.txt": f"{subject.unit} {loaded}"}, values={"x": loaded})


def run(store, stage, people=None, **options):
    return run_shard(store, stage.task, "00000", people or planned(), **options)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_every_subject_has_one_record_and_its_file(store):
    result = run(store, Stage())
    assert [r.unit for r in result.records] == [p.subject.unit for p in planned()]
    assert all(r.status is Status.OK for r in result.records)
    for record in result.records:
        (name,) = record.files
        assert (store.root / name).read_text().startswith(record.unit)
    assert len(store.read_manifest("count", "00000")) == N


def test_second_run_does_nothing(store):
    run(store, Stage())
    again = Stage()
    result = run(store, again)
    assert again.done == []
    assert (result.n_done, result.n_kept) == (0, N)


@pytest.mark.parametrize(
    ("changes", "redone"),
    [
        ({"version": "2"}, N),
        ({"options": {"k": 1}}, N),
        ({"inputs": {"sub-03": 7}}, 1),
    ],
)
def test_what_changed_is_redone_and_nothing_else(store, changes, redone):
    run(store, Stage())
    again = Stage(**changes)
    assert run(store, again).n_done == redone
    assert len(again.done) == redone


def test_lost_or_shortened_file_is_made_again(store):
    first = run(store, Stage())
    paths = [store.root / next(iter(r.files)) for r in first.records]
    paths[1].unlink()
    paths[4].write_text("")
    again = Stage()
    run(store, again)
    assert again.done == ["sub-01", "sub-04"]
    assert all(path.read_text() for path in paths)


def test_failure_of_one_costs_the_others_nothing(store):
    faults = {
        "sub-01": SubjectError("nan_values", "3 NaN values"),
        "sub-02": NotApplicable("image_study", "no k-space"),
        "sub-03": ValueError("a fault of ours"),
        "sub-04": OSError(errno.EIO, "disk block unreadable"),
    }
    result = run(store, Stage(faults=faults))
    told = {r.unit: (r.status, r.reason) for r in result.records}
    assert told == {
        "sub-00": (Status.OK, ""),
        "sub-01": (Status.FAILED, "nan_values"),
        "sub-02": (Status.NOT_APPLICABLE, "image_study"),
        "sub-03": (Status.FAILED, "unexpected_error"),
        "sub-04": (Status.FAILED, "unreadable_input"),
        "sub-05": (Status.OK, ""),
    }
    assert "a fault of ours" in result.records[3].message


def test_failed_subjects_are_not_tried_again_until_something_changes(store):
    run(store, Stage(faults={"sub-01": SubjectError("bad", "bad")}))
    healed = Stage()
    run(store, healed)
    assert healed.done == []
    changed = Stage(inputs={"sub-01": 1})
    run(store, changed)
    assert changed.done == ["sub-01"]


def test_more_failures_than_allowed_fail_the_job_and_are_tried_again(store):
    faults = {f"sub-{i:02d}": SubjectError("bad", "bad scan") for i in range(4)}
    limits = Limits(max_failed_fraction=0.5, max_failed_min=2)
    with pytest.raises(ShardFailedError, match=r"4 of 6 subjects failed: bad \(4\)"):
        run(store, Stage(faults=faults), limits=limits)
    assert not store.manifest_path("count", "00000").exists()
    healed = Stage()
    result = run(store, healed, limits=limits)
    assert healed.done == sorted(faults)
    assert all(r.status is Status.OK for r in result.records)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), MemoryError()])
def test_machine_failure_stops_the_job_and_keeps_what_is_done(store, fault):
    with pytest.raises(MachineError):
        run(store, Stage(faults={"sub-04": fault}))
    again = Stage()
    result = run(store, again)
    assert "sub-04" in again.done
    assert "sub-00" not in again.done
    assert len(result.records) == N


def test_downstream_of_failure_is_skipped_with_its_reason(store):
    above = Stage(faults={"sub-01": SubjectError("truncated_file", "ends early")})
    run(store, above)
    below = Stage(upstream=("count",))
    below.task = Task(**{**vars(below.task), "stage": "below"})
    result = run(store, below)
    skipped = result.records[1]
    assert (skipped.status, skipped.reason) == (Status.SKIPPED, "truncated_file")
    assert "ends early" in skipped.message
    assert below.done == [u for u in (f"sub-{i:02d}" for i in range(N)) if u != "sub-01"]


def test_planned_problem_is_recorded(store):
    people = planned()
    problem = {"status": "excluded", "reason": "exclusion_list", "message": "withdrew"}
    people[2] = Planned(subject=people[2].subject, problem=problem)
    stage = Stage()
    result = run(store, stage, people)
    assert (result.records[2].status, result.records[2].message) == (Status.EXCLUDED, "withdrew")
    assert "sub-02" not in stage.done


def test_restricted_run_leaves_others_alone(store):
    stage = Stage()
    result = run(store, stage, only=frozenset({"sub-02"}))
    assert stage.done == ["sub-02"]
    assert [r.unit for r in result.records] == ["sub-02"]
    rest = Stage()
    assert len(run(store, rest).records) == N
    assert "sub-02" not in rest.done


def test_files_of_an_earlier_run_do_not_linger(store):
    run(store, Stage())
    stale = store.stage_folder("count", "sub-00") / "old_name.txt"
    stale.write_text("stale")
    run(store, Stage(version="2"))
    assert not stale.exists()


class Writing(Stage):
    """A stage whose writer treats some subjects' files in its own way."""

    def __init__(self, writers, **options):
        super().__init__(**options)
        plain = self.task.write

        def write(path, content):
            return writers.get(content.split()[0], plain)(path, content)

        self.task = Task(**{**vars(self.task), "write": write})


def write_image(path, content):
    """Write an image that has more voxels along an axis than NIfTI can count."""
    import nibabel as nib
    import numpy as np

    path.with_name("begun.txt").write_text(content)
    nib.save(nib.Nifti1Image(np.zeros((2, 40_000, 1), np.uint8), np.eye(4)), path)


def write_name(path, content):
    path.write_text(f"{content} M\udcfcller.dcm", encoding="utf-8")


def test_what_cannot_be_written_fails_its_subject_and_leaves_no_file(store):
    before = run(store, Stage())
    writers = {"sub-01": write_image, "sub-04": write_name}
    result = run(store, Writing(writers, version="2"))
    told = {r.unit: (r.status, r.reason) for r in result.records if r.status is not Status.OK}
    assert told == dict.fromkeys(writers, (Status.FAILED, "unexpected_error"))
    assert all(not r.files and r.message for r in result.records if r.unit in writers)
    for record in before.records:
        folder = store.stage_folder("count", record.unit)
        assert folder.exists() is (record.unit not in writers)
    assert len(store.read_manifest("count", "00000")) == N


def test_full_disk_is_charged_to_no_subject(store):
    """However often it was full; files that were there before are not relied on afterwards."""
    alone = planned(1)
    (old,) = run(store, Stage(), alone).records
    full = {"sub-00": lambda path, content: Path("/dev/full").write_text(content)}
    for _ in range(5):
        with pytest.raises(MachineError, match="No space left"):
            run(store, Writing(full, version="2"), alone)
    (store.root / next(iter(old.files))).write_text("replaced")
    healed = Stage()
    (record,) = run(store, healed, alone).records
    assert (record.status, healed.done) == (Status.OK, ["sub-00"])
    assert (store.root / next(iter(record.files))).read_text() == "sub-00 0"


@pytest.mark.parametrize(
    ("fault", "stop", "attempts"),
    [
        (OSError(errno.EROFS, "read-only"), MachineError, 0),
        (KeyboardInterrupt(), KeyboardInterrupt, 0),
        (MemoryError(), MachineError, 1),
    ],
)
def test_only_work_that_may_have_killed_its_worker_counts_as_attempt(store, fault, stop, attempts):
    with pytest.raises(stop):
        run(store, Stage(faults={"sub-02": fault}))
    state = store.journal("count", "00000").read()
    assert state.attempts.get("sub-02", 0) == attempts
    assert all(count == attempts for count in state.attempts.values())
    assert run(store, Stage()).n_done == N - len(state.records)


def _raised(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def _wrapped():
    try:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")
    except RuntimeError as error:
        raise SubjectError("bad_header", "damaged") from error


GPU_FAULTS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("out of memory, said otherwise"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Unexpected error from cudaGetDeviceCount(): CUDA driver initialization failed"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("Found no NVIDIA driver on your system."),
    _raised(_wrapped),
]


@pytest.mark.parametrize("fault", GPU_FAULTS, ids=lambda f: f"{type(f).__name__}: {f}"[:40])
def test_gpu_that_fails_is_charged_to_no_subject(store, fault):
    """However often it fails: the subject is never set aside for it."""
    for _ in range(4):
        with pytest.raises(MachineError, match=r"count, sub-02: the GPU failed, not the subject"):
            run(store, Stage(faults={"sub-02": fault}))
    state = store.journal("count", "00000").read()
    assert not state.attempts
    assert "sub-02" not in state.records
    assert run(store, Stage()).n_done == N - len(state.records)


def test_memory_that_torch_cannot_have_is_no_unexpected_error(store):
    """A processor's memory: torch says so by a plain RuntimeError."""
    fault = _raised(lambda: torch.empty(2**58, dtype=torch.uint8))
    assert type(fault) is RuntimeError
    with pytest.raises(MachineError, match="out of memory"):
        run(store, Stage(faults={"sub-02": fault}))
    assert store.journal("count", "00000").read().attempts["sub-02"] == 1


def test_error_of_torch_that_is_no_machine_s_fails_its_subject_only(store):
    fault = _raised(lambda: torch.zeros(2, 3) @ torch.zeros(2, 3))
    records = run(store, Stage(faults={"sub-02": fault})).records
    assert [r.unit for r in records if r.status is Status.FAILED] == ["sub-02"]


def test_file_name_that_is_not_utf8_blocks_no_shard(store):
    faults = {"sub-01": SubjectError("truncated_file", "M\udcfcller.dcm ends early")}
    for _ in range(2):
        records = run(store, Stage(faults=faults)).records
        assert records[1].message == "M?ller.dcm ends early"
    assert store.read_manifest("count", "00000")[1]["message"] == "M?ller.dcm ends early"


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    sys.path.insert(0, sys.argv[2])
    import test_run
    from popscan.store import Store
    class Deadly(test_run.Stage):
        def work(self, subject, loaded):
            if subject.unit == "sub-02":
                os.kill(os.getpid(), signal.SIGKILL)
            return super().work(subject, loaded)
    from pathlib import Path
    test_run.run(Store(Path(sys.argv[1])), Deadly())
    """
)


def test_subject_that_kills_its_worker_is_set_aside_in_the_end(store):
    """After three dead workers the subject fails, and everybody else is done."""
    command = [sys.executable, "-c", KILLED, str(store.root), os.path.dirname(__file__)]
    codes = [subprocess.run(command, check=False).returncode for _ in range(4)]
    assert codes == [-signal.SIGKILL] * 3 + [0]
    rows = {r["unit"]: r for r in store.read_manifest("count", "00000")}
    assert len(rows) == N
    assert rows["sub-02"]["reason"] == "worker_died"
    assert [u for u, r in rows.items() if r["status"] == "ok"] == sorted(set(rows) - {"sub-02"})
    assert not list(store.root.rglob("*.tmp"))


def first_files(records) -> list[str]:
    return [next(iter(record.files)) for record in records]


def test_file_of_another_subject_in_its_place_is_made_again(store):
    """Of the same size, so that only time and digest tell."""
    paths = [store.root / name for name in first_files(run(store, Stage()).records)]
    shutil.copy2(paths[1], paths[0])
    again = Stage()
    run(store, again)
    assert again.done == ["sub-00"]
    assert paths[0].read_text() == "sub-00 0"


def test_file_of_another_time_but_the_same_content_is_kept(store):
    names = first_files(run(store, Stage()).records)
    os.utime(store.root / names[0], (1, 1))
    again = Stage()
    run(store, again)
    assert again.done == []
    assert damaged_files(store.root, "manifests/count/00000.parquet", subject_files=True) == []


def below_of(store, **options) -> Stage:
    stage = Stage(upstream=("count",), **options)
    stage.task = Task(**{**vars(stage.task), "stage": "below"})
    return stage


def test_lost_record_above_is_asked_for_and_nobody_fails_for_it(store):
    """The job ends in words; after the stage above has run again, so does this one."""
    run(store, Stage())
    run(store, below_of(store))
    with store.journal("count", "00000").writer() as writer:
        writer.forget("sub-03")
    changed = {"options": {"k": 1}}
    with pytest.raises(PopscanError, match=r"count: 1 subject, e\.g\. sub-03"):
        run(store, below_of(store, **changed))
    assert "manifests/count/00000.parquet" in damaged_outputs(store.root, subject_files=False)
    run(store, Stage())
    records = run(store, below_of(store, **changed)).records
    assert [record.status for record in records] == [Status.OK] * N


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("other")])
def test_lost_input_is_asked_of_the_stage_that_made_it(store, damage):
    """As every stage reads its input: through the context of its shard."""
    (name, *_) = first_files(run(store, Stage()).records)
    context = ShardContext(store=store, shard="00000", options={})
    stage = below_of(store)

    def load(subject):
        return context.path("count", subject, "out.txt").read_text()

    stage.task = Task(**{**vars(stage.task), "load": load})
    damage(store.root / name)
    with pytest.raises(PopscanError, match=r"count: 1 subject, e\.g\. sub-00"):
        run(store, stage)
    run(store, Stage())
    context = ShardContext(store=store, shard="00000", options={})
    assert {r.status for r in run(store, stage).records} == {Status.OK}


def test_restricted_run_remembers_the_files_of_others(store):
    names = first_files(run(store, Stage()).records)
    run(store, Stage(), only=frozenset({"sub-02"}))
    (store.root / names[0]).unlink()
    output = "manifests/count/00000.parquet"
    assert damaged_outputs(store.root, subject_files=True) == {output: [names[0]]}


def below(first: Stage, store: Store, **changes) -> Stage:
    """A stage whose files may lie in the folder of the first one already."""
    second = Stage(**changes)
    second.task = replace(
        second.task,
        stage="below",
        source_folder=lambda subject: store.stage_folder(first.task.stage, subject.folder),
    )
    return second


def inode(store: Store, stage: str, unit: str = "sub-02") -> int:
    return (store.stage_folder(stage, unit) / "out.txt").stat().st_ino


def test_equal_file_of_an_earlier_stage_is_stored_once(store):
    first = Stage()
    run(store, first)
    result = run(store, below(first, store, inputs={"sub-03": 7}))
    assert [r.digest for r in result.records[:3]] == [
        r.digest for r in run(store, Stage()).records[:3]
    ]
    assert inode(store, "below") == inode(store, "count")
    assert inode(store, "below", "sub-03") != inode(store, "count", "sub-03")
    # Made again with the same content: a link to the same file cannot be renamed onto it.
    run(store, below(first, store, version="2"))
    assert inode(store, "below") == inode(store, "count")
    assert not [p for p in store.root.rglob("*") if p.name.endswith((".tmp", ".link"))]
    assert damaged_outputs(store.root, subject_files=True) == {}


def test_stage_that_is_done_again_leaves_what_was_shared_alone(store):
    first = Stage()
    run(store, first)
    run(store, below(first, store))
    run(store, Stage(version="2", inputs={"sub-02": 9}))
    shared = store.stage_folder("below", "sub-02") / "out.txt"
    assert shared.read_text() == "sub-02 0"
    assert inode(store, "below") != inode(store, "count")
    assert inode(store, "below", "sub-01") != inode(store, "count", "sub-01")


def test_files_are_copies_where_links_cannot_be_made(store, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    first = Stage()
    run(store, first)
    monkeypatch.setattr(os, "link", refuse)
    result = run(store, below(first, store))
    assert all(r.status is Status.OK for r in result.records)
    assert inode(store, "below") != inode(store, "count")
    assert not [p for p in store.root.rglob("*") if p.name.endswith(".link")]


class Together(Stage):
    """A stage that works on three subjects at once, and ends each behind that."""

    def __init__(self, *, joint_fault=None, **options):
        super().__init__(**options)
        self.groups: list[list[str]] = []
        self.joint_fault = joint_fault
        self.task = replace(self.task, together=3, work_together=self.work_together)

    def work_together(self, subjects):
        self.groups.append([subject.unit for subject, _ in subjects])
        if self.joint_fault is not None:
            raise self.joint_fault
        return [partial(self.work, subject, loaded) for subject, loaded in subjects]


def test_subjects_worked_on_together_leave_what_they_leave_alone(tmp_path):
    alone, stage = Stage(), Together()
    records = [
        run(Store(tmp_path / name), one, planned(8)).records
        for name, one in (("alone", alone), ("together", stage))
    ]
    assert [len(group) for group in stage.groups] == [3, 3, 2]
    kept = [[(r.unit, r.status, r.digest, r.files) for r in own] for own in records]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "joint_fault", [None, ValueError("no"), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_failure_of_one_of_several_stays_its_own(store, joint_fault):
    faults = {"sub-01": SubjectError("bad_spacing", "1 m"), "sub-04": ValueError("not expected")}
    stage = Together(faults=faults, joint_fault=joint_fault)
    plain = stage.task.load

    def load(subject):
        if subject.unit == "sub-02":
            raise SubjectError("truncated_file", "ends early")
        return plain(subject)

    stage.task = replace(stage.task, load=load)
    records = run(store, stage).records
    assert {r.unit: r.reason for r in records if r.status is Status.FAILED} == {
        "sub-01": "bad_spacing",
        "sub-02": "truncated_file",
        "sub-04": "unexpected_error",
    }
    assert [len(group) for group in stage.groups] == [2, 3]


def test_gpu_that_fails_under_several_is_charged_to_none(store):
    fault = torch.AcceleratorError("CUDA error: unspecified launch failure")
    with pytest.raises(MachineError, match="the GPU failed"):
        run(store, Together(joint_fault=fault, faults={"sub-00": fault}))
    state = store.journal("count", "00000").read()
    assert not state.attempts
    assert run(store, Stage()).n_done == N


def test_subjects_that_may_have_killed_a_worker_are_not_worked_on_together(store):
    with store.journal("count", "00000").writer() as writer:
        writer.attempt("sub-01")
        writer.attempt("sub-03")
    stage = Together()
    assert run(store, stage).n_done == N
    assert stage.groups == [
        ["sub-00", "sub-02", "sub-04"],
    ]
    assert stage.done[-2:] == ["sub-01", "sub-03"]
