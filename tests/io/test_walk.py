"""Links to folders are followed, safely, by all who ask what a subject's folder holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from popscan.io import walk as walking
from popscan.io.dicom import Dicom
from popscan.io.folders import Folders
from popscan.io.rawfile import list_files
from popscan.records import Subject, SubjectError
from popscan.stages.ingest.task import stat_sources


@pytest.fixture
def linked(tmp_path, write_stack) -> Path:
    """A subject's folder of links to folders of an archive, one series each."""
    folder = tmp_path / "raw" / "sub-01"
    folder.mkdir(parents=True)
    origin = np.array([-50.0, -40.0, 60.0])
    axis = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    for z in range(4):
        store = tmp_path / "store" / f"series{z}"
        write_stack(store, series=f"1.{z}", slices=1, origin=tuple(origin + 9 * z * axis), level=z)
        (folder / f"series{z}").symlink_to(store)
    return folder


def names(folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in list_files(folder)]


def test_series_behind_links_are_read_and_their_changes_are_seen(linked, tmp_path):
    scan = Dicom().load([str(linked)]).scans["sax"]
    assert scan.array.shape == (8, 10, 4, 6)
    np.testing.assert_array_equal(scan.array[0, 0, :, 0], np.arange(4))
    subject = Subject(sub="sub-01", sources=(str(linked),))
    before = stat_sources(subject), Folders().signature(str(linked))
    assert len(before[0]) == 24
    (tmp_path / "store" / "series2" / "more.txt").write_text("more")
    after = stat_sources(subject), Folders().signature(str(linked))
    assert len(after[0]) == 25
    assert after[1][0] > before[1][0]


def test_a_folder_that_is_linked_twice_counts_once(linked, tmp_path):
    (linked / "again").symlink_to(tmp_path / "store" / "series0")
    (linked / "deeper").mkdir()
    (linked / "deeper" / "once more").symlink_to(linked / "series1")
    assert len(list_files(linked)) == 24
    assert Dicom().load([str(linked)]).scans["sax"].meta["images_left_out"] == 0


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_links_in_a_circle_or_upward_end(linked, target):
    (linked / "deeper").mkdir()
    (linked / "deeper" / "up").symlink_to(linked / target)
    before = Folders().signature(str(linked))
    assert len(list_files(linked)) == 24
    assert len(stat_sources(Subject(sub="sub-01", sources=(str(linked),)))) == 24
    assert before == Folders().signature(str(linked))


def test_links_between_two_folders_end(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        folder = tmp_path / "store" / one
        folder.mkdir(parents=True)
        (folder / "x").write_text(one)
        (folder / "next").symlink_to(tmp_path / "store" / other)
    subject = tmp_path / "raw" / "sub-01"
    subject.mkdir(parents=True)
    (subject / "a").symlink_to(tmp_path / "store" / "a")
    assert names(subject) == ["a/x", "a/next/x"]
    assert Folders().signature(str(subject))[0] >= 2


def test_a_link_to_a_folder_that_is_gone_is_named(linked, tmp_path):
    (tmp_path / "store" / "series3").rename(tmp_path / "gone")
    meta = Dicom().load([str(linked)]).scans["sax"].meta
    assert meta["images_left_out_reason"] == "1 behind links that lead nowhere"
    assert meta["slices_left_out"] == 1
    found = {name: size for name, size, _ in stat_sources(Subject(sub="s", sources=(str(linked),)))}
    assert found["sub-01/series3"] == -1


def test_pipes_are_no_images(linked):
    os.mkfifo(linked / "pipe")
    assert Dicom().load([str(linked)]).scans["sax"].array.shape[2] == 4


def test_too_many_folders_are_a_wrong_path(tmp_path, monkeypatch):
    monkeypatch.setattr(walking, "MAX_FOLDERS", 3)
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(SubjectError) as caught:
        list_files(tmp_path)
    assert caught.value.reason == "too_many_files"
