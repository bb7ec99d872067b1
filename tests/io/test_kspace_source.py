"""Folders of raw k-space: who is there, which file is whose, and files that break their reader."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from popscan.config.kspace import KSpaceInput
from popscan.io.kspace_formats import read_any_kspace
from popscan.io.kspace_guarded import read_guarded
from popscan.io.kspace_source import KSpaceFiles
from popscan.records import SubjectError

RULES = {"axes": "c x y z t", "spacing_mm": [2.0, 2.0, 8.0]}


def array(path: Path, *, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((2, side, side, 3, 2), np.complex64)
    values[:, side // 2, side // 2] = 1
    with h5py.File(path, "w") as file:
        file["kspace"] = values
    return path


def found(root: Path) -> dict[str, tuple[str, ...]]:
    return {one.sub + one.ses: one.paths for one in KSpaceFiles().find(root)}


def test_folders_as_in_bids(tmp_path):
    array(tmp_path / "sub-1" / "ses-a" / "cine" / "x_sax.h5")
    array(tmp_path / "sub-2" / "x_sax.h5")
    array(tmp_path / "other" / "x_sax.h5")
    assert sorted(found(tmp_path)) == ["sub-1ses-a", "sub-2"]


def test_folders_and_files_of_any_name(tmp_path):
    array(tmp_path / "P001" / "cine_sax.mat")
    one = array(tmp_path / "file7.h5")
    array(tmp_path / "P001.h5")  # the same subject again
    (tmp_path / "file7.json").write_text("{}")
    (tmp_path / "scan.cfl").write_bytes(b"")
    (tmp_path / "scan.hdr").write_text("")
    (tmp_path / "scan_traj.cfl").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    problems: list[str] = []
    there = {f.sub: f.paths for f in KSpaceFiles().find(tmp_path, problems=problems)}
    assert sorted(there) == ["sub-P001", "sub-file7", "sub-scan"]
    assert there["sub-file7"] == (str(one), str(tmp_path / "file7.json"))
    assert there["sub-scan"] == (str(tmp_path / "scan.cfl"), str(tmp_path / "scan.hdr"))
    assert there["sub-P001"] == (str(tmp_path / "P001"),)
    assert any("sub-P001 again" in problem for problem in problems)


def load(folder: Path, **options):
    return KSpaceFiles().load([str(folder)], kspace=RULES, **options)


def test_views_come_from_names_and_the_last_of_several_is_read(tmp_path):
    array(tmp_path / "run-2_sax.h5", side=8)
    array(tmp_path / "run-10_sax.h5", side=12)
    array(tmp_path / "x_4ch.h5")
    array(tmp_path / "x_lax.h5")
    read = load(tmp_path, views=["sax"])
    assert {view: k.data.shape[1] for view, k in read.kspace.items()} == {"sax": 12}
    assert read.notes == ("sax: 2 files; the last by name is read",)
    assert {"4ch", "sax"} <= set(load(tmp_path).kspace)


def test_single_file_without_a_view_is_the_first_view_and_several_are_not(tmp_path):
    array(tmp_path / "meas_MID0001.h5")
    read = load(tmp_path)
    assert list(read.kspace) == ["sax"]
    assert read.notes == ("the file's name says no view: read as sax",)
    array(tmp_path / "meas_MID0002.h5")
    with pytest.raises(SubjectError, match="2 k-space files whose names say no view"):
        load(tmp_path)


def test_unreadable_further_view_costs_that_view_alone(tmp_path):
    array(tmp_path / "x_sax.h5")
    (tmp_path / "x_4ch.h5").write_bytes(b"nothing")
    read = load(tmp_path)
    assert list(read.kspace) == ["sax"]
    assert read.notes == ("4ch was not read: not_kspace",)
    with pytest.raises(SubjectError) as caught:
        load(tmp_path, views=["2ch"])
    assert caught.value.reason == "view_missing"


def test_reading_process_gives_what_the_reader_gives(tmp_path):
    path = array(tmp_path / "a.h5")
    rules = KSpaceInput(**RULES, frame_step_ms=40)
    own = read_any_kspace(path, view="sax", rules=rules)
    other = read_guarded(path, view="sax", rules=rules)
    for name in ("data", "mask", "affine", "frame_times_ms"):
        np.testing.assert_array_equal(getattr(other, name), getattr(own, name))
    assert (other.spacing_mm, other.meta, other.view) == (own.spacing_mm, own.meta, own.view)
    with pytest.raises(SubjectError) as caught:
        read_guarded(tmp_path / "b.h5", view="sax", rules=rules)
    assert caught.value.reason == "file_missing"


def test_file_that_takes_too_long_fails_alone(tmp_path):
    slow = array(tmp_path / "a.h5", side=512)

    def read_often() -> None:  # the process may use one second in all
        for _ in range(100):
            read_guarded(slow, view="sax", rules=KSpaceInput(**RULES), least_cpu_s=-1000)

    with pytest.raises(SubjectError) as caught:
        read_often()
    assert caught.value.reason == "reader_died"
    good = array(tmp_path / "b.h5")
    assert read_guarded(good, view="sax", rules=KSpaceInput(**RULES)).data.any()


def test_relative_paths_are_those_of_the_folder_of_today(tmp_path, monkeypatch):
    """The reading process stays where it was started: it read a file of the folder before."""
    for place, side in (("a", 8), ("b", 12)):
        array(tmp_path / place / "x_sax.h5", side=side)
        monkeypatch.chdir(tmp_path / place)
        kspace = read_guarded(Path("x_sax.h5"), view="sax", rules=KSpaceInput(**RULES))
        assert kspace.data.shape[1] == side


def test_an_answer_that_was_broken_off_is_not_the_next_subjects(tmp_path, monkeypatch):
    good, rules = array(tmp_path / "a_sax.h5"), KSpaceInput(**RULES)

    def no_room(*_, **__):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("popscan.io.kspace_guarded.np.empty", no_room)
        with pytest.raises(MemoryError):
            read_guarded(good, view="sax", rules=rules)
    assert read_guarded(good, view="sax", rules=rules).data.any()
