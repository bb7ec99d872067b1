"""What is remembered of folders is what another look would find."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.io.folders import MANY, Folders
from popscan.records import PopscanError
from popscan.stages.plan.job import plan_study

SUBJECTS = [f"sub-{i:02d}" for i in range(4)]


def series(root: Path, sub: str) -> Path:
    """Folder of a subject's files, with more of them than are asked for one by one."""
    return root / sub / "ses-1" / "series"


@pytest.fixture
def raw(tmp_path) -> Path:
    """Subjects with a small folder and one of many files."""
    root = tmp_path / "raw"
    for sub in SUBJECTS:
        series(root, sub).mkdir(parents=True)
        (root / sub / "ses-1" / "small.json").write_text("{}")
        for index in range(MANY + 1):
            (series(root, sub) / f"{index:03d}.dcm").write_bytes(b"x" * index)
    return root


def settle(monkeypatch) -> None:
    """Let the index be written an hour later: what changed just now is not relied on."""
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr("popscan.io.folders.time.time_ns", lambda: later)


def look(root: Path, folders: Folders) -> dict[str, tuple[list[str], tuple[int, int]]]:
    """Everything that a plan asks of the raw data."""
    names = folders.names(root)
    paths = [str(root / name) for name in names]
    folders.prefetch(paths)
    return {path: (folders.names(path), folders.signature(path)) for path in paths}


def again(root: Path, index: Path, *, trust: bool) -> Folders:
    """Look with what is remembered, compare with a look that remembers nothing."""
    folders = Folders.read(index, trust=trust)
    assert look(root, folders) == look(root, Folders())
    return folders


@pytest.mark.parametrize("trust", [True, False])
def test_second_look_lists_nothing_that_stands(raw, tmp_path, monkeypatch, trust):
    first = Folders()
    look(raw, first)
    assert first.n_listed == 1 + 3 * len(SUBJECTS)
    settle(monkeypatch)
    first.write(tmp_path / "index")
    written = (tmp_path / "index").stat().st_mtime_ns
    second = again(raw, tmp_path / "index", trust=trust)
    # Without trust the files of the large folders are asked for again.
    assert second.n_listed == (0 if trust else len(SUBJECTS))
    second.write(tmp_path / "index")
    assert (tmp_path / "index").stat().st_mtime_ns == written


def rewrite_small(root: Path) -> None:
    (root / "sub-01" / "ses-1" / "small.json").write_text("{1: 2}")


def add_file(root: Path) -> None:
    (series(root, "sub-01") / "new.dcm").write_text("new")


def swap_file(root: Path) -> None:
    """A file is renamed, another rewritten; the folder's mtime is set back, as tar and rsync do."""
    folder = series(root, "sub-01")
    before = folder.stat()
    (folder / "003.dcm").rename(folder / "003.ima")
    (folder / "004.dcm").write_bytes(b"y" * 9)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_session(root: Path) -> None:
    (root / "sub-01" / "ses-2").mkdir()


def remove_subject(root: Path) -> None:
    shutil.rmtree(root / "sub-01")


def replace_subject(root: Path) -> None:
    """Another folder takes a subject's name."""
    shutil.rmtree(root / "sub-01")
    (root / "sub-02").rename(root / "sub-01")


def link_away(root: Path) -> None:
    """A subject moves and a link takes its place; a file becomes a link that leads nowhere."""
    (root / "sub-01").rename(root.parent / "elsewhere")
    (root / "sub-01").symlink_to(root.parent / "elsewhere")
    (root / "sub-02" / "ses-1" / "small.json").unlink()
    (root / "sub-02" / "ses-1" / "small.json").symlink_to("nowhere")


@pytest.mark.parametrize(
    "change",
    [rewrite_small, add_file, swap_file, add_session, remove_subject, replace_subject, link_away],
)
@pytest.mark.parametrize("trust", [True, False])
def test_change_is_seen(raw, tmp_path, monkeypatch, change, trust):
    first = Folders()
    before = look(raw, first)
    with monkeypatch.context() as patch:
        settle(patch)
        first.write(tmp_path / "index")
    change(raw)
    folders = again(raw, tmp_path / "index", trust=trust)
    assert look(raw, folders) != before


def test_trust_overlooks_only_a_file_of_many_rewritten_in_place(raw, tmp_path, monkeypatch):
    first = Folders()
    before = look(raw, first)
    settle(monkeypatch)
    first.write(tmp_path / "index")
    (series(raw, "sub-01") / "005.dcm").write_bytes(b"longer than before")
    assert look(raw, Folders.read(tmp_path / "index", trust=True)) == before
    again(raw, tmp_path / "index", trust=False)


def test_folder_changed_a_moment_ago_is_not_relied_on(raw, tmp_path):
    """A second change within a tick of the clock would not be seen."""
    first = Folders()
    look(raw, first)
    first.write(tmp_path / "index")
    assert again(raw, tmp_path / "index", trust=True).n_listed == first.n_listed


@given(damage=st.one_of(st.binary(max_size=40), st.sampled_from([b"[]", b"{}", b'{"a": 1}'])))
@settings(max_examples=40)
def test_damaged_index_is_an_empty_one(damage, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index"
    path.write_bytes(damage)
    (path.parent / "raw").mkdir()
    assert Folders.read(path).names(path.parent / "raw") == []


def test_missing_root_is_told(tmp_path):
    with pytest.raises(PopscanError, match="nowhere: not a readable folder"):
        Folders().names(tmp_path / "nowhere")


OPTIONS = {
    "study": {"seed": 1},
    "source": {"kind": "bids", "root": "raw"},
    "cohort": {},
    "plan": {"shard_size": 2},
}


@pytest.mark.parametrize("trust", [True, False])
def test_plan_with_an_index_says_who_is_new_changed_and_removed(raw, monkeypatch, trust):
    monkeypatch.chdir(raw.parent)
    settle(monkeypatch)
    study = Path("results", "s")
    assert plan_study(study, OPTIONS, trust=trust).n_subjects == len(SUBJECTS)
    index = study / "plan" / "folders.json"
    before = {p: p.stat().st_mtime_ns for p in study.rglob("*")}
    again = plan_study(study, OPTIONS, trust=trust)
    assert (again.new, again.changed, again.removed) == ((), (), ())
    assert {p: p.stat().st_mtime_ns for p in study.rglob("*")} == before
    assert index in before

    rewrite_small(raw)
    shutil.rmtree(raw / "sub-03")
    shutil.copytree(raw / "sub-00", raw / "sub-09")
    told = plan_study(study, OPTIONS, trust=trust)
    assert told.new == ("sub-09_ses-1",)
    assert told.changed == ("sub-01_ses-1",)
    assert told.removed == ("sub-03_ses-1",)
