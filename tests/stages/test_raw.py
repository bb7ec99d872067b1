"""What the ingest stage asks of raw files before it reads them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from popscan.io import Loaded, get_source, write_scan
from popscan.protocols import get_protocol
from popscan.records import Scan, Subject, SubjectError
from popscan.stages.ingest.task import _ingest_outcome, check_required, stat_sources


def subject(*sources: Path) -> Subject:
    return Subject(sub="sub-01", sources=tuple(str(path) for path in sources))


@pytest.fixture
def image() -> Scan:
    """A scan that was never rotated."""
    return Scan(
        array=np.arange(4 * 5 * 3 * 2, dtype=np.int16).reshape(4, 5, 3, 2),
        affine=np.diag([1.5, 1.5, 8.0, 1.0]),
        spacing_mm=(1.5, 1.5, 8.0),
    )


def test_files_are_named_with_size_and_time(tmp_path):
    folder = tmp_path / "sub-01"
    (folder / "anat").mkdir(parents=True)
    (folder / "anat" / "a.nii").write_bytes(b"12345")
    os.utime(folder / "anat" / "a.nii", ns=(7, 7))
    assert stat_sources(subject(folder)) == [("sub-01/anat/a.nii", 5, 7)]


def test_a_file_that_was_not_fetched_fails_nobody(tmp_path, image):
    """As git-annex leaves them: a link to content that is elsewhere."""
    folder, made = tmp_path / "sub-01", tmp_path / "derivatives" / "other" / "sub-01"
    folder.mkdir()
    made.mkdir(parents=True)
    write_scan(folder / "sub-01_sa.nii.gz", image)
    (folder / "sub-01_4ch.nii.gz").symlink_to("../.git/annex/objects/gone")
    (made / "sub-01_map.nii.gz").symlink_to("../.git/annex/objects/gone")
    found = {name: size for name, size, _ in stat_sources(subject(folder, made))}
    assert found["sub-01/sub-01_4ch.nii.gz"] == found["sub-01/sub-01_map.nii.gz"] == -1
    assert found["sub-01/sub-01_sa.nii.gz"] > 0
    assert set(get_source("bids").load([str(folder), str(made)]).scans) == {"sax"}
    # Fetched later, it is another file: the stage runs again.
    (tmp_path / ".git" / "annex" / "objects").mkdir(parents=True)
    (tmp_path / ".git" / "annex" / "objects" / "gone").write_bytes(b"1")
    assert ("sub-01/sub-01_4ch.nii.gz", 1) in [f[:2] for f in stat_sources(subject(folder))]


def test_files_that_cannot_be_asked_are_told_without_their_name(tmp_path):
    folder = tmp_path / "sub-01"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    (folder / "doe_jane.dcm").symlink_to("doe_jane.dcm")  # a link to itself
    with pytest.raises(SubjectError) as caught:
        stat_sources(subject(folder))
    assert caught.value.reason == "unreadable_input"
    assert f"{folder}: file 2 of 2" in str(caught.value)
    assert "jane" not in str(caught.value)


def test_no_files_at_all(tmp_path):
    with pytest.raises(SubjectError) as caught:
        stat_sources(subject(tmp_path))
    assert caught.value.reason == "no_images"


def test_columns_come_from_the_analysed_view_and_all_views_are_accounted_for(image):
    long_axis = replace(
        image,
        view="2ch",
        array=image.array[:, :, :1],
        meta={"images_left_out": 25, "images_left_out_reason": "25 of another plane"},
    )
    short_axis = replace(
        image, view="sax", meta={"images_left_out": 3, "images_left_out_reason": "3 damaged"}
    )
    made = _ingest_outcome(
        Subject(sub="sub-01"), Loaded(scans={"2ch": long_axis, "sax": short_axis})
    )
    assert made.values["n_slices"] == 3
    assert made.values["views"] == "2ch sax"
    assert made.values["images_left_out"] == 28
    assert made.values["images_left_out_reason"] == "2ch: 25 of another plane; sax: 3 damaged"
    assert made.message == "28 images left out (2ch: 25 of another plane; sax: 3 damaged)"


def test_a_scan_that_fails_says_what_was_left_out_of_it(image):
    one = replace(
        image,
        array=image.array[:, :, :1],
        meta={"images_left_out_reason": "8 in damaged files"},
    )
    with pytest.raises(SubjectError, match="left out: 8 in damaged files") as caught:
        _ingest_outcome(Subject(sub="sub-01"), Loaded(scans={"sax": one}))
    assert caught.value.reason == "one_slice"


def test_a_visit_without_a_required_series_fails_by_name():
    """A FLAIR alone is no T1 study's subject, and is not segmented as if it were."""
    brain = get_protocol("brain_t1")
    flair = Scan(array=np.ones((4, 4, 4, 1), np.float32), affine=np.eye(4),
                 spacing_mm=(1.0, 1.0, 1.0), view="flair")  # fmt: skip
    alone = Loaded(scans={"flair": flair})
    with pytest.raises(SubjectError, match=r"requires t1w \(T1-weighted\); found flair") as caught:
        check_required(alone, brain, ["t1w", "flair"])
    assert caught.value.reason == "series_missing"
    check_required(alone, brain, ["flair"])
    check_required(Loaded(scans={"flair": flair, "t1w": flair}), brain, ["t1w", "flair"])
    check_required(Loaded(scans={}), brain, ["t1w"])
