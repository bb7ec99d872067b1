"""What scanners, archives and anonymisers do to a series, and what is still read of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from popscan.io.dicom import Dicom
from popscan.io.dicom_folder import read_folder
from popscan.io.dicom_kind import Kind
from popscan.records import Scan, SubjectError

AXIS = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
ORIGIN = np.array([-50.0, -40.0, 60.0])
LATER = {"AcquisitionTime": "120000", "ContentTime": "120000"}
Change = Callable[[pydicom.Dataset, int, int], Any]


def sax(folder: Path) -> Scan:
    return Dicom().load([str(folder)], views=["sax"]).scans["sax"]


def expected(slices: int = 4, frames: int = 6) -> np.ndarray:
    """What `write_stack` stored."""
    pixels = np.arange(10)[:, None] * 2 + np.arange(8)[None] % 2
    z, t = np.arange(slices)[:, None], np.arange(frames)[None]
    return pixels.T[:, :, None, None] + 1000 * z + 50 * t


def change_all(paths: list[Path], change: Change) -> None:
    """Change files by slice and frame, which their first pixel says."""
    for path in paths:
        data = pydicom.dcmread(path)
        z, value = divmod(int(data.pixel_array[0, 0]), 1000)
        change(data, z, value // 50)
        data.save_as(path)


def put(**tags: Any) -> Change:
    """Set tags; a function of slice and frame gives a value of its own to each image."""

    def change(data: pydicom.Dataset, z: int, t: int) -> None:
        for name, value in tags.items():
            setattr(data, name, value(z, t) if callable(value) else value)

    return change


HARMLESS: dict[str, Change] = {
    "no series": put(SeriesInstanceUID=""),
    "no series, a number per slice": put(SeriesInstanceUID="", SeriesNumber=lambda z, t: z + 3),
    "a series per image": put(SeriesInstanceUID=lambda z, t: f"1.{z}.{t}"),
    "a study per image": put(StudyInstanceUID=lambda z, t: f"1.{z}.{t}"),
    "a study per series": put(
        StudyInstanceUID=lambda z, t: f"1.{z}", SeriesInstanceUID=lambda z, t: f"2.{z}"
    ),
    "everything per image": put(
        SeriesInstanceUID=lambda z, t: f"1.{z}.{t}",
        StudyInstanceUID=lambda z, t: f"2.{z}.{t}",
        FrameOfReferenceUID=lambda z, t: f"3.{z}.{t}",
        SOPInstanceUID="1.2",
    ),
    "even and odd slices in two series": put(
        SeriesInstanceUID=lambda z, t: f"1.{z % 2}", AcquisitionTime=lambda z, t: f"1{z % 2}0000"
    ),
    "numbers from the last to the first slice": put(
        InstanceNumber=lambda z, t: 100 - 6 * z + t, SliceLocation=lambda z, t: -z
    ),
    "a slope per image": put(RescaleSlope=1, RescaleIntercept=lambda z, t: 0.0),
    "a slope of zero": put(RescaleSlope=0),
    "another heart rate per slice": put(
        NominalInterval=lambda z, t: 700 + 60 * z, TriggerTime=lambda z, t: t * (35.0 + 3 * z)
    ),
    "one acquisition number per slice": put(AcquisitionNumber=lambda z, t: z),
    "one acquisition number per image": put(AcquisitionNumber=lambda z, t: 6 * z + t),
    "temporal positions": put(TriggerTime=None, TemporalPositionIdentifier=lambda z, t: t + 1),
    "unclosed tilt": put(
        ImageOrientationPatient=lambda z, t: [
            round(v, 3) for v in (0.70711, 0.70711, 0, -0.40825, 0.40825, -0.8165)
        ]
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_the_stack_is_read_all_the_same(tmp_path, write_stack, name):
    change_all(write_stack(tmp_path / "s"), HARMLESS[name])
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["images_left_out"] == 0
    assert scan.spacing_mm[2] == pytest.approx(9.0, abs=0.05)


def test_slopes_differ_between_images(tmp_path, write_stack):
    change_all(write_stack(tmp_path / "s"), put(RescaleSlope=lambda z, t: 1 + z))
    scan = sax(tmp_path / "s")
    np.testing.assert_allclose(scan.array, expected() * (1 + np.arange(4))[:, None], rtol=1e-6)


@pytest.mark.parametrize(("unit", "factor"), [("s", 0.001), ("us", 1000.0)])
def test_trigger_times_in_another_unit_become_ms(tmp_path, write_stack, unit, factor):
    files = write_stack(tmp_path / "s", frames=20)
    change_all(files, put(TriggerTime=lambda z, t: t * 40.0 * factor))
    scan = sax(tmp_path / "s")
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(20) * 40, atol=0.01)
    assert scan.meta["trigger_time_unit"] == unit


def test_trigger_times_that_go_on_from_slice_to_slice(tmp_path, write_stack):
    change_all(write_stack(tmp_path / "s"), put(TriggerTime=lambda z, t: 900.0 * z + 40 * t))
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(6) * 40)
    assert scan.meta["slice_start_frames"] == pytest.approx(67.5)


@pytest.mark.parametrize("tags", [{"AcquisitionNumber": 2}, LATER])
def test_a_slice_taken_again_in_its_series_at_another_heart_rate(tmp_path, write_stack, tags):
    write_stack(tmp_path / "s", level=0)
    again = write_stack(
        tmp_path / "s", seed=1, slices=1, level=7, origin=tuple(ORIGIN + 9 * AXIS), tags=tags
    )
    change_all(again, put(TriggerTime=lambda z, t: 3.0 + 37 * t))
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array[:, :, 1], expected()[:, :, 0] + 7)
    np.testing.assert_array_equal(scan.array[:, :, 2], expected()[:, :, 2])
    assert (scan.meta["images_left_out"], scan.meta["slices_left_out"]) == (6, 0)


def test_two_stacks_half_a_slice_apart_are_not_mixed(tmp_path, write_stack):
    write_stack(tmp_path / "s", level=7)
    write_stack(tmp_path / "s", seed=1, series="1.9", origin=tuple(ORIGIN + 4.5 * AXIS), tags=LATER)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.spacing_mm[2] == pytest.approx(9.0, abs=0.01)
    assert (scan.meta["images_left_out"], scan.meta["slices_left_out"]) == (24, 0)


def test_a_torn_copy_of_a_whole_image_does_not_matter(tmp_path, write_stack):
    for number, path in enumerate(write_stack(tmp_path / "s")):
        copy = tmp_path / "s" / "again" / path.name
        copy.parent.mkdir(exist_ok=True)
        torn, whole = (copy, path) if number % 2 else (path, copy)
        shutil.copy(path, copy)
        torn.write_bytes(whole.read_bytes()[:-40])
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())


def test_images_that_a_series_promises_and_lacks_are_said(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"ImagesInAcquisition": 36})
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (12, 2)
    assert meta["images_left_out_reason"] == "12 not in the folder, of 36 that a series promises"


def test_frames_that_all_slices_lack_are_said(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"CardiacNumberOfImages": 8})
    assert sax(tmp_path / "s").meta["n_frames_told"] == 8


@pytest.mark.parametrize("lost", ["position", "file", "link"])
def test_what_was_lost_is_said_where_a_stack_breaks_for_it(tmp_path, write_stack, lost):
    def lose(path: Path) -> None:
        if lost == "position":
            data = pydicom.dcmread(path)
            del data.ImagePositionPatient
            data.save_as(path)
        elif lost == "file":
            path.write_bytes(path.read_bytes()[:400])
        else:
            path.unlink()
            path.symlink_to("../.git/annex/objects/gone")

    for path in write_stack(tmp_path / "s"):
        data = pydicom.dcmread(path)
        if int(data.pixel_array[0, 0]) == 2150:
            lose(path)
    with pytest.raises(SubjectError) as caught:
        sax(tmp_path / "s")
    assert caught.value.reason == "missing_frames"
    words = {"position": "without a position", "file": "damaged", "link": "links that lead nowhere"}
    assert f"beside 1 {'images' if lost == 'position' else ''}" in str(caught.value)
    assert words[lost] in str(caught.value)


def test_archives_and_folders_beside_visits_are_told(tmp_path):
    for name in ("sub-a/ses-1", "sub-a/series7", "sub-b"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("sub-b.zip", "sub-c.zip", "sub-d.tar.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    problems: list[str] = []
    found = Dicom().find(tmp_path, problems=problems)
    assert [(f.sub, f.ses) for f in found] == [("sub-a", "ses-1"), ("sub-b", "")]
    assert problems == [
        f"{tmp_path}: 2 archives (zip, tar, ...) are not read; unpack them first",
        f"{tmp_path / 'sub-a'}: 1 folders beside its visits are not read",
    ]


def test_captures_without_a_place_are_no_missing_slices(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(
        tmp_path / "s", seed=1, series="1.9",
        tags={"ImagePositionPatient": None, "ImageType": ["DERIVED", "SECONDARY"]},
    )  # fmt: skip
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (0, 0)


def test_times_come_from_the_slices_that_have_them(tmp_path, write_stack):
    def drop(data: pydicom.Dataset, z: int, t: int) -> None:
        data.InstanceNumber = t + 1
        if z == 1:
            del data.TriggerTime

    change_all(write_stack(tmp_path / "s"), drop)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(6) * 40 + 1)
    assert scan.meta["frame_order"] == "mixed"


def deflated(path: Path) -> None:
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=True, enforce_file_format=True)


def test_deflated_files_are_read_unless_they_unpack_to_too_much(tmp_path, write_stack, monkeypatch):
    files = write_stack(tmp_path / "s", slices=5)
    for path in files:
        deflated(path)
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected(5))
    monkeypatch.setattr("popscan.io.dicom_header._MAX_INFLATED", 2**18)
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected(5))
    data = pydicom.dcmread(files[0])
    data.PixelData = bytes(2**19)
    data.save_as(files[0], enforce_file_format=True)
    deflated(files[0])
    packed = files[0].read_bytes()
    for start in (0, 132):  # with and without a preamble
        files[0].write_bytes(packed[start:])
        assert read_folder(tmp_path / "s").counts[Kind.DAMAGED] == 1


@pytest.mark.parametrize("shape", [(2**16 - 1, 2**16 - 1), (0, 8)])
def test_images_of_impossible_size_are_damaged(tmp_path, write_stack, shape):
    spoilt, *_ = write_stack(tmp_path / "s", slices=5)
    data = pydicom.dcmread(spoilt)
    data.Rows, data.Columns = shape
    data.save_as(spoilt)
    assert read_folder(tmp_path / "s").counts[Kind.DAMAGED] == 1


def mirrored(data: pydicom.Dataset, z: int, *, axis: int) -> None:
    """Store an image from its other side, with the geometry that says so."""
    orientation = np.array(data.ImageOrientationPatient, dtype=float)
    along = orientation[3 * axis : 3 * axis + 3]
    spacing = float(data.PixelSpacing[1 - axis])
    n_pixels = int(data.Columns) if axis == 0 else int(data.Rows)
    position = np.array(data.ImagePositionPatient, dtype=float)
    data.ImagePositionPatient = (position + along * spacing * (n_pixels - 1)).tolist()
    orientation[3 * axis : 3 * axis + 3] *= -1
    data.ImageOrientationPatient = orientation.tolist()
    data.PixelData = np.flip(data.pixel_array, axis=1 - axis).tobytes()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("which", [lambda z: z % 2 == 1, lambda z: z == 2, lambda z: z > 1])
def test_slices_that_are_stored_from_their_other_side(tmp_path, write_stack, axis, which):
    def change(data: pydicom.Dataset, z: int, t: int) -> None:
        if which(z):
            mirrored(data, z, axis=axis)

    change_all(write_stack(tmp_path / "s", slices=8), change)
    scan = sax(tmp_path / "s")
    assert scan.spacing_mm[2] == pytest.approx(9.0, abs=0.001)
    assert (scan.meta["images_left_out"], scan.array.shape[2]) == (0, 8)
    whole = expected(slices=8)
    turned = [whole, whole[::-1], whole[:, ::-1], whole[::-1, ::-1]]
    assert any(np.array_equal(scan.array, one) for one in turned)


@pytest.mark.parametrize("which", [lambda z: True, lambda z: z == 2])
def test_images_whose_smallest_value_is_white_are_inverted(tmp_path, write_stack, which):
    def change(data: pydicom.Dataset, z: int, t: int) -> None:
        if which(z):
            data.PhotometricInterpretation = "MONOCHROME1"
            data.PixelData = (65535 - data.pixel_array).astype(np.uint16).tobytes()

    change_all(write_stack(tmp_path / "s"), change)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array, expected())
    assert scan.meta["n_inverted_images"] == 6 * sum(which(z) for z in range(4))


@pytest.mark.parametrize(("value", "limit"), [(65535, None), (60000, 65535)])
def test_padding_is_dark(tmp_path, write_stack, value, limit):
    def change(data: pydicom.Dataset, z: int, t: int) -> None:
        pixels = data.pixel_array.copy()
        pixels[:2] = value
        data.PixelData = pixels.tobytes()
        data.add_new("PixelPaddingValue", "US", value)
        if limit:
            data.add_new("PixelPaddingRangeLimit", "US", limit)

    files = write_stack(tmp_path / "s")
    change_all(files, lambda data, z, t: data.add_new("PixelPaddingValue", "US", 0))
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())  # 0 is a value, too
    change_all(files, change)
    scan = sax(tmp_path / "s").array
    np.testing.assert_array_equal(scan[:, 2:], expected()[:, 2:])
    np.testing.assert_array_equal(scan[:, :2], scan[:, 2:].min(axis=(0, 1)) + 0 * scan[:, :2])


def test_bits_that_lie_elsewhere_than_the_header_says_are_refused(tmp_path, write_stack):
    def change(data: pydicom.Dataset, z: int, t: int) -> None:
        data.PixelData = (data.pixel_array * 16).astype(np.uint16).tobytes()
        data.BitsStored, data.HighBit = 12, 15

    files = write_stack(tmp_path / "s", slices=4)
    change_all(files, put(HighBit=15, BitsStored=12))
    np.testing.assert_array_equal(sax(tmp_path / "s").array, expected())  # a header's slip
    change_all(files, change)
    with pytest.raises(SubjectError, match="highest bit of 12 is number 15") as caught:
        sax(tmp_path / "s")
    assert caught.value.reason == "bad_pixels"


@pytest.mark.parametrize("tag", ["Rows", "Columns"])
def test_pixels_of_another_matrix_than_the_header_says_are_refused(tmp_path, write_stack, tag):
    files = write_stack(tmp_path / "s")
    change_all(files, lambda data, z, t: setattr(data, tag, int(data[tag].value) - 1))
    with pytest.raises(SubjectError, match="bytes of pixels") as caught:
        sax(tmp_path / "s")
    assert caught.value.reason == "bad_pixels"


@pytest.mark.parametrize("digits", [0, 1])
def test_rounded_positions_do_not_change_the_distance_of_slices(tmp_path, write_stack, digits):
    def change(data: pydicom.Dataset, z: int, t: int) -> None:
        data.ImagePositionPatient = [round(float(v), digits) for v in data.ImagePositionPatient]

    change_all(write_stack(tmp_path / "s", slices=11, distance_mm=10.0), change)
    assert sax(tmp_path / "s").spacing_mm[2] == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize(("written", "unit"), [(0.8, "s"), (800_000.0, "us"), (800.0, None)])
def test_rr_interval_in_another_unit_becomes_ms(tmp_path, write_stack, written, unit):
    change_all(write_stack(tmp_path / "s"), put(NominalInterval=written))
    scan = sax(tmp_path / "s")
    assert scan.meta["rr_ms"] == pytest.approx(800.0)
    assert scan.meta.get("rr_unit_assumed") == unit


def test_heart_rate_counts_where_the_rr_interval_is_none(tmp_path, write_stack):
    change_all(write_stack(tmp_path / "s"), put(NominalInterval=26.0, HeartRate=75))
    assert sax(tmp_path / "s").meta["rr_ms"] == pytest.approx(800.0)
