"""Archives hold what is kept, readers read from them, and nothing that is damaged counts."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from popscan.archive import Archive, ArchiveError
from popscan.commands.verify import verify_study
from popscan.inventory import damaged_outputs
from popscan.journal import Journal, JournalState, JournalWriter
from popscan.outputs import content_stands
from popscan.records import PopscanError, SubjectError
from popscan.stages.restoring import Restorer, restore_all
from popscan.standing import FileStamps
from popscan.study import storage
from popscan.study.context import ShardContext
from popscan.study.storage import clear_shard, clear_study
from popscan.study.storage_counts import file_counts, format_counts
from popscan.study.withdraw import withdraw
from stored_study import SHARD, STAGES, SUBJECTS, Study, image

ONE, TWO = image("sub-1"), image("sub-2")


def done(root: Path) -> Study:
    made = Study(root)
    made.keep("all", archives=True)
    for stage in STAGES:
        made.run(stage)
    return made


@pytest.fixture
def study(tmp_path) -> Study:
    made = done(tmp_path)
    clear_shard(made.store, SHARD)
    return made


def archive(study: Study, stage: str = "ingest") -> Archive:
    return Archive(study.store.root, stage, SHARD)


def reader(study: Study) -> ShardContext:
    return ShardContext(store=study.store, shard=SHARD, options={})


def job(study: Study) -> ShardContext:
    restore = Restorer(study.store, SHARD)
    return ShardContext(store=study.store, shard=SHARD, options={}, restore=restore)


def test_files_are_in_one_archive_a_stage_and_all_records_stand(study):
    assert study.stored() == set()
    assert sorted(archive(study).sizes) == [
        f"derivatives/{sub}/ingest/{sub}_cine.{form}" for sub in SUBJECTS
        for form in ("json", "nii.gz")
    ]  # fmt: skip
    for stage in ("ingest", "segment"):
        stamps = FileStamps.of(study.store, stage, SHARD)
        for record in study.records(stage).values():
            assert (record.files, record.gone, len(record.packed)) == ({}, (), 2)
            assert stamps.stand(study.store, record)
            assert content_stands(study.store, record, SHARD)
    assert damaged_outputs(study.store.root, subject_files=True) == {}
    assert verify_study(study.store, deep=True) == {}
    assert study.run("ingest") == []
    counts = file_counts(study.store, [SHARD])
    assert "ingest: 0 files stored, 4 in archives, 0 removed" in format_counts("all", counts)


def test_the_same_files_give_the_same_bytes_in_whatever_order(study, tmp_path):
    other = done(tmp_path / "other")
    for only in ("sub-2", "sub-1"):
        for stage in STAGES:
            other.run(stage, only=frozenset({only}))
        clear_shard(other.store, SHARD)
    for stage in ("ingest", "segment"):
        assert archive(other, stage).path.read_bytes() == archive(study, stage).path.read_bytes()
    with zipfile.ZipFile(archive(study).path) as opened:
        assert {entry.date_time for entry in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert opened.namelist()[0] == "sub-1/ingest/sub-1_cine.json"


def test_readers_get_a_copy_and_jobs_get_the_files_back(study):
    subject = study.planned[0].subject
    before = archive(study).path.stat()
    context = reader(study)
    copy = context.path("ingest", subject, "sub-1_cine.nii.gz")
    assert copy.read_text() == "ingest cine.nii.gz"
    assert (copy.parent / "sub-1_cine.json").is_file()
    assert study.stored() == set()
    folder = copy.parents[2]
    del context
    assert not folder.exists()

    path = job(study).path("ingest", subject, "sub-1_cine.nii.gz")
    assert path == study.store.root / ONE
    assert path.read_text() == "ingest cine.nii.gz"
    assert study.stored() == {ONE, ONE.replace("nii.gz", "json")}
    assert study.run("ingest") == []
    # While they are not packed, and when they are again, the archive that has them is left alone.
    study.flagged = set(SUBJECTS)
    study.run("qc")
    study.run("biomarkers")
    clear_shard(study.store, SHARD)
    assert archive(study).path.stat() == before
    clear_shard(study.store, SHARD, last=True)
    assert study.stored() == set()
    assert archive(study).path.stat() == before


READER = """
import pathlib, sys
from popscan.cli import storage
from popscan.cli.main import main
from popscan.plan import read_shard
from popscan.store import Store
from popscan.study.context import ShardContext

