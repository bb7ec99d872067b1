"""Which of several images of a slice count, what is an image at all, how frames are ordered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from popscan.io.dicom import Dicom
from popscan.io.dicom_order import day_seconds, natural
from popscan.records import Scan, SubjectError

ORIGINAL = ["ORIGINAL", "PRIMARY", "M"]
LATER = {"AcquisitionTime": "120000", "ContentTime": "120000"}


def sax(folder: Path) -> Scan:
    return Dicom().load([str(folder)], views=["sax"]).scans["sax"]


def reason(folder: Path) -> tuple[str, str]:
    with pytest.raises(SubjectError) as caught:
        sax(folder)
    return caught.value.reason, str(caught.value)


def expected(slices: int = 4, frames: int = 6) -> np.ndarray:
    """What `write_stack` stored."""
    pixels = np.arange(10)[:, None] * 2 + np.arange(8)[None] % 2
    z, t = np.arange(slices)[:, None], np.arange(frames)[None]
    return pixels.T[:, :, None, None] + 1000 * z + 50 * t


def renumber(paths: list[Path], change: Callable[[pydicom.Dataset, int, int], None]) -> None:
    """Change files by slice and frame, which their first pixel says."""
    for path in paths:
        data = pydicom.dcmread(path)
        z, value = divmod(int(data.pixel_array[0, 0]), 1000)
        change(data, z, value // 50)
        data.save_as(path)


# --- which of several -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "M"]},
        {"ImageType": ["DERIVED", "SECONDARY", "M"]},
        {"ImageType": ["ORIGINAL", "SECONDARY"]},
        {"BurnedInAnnotation": "YES"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"ImageType": None, "RescaleSlope": 2, "RescaleIntercept": -65536},
        {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M"], "TriggerTime": 300.0},  # perfusion
    ],
)
def test_what_was_measured_goes_before_later_copies(tmp_path, write_stack, tags):
    write_stack(tmp_path / "s", tags={"ImageType": ORIGINAL})
    copies = write_stack(tmp_path / "s", seed=1, series="1.9", level=9, tags={**LATER, **tags})
    if "TriggerTime" in tags:
        renumber(copies, lambda d, z, t: setattr(d, "ContentTime", f"1200{z}{t}"))
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_copies_within_a_series_do_not_count(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"ImageType": ORIGINAL})
    write_stack(tmp_path / "s", seed=1, level=9, tags={"ImageType": ["DERIVED", "SECONDARY"]})
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_the_later_of_equals_counts(tmp_path, write_stack):
    write_stack(tmp_path / "s", level=9, tags={"ImageType": ORIGINAL})
    write_stack(tmp_path / "s", seed=1, series="1.9", tags={**LATER, "ImageType": ORIGINAL})
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_copies_count_where_nothing_else_is_there_and_are_said(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"ImageType": ["DERIVED", "SECONDARY"]})
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["n_copied_slices"] == 4


def test_a_gated_cine_goes_before_real_time_of_more_frames(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    renumber(
        write_stack(tmp_path / "s", seed=1, series="1.9", frames=12, level=1, tags=LATER),
        lambda d, z, t: (setattr(d, "TriggerTime", 0.0), setattr(d, "InstanceNumber", t)),
    )
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


# --- the same image twice, and different images under one identifier ------------------------------


def test_different_images_may_share_an_instance_uid(tmp_path, write_stack):
    files = write_stack(tmp_path / "s", one_series=False)
    renumber(files, lambda d, z, t: setattr(d, "SOPInstanceUID", f"1.2.9.{t}"))
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_all_images_may_share_one_instance_uid(tmp_path, write_stack):
    files = write_stack(tmp_path / "s")
    renumber(files, lambda d, z, t: setattr(d, "SOPInstanceUID", "1.2.9"))
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


@pytest.mark.parametrize("new_uid", [False, True])
def test_images_that_were_sent_again_count_once(tmp_path, write_stack, new_uid, edit_dicom):
    for path in write_stack(tmp_path / "s"):
        copy = tmp_path / "s" / "again" / path.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        if new_uid:
            edit_dicom(copy, lambda d: setattr(d, "SOPInstanceUID", d.SOPInstanceUID + ".1"))
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["images_left_out_reason"] == "24 there twice, pixel by pixel"
    assert scan.meta["slices_left_out"] == 0


# --- what is an image -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"Modality": "CT"}, "CT"),
        ({"Modality": "US"}, "US"),
        ({"Modality": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "CT"),
        ({"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"}, "PT"),
        ({"Modality": "Jane Doe 1964"}, "an unknown kind"),
    ],
)
def test_another_modality_is_refused_by_name(tmp_path, write_stack, tags, named):
    write_stack(tmp_path / "s", tags=tags)
    code, message = reason(tmp_path / "s")
    assert code == "wrong_modality"
    assert f"images of modality {named}; MR expected" in message
    assert "Doe" not in message


def test_reports_and_other_modalities_beside_the_cine_are_left_aside(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, series="1.8", slices=9, tags={"Modality": "CT"})
    for number, modality in enumerate(("SR", "PR", "KO")):
        tags = {"Modality": modality, "Rows": None, "Columns": None}
        write_stack(
            tmp_path / "s", seed=5 + number, series=f"1.7.{number}", slices=1, frames=1, tags=tags
        )
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["slices_left_out"] == 0


def test_an_emptied_modality_is_read(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"Modality": "", "ImageType": None, "ScanningSequence": None})
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_a_contrast_that_some_files_do_not_say_splits_no_stack(tmp_path, write_stack):
    for path in write_stack(tmp_path / "s")[::3]:
        data = pydicom.dcmread(path)
        del data.ScanningSequence, data.EchoTime
        data.save_as(path)
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_colour_or_phase_alone_is_refused_by_name(tmp_path, write_stack):
    write_stack(tmp_path / "c", tags={"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"})
    assert reason(tmp_path / "c")[0] == "bad_pixels"
    assert "colour images only" in reason(tmp_path / "c")[1]
    write_stack(tmp_path / "p", tags={"ImageType": ["ORIGINAL", "PRIMARY", "P"]})
    assert reason(tmp_path / "p")[0] == "no_cine"
    assert "phase images only" in reason(tmp_path / "p")[1]


def test_patients_that_differ_in_spelling_only_are_told_so(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"PatientID": "ab0012"})
    write_stack(tmp_path / "s", seed=1, series="1.9", tags={"PatientID": "AB0012"})
    code, message = reason(tmp_path / "s")
    assert code == "mixed_patients"
    assert "case, spaces or leading zeros only" in message
    assert "12" not in message.replace(str(tmp_path), "")


# --- order of frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [(5, 4), (5, 0), (3, 2), (1, 0)])
@pytest.mark.parametrize("slices", [1, 4])
def test_a_tied_trigger_time_loses_no_frame(tmp_path, write_stack, tied, slices):
    later, earlier = tied

    def tie(data, z, t):
        data.InstanceNumber = t + 1
        if z == slices - 1 and t == later:
            data.TriggerTime = earlier * 40.0 + z * 0.5

    renumber(write_stack(tmp_path / "s", slices=slices), tie)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected(slices))
    assert scan.meta["frame_order"] == "trigger_time"
    assert scan.meta["n_tied_trigger_times"] == 2
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(6) * 40, atol=2)


def test_a_missing_trigger_time_loses_no_frame(tmp_path, write_stack):
    def drop(data, z, t):
        data.InstanceNumber = t + 1
        if (z, t) in {(1, 2), (2, 0)}:
            del data.TriggerTime

    renumber(write_stack(tmp_path / "s"), drop)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(6) * 40, atol=2)


@pytest.mark.parametrize("name", ["IM{}", "IM{}.dcm", "frame{}_of_8", "{}"])
def test_names_are_sorted_as_a_person_would_and_it_is_said(tmp_path, write_stack, name):
    empty = dict.fromkeys(("TriggerTime", "InstanceNumber", "AcquisitionTime", "ContentTime"))

    def rename(data, z, t):
        path = tmp_path / "s" / name.format(z * 6 + t + 1)
        data.save_as(path)

    files = write_stack(tmp_path / "raw", tags=empty)
    (tmp_path / "s").mkdir()
    renumber(files, rename)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["frame_order"] == "file_name"
    assert scan.meta["n_guessed_slices"] == 4
    assert scan.frame_times_ms is None


def test_real_time_frames_go_by_when_they_were_taken(tmp_path, write_stack):
    def number(data, z, t):
        data.InstanceNumber, data.TemporalPositionIdentifier = 100 - t, 1
        data.AcquisitionTime = f"10{z:02d}{t:02d}.5"

    renumber(write_stack(tmp_path / "s", tags={"TriggerTime": None}), number)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["frame_order"] == "acquisition_time"


def test_midnight_does_not_turn_the_order(tmp_path, write_stack):
    def number(data, z, t):
        data.InstanceNumber = 7
        data.AcquisitionTime = f"2359{57 + t}.25" if t < 3 else f"0000{t - 3:02d}.25"

    renumber(write_stack(tmp_path / "s", tags={"TriggerTime": None}), number)
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_names_and_times_as_numbers():
    names = ["a2", "a10", "a1b", "10000", "9999", "x", ""]
    assert sorted(names, key=natural) == ["", "9999", "10000", "a1b", "a2", "a10", "x"]
    assert day_seconds("10:00:01.5") == day_seconds("100001.5") == 36001.5
    assert np.isnan([day_seconds(text) for text in ("", "10", "yesterday", "1000015.5")]).all()


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_links_to_nowhere_are_named(tmp_path):
    (tmp_path / "s").mkdir()
    for number in range(3):
        (tmp_path / "s" / f"{number}.dcm").symlink_to("../.git/annex/objects/gone")
    code, message = reason(tmp_path / "s")
    assert code == "file_missing"
    assert "3 links that lead nowhere" in message