def read(_=None):
    store, shard = Store(pathlib.Path(sys.argv[1])), sys.argv[2]
    subject = read_shard(store.root, shard)[0].subject
    context = ShardContext(store=store, shard=shard, options={})
    print(context.path("ingest", subject, f"{subject.sub}_cine.nii.gz"), flush=True)
    sys.stdin.read()

storage._storage = read  # in place of a command's work
sys.exit(main(["storage", sys.argv[1]]) if sys.argv[3:] else read())
"""


@contextmanager
def another_reader(
    study: Study, temporary: Path, *options: str
) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Start a process that reads a copy of the first subject's image, and then waits.

    With any option as a command of popscan, else as a script of a user.
    """
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(study.store.root), SHARD, *options],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("by", ["withdraw", "reader"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_copies_of_a_process_that_was_killed_go_and_those_of_another_stay(
    study, tmp_path, monkeypatch, number, by
):
    withdrawn = []

    def others() -> None:
        """Withdraw a subject, or read a copy of one."""
        if by == "withdraw":
            withdraw(study.store.root, [SUBJECTS[1 - len(withdrawn)]])
            withdrawn.append(study)
        else:
            reader(study).path("ingest", study.planned[0].subject, "sub-1_cine.nii.gz")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with another_reader(study, tmp_path / "tmp") as (process, copy):
        others()
        assert copy.read_text() == "ingest cine.nii.gz"
        process.send_signal(number)
    assert copy.exists()
    others()
    assert not copy.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_copies_of_a_process_that_ends_go_with_it(study, tmp_path):
    with another_reader(study, tmp_path / "tmp") as (process, copy):
        assert copy.exists()
    assert process.returncode == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_copies_of_a_command_that_is_asked_to_end_go_with_it(study, tmp_path):
    with another_reader(study, tmp_path / "tmp", "command") as (process, copy):
        assert copy.exists()
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_subject_done_again_replaces_its_entries_and_no_others(study):
    with study.store.journal("ingest", SHARD).writer() as writer:
        writer.forget("sub-1")
    study.words = ", changed"
    assert study.run("ingest") == ["sub-1"]
    # What the archive still has of it counts no more.
    for one in (reader(study), job(study)):
        path = one.path("ingest", study.planned[0].subject, "sub-1_cine.nii.gz")
        assert path.read_text() == "ingest cine.nii.gz, changed"
    for stage in ("segment", "qc", "biomarkers"):
        study.run(stage)
    clear_shard(study.store, SHARD)
    assert study.stored() == set()
    context = reader(study)
    texts = {
        sub: context.path("ingest", planned.subject, f"{sub}_cine.nii.gz").read_text()
        for sub, planned in zip(SUBJECTS, study.planned, strict=True)
    }
    assert texts == {"sub-1": "ingest cine.nii.gz, changed", "sub-2": "ingest cine.nii.gz"}
    assert verify_study(study.store, deep=True) == {}


@pytest.mark.parametrize("moment", ["settle", "_unlink"])
def test_a_kill_between_leaves_nothing_in_doubt(tmp_path, monkeypatch, moment):
    study = done(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            clear_shard(study.store, SHARD)
    assert ONE in study.stored()
    assert ONE in archive(study).sizes
    for stage in STAGES:
        assert study.run(stage) == []
    clear_study(study.store, [SHARD])
    assert study.stored() == set()
    assert verify_study(study.store, deep=True) == {}


@pytest.mark.parametrize("moment", ["stored", "sync"])
def test_a_kill_while_entries_are_dropped_loses_none_that_the_journal_names(
    study, monkeypatch, moment
):
    study.keep("labels", archives=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(JournalWriter, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            clear_study(study.store, [SHARD])
    for stage in ("ingest", "segment"):
        for record in study.records(stage).values():
            assert archive(study, stage).holds(record.packed)
    assert [study.run(stage) for stage in STAGES] == [[], [], [], []]
    clear_study(study.store, [SHARD])
    assert not archive(study).path.exists()
    assert list(archive(study, "segment").sizes) == [
        f"derivatives/{sub}/segment/{sub}_dseg.nii.gz" for sub in SUBJECTS
    ]
    assert verify_study(study.store, deep=True) == {}


def test_files_that_another_process_gives_back_meanwhile_are_not_taken_for_strays(
    study, monkeypatch
):
    """The last job has read the journal, and then `popscan storage --restore` is typed."""
    plain, begun = Journal.read, []

    def read(journal: Journal) -> JournalState:
        state = plain(journal)
        if not begun and journal.path.parent.name == "ingest":
            begun.append(journal)
            restore_all(study.store, SHARD, study.planned[0].subject)
        return state

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "read", read)
        clear_study(study.store, [SHARD])
    for stage in ("ingest", "segment"):
        for record in study.records(stage).values():
            assert all((study.store.root / name).is_file() for name in record.files)
    assert verify_study(study.store, deep=True) == {}


def test_the_last_job_removes_what_a_kill_left_and_the_inventory_knows(study):
    (study.store.root / ONE).parent.mkdir(parents=True)
    (study.store.root / ONE).write_text("ingest cine.nii.gz")
    clear_shard(study.store, SHARD)
    assert study.stored() == {ONE}
    clear_study(study.store, [SHARD])
    assert study.stored() == set()
    assert verify_study(study.store, deep=True) == {}


KILLED = """
import os, pathlib, signal, sys
from popscan import archive
from popscan.store import Store
from popscan.study.storage import clear_shard

plain, begun = archive._write, []

def write(new, *rest):
    plain(new, *rest)
    begun.append(rest)
    if len(begun) == 3:
        new.fp.flush()
        os.kill(os.getpid(), signal.SIGKILL)

archive._write = write
clear_shard(Store(pathlib.Path(sys.argv[1])), sys.argv[2])
"""


def killed_while_packing(root: Path) -> Study:
    """Return a study whose first archive was being written when its process was killed."""
    study = done(root)
    command = [sys.executable, "-c", KILLED, str(study.store.root), SHARD]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = in_archives(study)
    assert b"sub-1" in left.read_bytes()
    return study


def in_archives(study: Study) -> list[Path]:
    return [path for path in (study.store.root / "archives").rglob("*") if path.is_file()]


@pytest.mark.parametrize("subjects", [["sub-1"], SUBJECTS])
def test_a_withdrawn_subject_leaves_what_a_kill_left_of_an_archive(tmp_path, subjects):
    study = killed_while_packing(tmp_path)
    withdraw(study.store.root, subjects)
    assert in_archives(study) == []


def test_so_does_it_where_a_process_of_that_number_runs(tmp_path):
    """As one of another machine: whether its writer lives cannot be asked."""
    study = killed_while_packing(tmp_path)
    (left,) = in_archives(study)
    left.rename(left.with_name(f".{SHARD}.zip.{os.getpid()}.tmp"))
    withdraw(study.store.root, ["sub-1"])
    assert in_archives(study) == []


@pytest.mark.parametrize("archives", [True, False])
def test_the_next_job_removes_what_a_kill_left_of_an_archive(tmp_path, archives):
    study = killed_while_packing(tmp_path)
    study.keep("all", archives=archives)
    clear_shard(study.store, SHARD)
    assert [path for path in in_archives(study) if path.suffix != ".zip"] == []
    assert bool(in_archives(study)) is archives


def spoil(path: Path, kind: str) -> None:
    """Damage an archive in one of the manners in which zips are damaged or made to harm."""
    data = path.read_bytes()
    if kind == "lost":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(data[:-40])
    elif kind == "a byte":
        path.write_bytes(data.replace(b"ingest cine.nii.gz", b"ingest cINE.nii.gz", 1))
    else:
        made = io.BytesIO()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
            for entry in old.infolist():
                content = old.read(entry)
                if kind == "another text":
                    content = content.replace(b"cine", b"CINE")
                name = f"../../{entry.filename}" if kind == "leaves" else entry.filename
                method = zipfile.ZIP_DEFLATED if kind == "bomb" else zipfile.ZIP_STORED
                new.writestr(name, content, method)
                if kind == "twice":
                    new.writestr(name, content)
        path.write_bytes(made.getvalue())


KINDS = ["lost", "cut", "a byte", "another text", "leaves", "bomb", "twice"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_seen_and_its_subjects_are_done_again(study, kind):
    spoil(archive(study).path, kind)
    subject = study.planned[0].subject
    with pytest.raises(SubjectError) as failed:
        reader(study).path("ingest", subject, "sub-1_cine.nii.gz")
    assert failed.value.reason == "upstream_lost"
    assert "manifests/ingest/00000.parquet" in damaged_outputs(study.store.root, subject_files=True)
    # Of a changed byte only one subject is concerned.
    lost = SUBJECTS[:1] if kind == "a byte" else SUBJECTS
    assert study.run("ingest") == lost
    for stage in ("segment", "qc", "biomarkers"):
        study.run(stage)
    clear_shard(study.store, SHARD)
    assert study.stored() == set()
    assert verify_study(study.store, deep=True) == {}
    assert not (study.store.root.parent / "sub-1").exists()


def test_an_entry_that_cannot_be_copied_into_the_next_archive_is_missed(study):
    spoil(archive(study).path, "a byte")  # of the first subject, while the second is done again
    with study.store.journal("ingest", SHARD).writer() as writer:
        writer.forget("sub-2")
    study.words = ", changed"
    study.run("ingest", only=frozenset({"sub-2"}))
    for stage in ("segment", "qc", "biomarkers"):
        study.run(stage)
    clear_shard(study.store, SHARD)
    assert (ONE in archive(study).sizes, TWO in archive(study).sizes) == (False, True)
    assert list(damaged_outputs(study.store.root, subject_files=True)) == [
        "manifests/ingest/00000.parquet"
    ]
    assert study.run("ingest") == ["sub-1"]


@pytest.mark.parametrize("deep", [False, True])
def test_verify_names_and_marks_what_an_archive_lost(study, deep):
    spoil(archive(study).path, "a byte")
    found = verify_study(study.store, deep=deep)
    assert found["manifests/ingest/00000.parquet"] == sorted(study_files("sub-1"))
    assert study.run("ingest") == ["sub-1"]


def study_files(sub: str) -> list[str]:
    return [f"derivatives/{sub}/ingest/{sub}_cine.{form}" for form in ("json", "nii.gz")]


def test_a_changed_entry_of_the_same_size_and_time_does_not_pass(study):
    """As a bit that the disk lost: size and time are as they were."""
    before = archive(study).path.stat()
    spoil(archive(study).path, "another text")
    with pytest.raises(ArchiveError, match="was changed since"):
        archive(study).unpack(
            {ONE: study.records("ingest")["sub-1"].removed[ONE]},
            lambda name: study.store.root / "copy",
        )
    assert before.st_size == archive(study).path.stat().st_size
    assert not (study.store.root / "copy").exists()


def test_a_withdrawn_subject_leaves_the_archives_and_the_other_stays(study):
    kept = study.records("ingest")["sub-2"]
    done = withdraw(study.store.root, ["sub-1"])
    assert (done.n_visits, done.n_files >= 4, done.left) == (1, True, [])
    for stage in ("ingest", "segment"):
        content = archive(study, stage).path.read_bytes()
        assert (b"sub-1" in content, b"sub-2" in content) == (False, True)
    assert study.records("ingest")["sub-2"] == kept
    assert content_stands(study.store, kept, SHARD)
    study.planned = study.planned[1:]
    assert study.run("ingest") == []
    withdraw(study.store.root, ["sub-2"])
    assert not archive(study).path.exists()


def test_an_archive_that_may_hold_a_withdrawn_subject_goes_where_it_cannot_be_read(study):
    spoil(archive(study).path, "cut")
    withdraw(study.store.root, ["sub-1"])
    assert not archive(study).path.exists()
    study.planned = study.planned[1:]
    assert study.run("ingest") == ["sub-2"]


def test_another_choice_takes_files_out_of_the_archive_or_leaves_it(study):
    study.keep("all")
    clear_shard(study.store, SHARD, last=True)
    assert ONE in archive(study).sizes  # they stay where they are, and are read from there
    study.keep("labels", archives=True)
    clear_shard(study.store, SHARD, last=True)
    assert not archive(study).path.exists()
    assert {name.rpartition("_")[2] for name in archive(study, "segment").sizes} == {"dseg.nii.gz"}
    record = study.records("segment")["sub-1"]
    assert [name.rpartition("_")[2] for name in record.gone] == ["unc.nii.gz"]
    with pytest.raises(SubjectError, match="removed by storage"):
        reader(study).path("ingest", study.planned[0].subject, "sub-1_cine.nii.gz")
    assert verify_study(study.store, deep=True) == {}


@pytest.mark.parametrize("archives", [True, False])
def test_an_excluded_subject_leaves_archives_that_are_in_use_and_those_of_before(study, archives):
    problem = {"status": "excluded", "reason": "excluded", "message": "by list"}
    study.planned[0] = replace(study.planned[0], problem=problem)
    study.keep("all", archives=archives)
    for stage in STAGES:
        study.run(stage)
    clear_study(study.store, [SHARD])
    assert sorted(archive(study).sizes) == sorted(study_files("sub-2"))
    for stage in ("ingest", "segment"):
        assert b"sub-1" not in archive(study, stage).path.read_bytes()
    assert verify_study(study.store, deep=True) == {}
    assert study.run("ingest") == []


def test_restore_gives_all_files_back(study):
    assert restore_all(study.store, SHARD, study.planned[0].subject) == 4
    assert {ONE, TWO} & study.stored() == {ONE}
    assert damaged_outputs(study.store.root, subject_files=True) == {}


@contextmanager
def failing_disk(stage: str, number: int, after: int = 0) -> Iterator[list[Path]]:
    """Have the disk fail once where a stage's archive is opened, and note every time it is."""
    opened: list[Path] = []
    plain = zipfile.ZipFile

    class Failing(plain):
        def __init__(self, file: object, *rest: object, **named: object) -> None:
            if isinstance(file, Path) and file.parent.name == stage:
                opened.append(file)
                if len(opened) == after + 1:
                    raise OSError(number, "the disk failed")
            super().__init__(file, *rest, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("popscan.archive.zipfile.ZipFile", Failing)
        yield opened


ERRNOS = [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES]


@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("number", ERRNOS)
def test_a_disk_that_fails_for_a_moment_costs_the_job_and_no_entry(study, number, after):
    with study.store.journal("ingest", SHARD).writer() as writer:
        writer.forget("sub-1")
    study.words = ", changed"
    for stage in STAGES:
        study.run(stage)
    before = archive(study).path.read_bytes()
    with failing_disk("ingest", number, after), pytest.raises(PopscanError, match="disk failed"):
        clear_shard(study.store, SHARD)
    assert archive(study).path.read_bytes() == before
    assert image("sub-1") in study.stored()
    clear_shard(study.store, SHARD)
    assert study.stored() == set()
    assert sorted(archive(study).sizes) == sorted(study_files("sub-1") + study_files("sub-2"))
    assert study.run("ingest") == []


@pytest.mark.parametrize("number", ERRNOS)
def test_a_withdrawal_from_a_disk_that_fails_for_a_moment_is_typed_again(study, number):
    with failing_disk("ingest", number), pytest.raises(PopscanError, match="disk failed"):
        withdraw(study.store.root, ["sub-1"])
    assert TWO in archive(study).sizes
    withdraw(study.store.root, ["sub-1"])
    assert sorted(archive(study).sizes) == sorted(study_files("sub-2"))


def test_an_archive_is_opened_a_few_times_whatever_it_holds(study):
    with failing_disk("ingest", errno.EIO, after=100) as opened:
        archive(study).checksums(archive(study).sizes)
        assert len(opened) == 2
        opened.clear()
        wanted = study.records("ingest")["sub-1"].removed
        archive(study).unpack(wanted, lambda name: study.store.root / name)
        assert len(opened) == 1
        opened.clear()
        kept = study.records("ingest")["sub-2"].removed
        assert archive(study).bring_to({TWO: kept[TWO]}, wanted)
        assert len(opened) == 3
