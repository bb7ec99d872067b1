"""DICOM folders: sorting, geometry, views, mixed and damaged series, personal fields."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless

from popscan.arrays.geometry import spacing_from_affine
from popscan.ingest import check_scan
from popscan.io import read_scan, write_scan
from popscan.io.dicom import Dicom
from popscan.io.dicom_folder import read_folder
from popscan.io.folders import Folders
from popscan.io.sources import get_source
from popscan.records import SubjectError

ROW = np.array([0.7, 0.7, 0.0]) / np.linalg.norm([0.7, 0.7, 0.0])
APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
COLUMN = np.cross(APEX, ROW)
COLUMN = COLUMN if COLUMN[2] < 0 else -COLUMN
LPS = np.array([-1.0, -1.0, 1.0])


def load(folder: Path, **options):
    return Dicom().load([str(folder)], **options)


def reason(folder: Path, **options) -> tuple[str, str]:
    with pytest.raises(SubjectError) as caught:
        load(folder, **options)
    return caught.value.reason, str(caught.value)


def place(z: int, t: int, rows: int = 10, columns: int = 8) -> np.ndarray:
    """What `picture` stored, as (x, y)."""
    pixels = np.arange(rows)[:, None] * 2 + np.arange(columns)[None] % 2
    return (1000 * z + 50 * t + pixels).T


def test_frames_and_slices_are_sorted_by_position_and_trigger_time(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.array.shape == (8, 10, 4, 6)
    assert scan.array.dtype == np.int16
    for z in range(4):
        for t in range(6):
            np.testing.assert_array_equal(scan.array[:, :, z, t], place(z, t))
    assert scan.meta["frame_order"] == "trigger_time"
    np.testing.assert_allclose(scan.frame_times_ms, np.arange(6) * 40 + 0.75)
    assert scan.meta["rr_ms"] == 800


def test_slice_distance_comes_from_positions(tmp_path, write_stack):
    # SliceThickness says 6, SliceLocation 3 per slice: both wrong here.
    write_stack(tmp_path / "s", distance_mm=9.0)
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.spacing_mm == pytest.approx((1.25, 1.25, 9.0), abs=1e-3)
    assert spacing_from_affine(scan.affine) == pytest.approx(scan.spacing_mm, abs=1e-3)
    assert scan.meta["slice_thickness_mm"] == 6


def test_affine_puts_voxels_where_dicom_says(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    scan = load(tmp_path / "s").scans["sax"]
    corner = np.array([-50.0, -40.0, 60.0]) + 5 * 1.25 * ROW + 3 * 1.25 * COLUMN + 2 * 9.0 * APEX
    np.testing.assert_allclose((scan.affine @ [5, 3, 2, 1])[:3], corner * LPS, atol=2e-3)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_any_acquired_orientation_gives_the_defined_one(tmp_path, write_stack, transpose, signs):
    row, column = (COLUMN, ROW) if transpose else (ROW, COLUMN)
    write_stack(
        tmp_path / "s", row=signs[0] * row, column=signs[1] * column, step=signs[2] * APEX, frames=5
    )
    scan = load(tmp_path / "s").scans["sax"]
    axes = (scan.affine[:3, :3] / np.array(scan.spacing_mm)).T * LPS
    np.testing.assert_allclose(axes, [ROW, COLUMN, APEX], atol=1e-4)
    # The pixel stored first lies at ImagePositionPatient, wherever it is now.
    first = np.argwhere(scan.array[..., 0] == 0)
    world = {tuple(np.round((scan.affine @ [*v, 1])[:3] * LPS, 1)) for v in first}
    assert (-50.0, -40.0, 60.0) in world


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((0.707, 0.707, 0.0), (-0.408, 0.408, -0.816)),  # both shorter than 1
        ((0.71, 0.71, 0.0), (-0.41, 0.41, -0.82)),  # both longer
        ((0.75, 0.67, 0.01), (-0.36, 0.40, -0.85)),  # not quite at a right angle
    ],
)
def test_rounded_directions_are_made_orthonormal(tmp_path, write_stack, row, column):
    write_stack(tmp_path / "s", row=np.array(row), column=np.array(column))
    scan = check_scan(load(tmp_path / "s").scans["sax"])
    assert scan.array.shape == (8, 10, 4, 6)
    axes = scan.affine[:3, :3] / np.array(scan.spacing_mm)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    write_scan(tmp_path / "sax.nii.gz", scan)
    np.testing.assert_allclose(read_scan(tmp_path / "sax.nii.gz").affine, scan.affine, atol=1e-4)


def test_one_series_per_slice_is_stacked(tmp_path, write_stack):
    write_stack(tmp_path / "s", one_series=False, distance_mm=17.7)
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.array.shape[2] == 4
    assert scan.spacing_mm[2] == pytest.approx(17.7, abs=1e-3)
    assert scan.meta["n_series"] == 4


def test_names_nesting_and_other_files_do_not_matter(tmp_path, write_stack):
    files = write_stack(tmp_path / "s", ending=".IMA")
    deep = tmp_path / "s" / "a b" / "ü"
    deep.mkdir(parents=True)
    for path in files[::2]:
        shutil.move(path, deep / path.name)
    (tmp_path / "s" / "notes.txt").write_text("hello")
    (tmp_path / "s" / ".DS_Store").write_bytes(b"\0" * 10)
    (tmp_path / "s" / "DICOMDIR").write_bytes(b"")
    assert load(tmp_path / "s").scans["sax"].array.shape == (8, 10, 4, 6)


def test_the_same_file_twice_counts_once(tmp_path, write_stack):
    files = write_stack(tmp_path / "s")
    shutil.copy(files[3], tmp_path / "s" / "copy.dcm")
    assert load(tmp_path / "s").scans["sax"].array.shape == (8, 10, 4, 6)


def test_files_without_preamble_are_read(tmp_path, write_stack):
    for path in write_stack(tmp_path / "s"):
        path.write_bytes(path.read_bytes()[132:])
    assert load(tmp_path / "s").scans["sax"].array.shape == (8, 10, 4, 6)


def test_order_falls_back_to_instance_number_and_says_so(tmp_path, write_stack):
    files = write_stack(tmp_path / "s", tags={"TriggerTime": None}, seed=5)
    for path in files:
        data = pydicom.dcmread(path)
        t = (int(data.pixel_array[0, 0]) % 1000) // 50
        data.InstanceNumber = 100 + t
        data.save_as(path)
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.meta["frame_order"] == "instance_number"
    assert scan.frame_times_ms is None
    np.testing.assert_array_equal(scan.array[0, 0, 0] // 50, np.arange(6))


def test_rescale_is_applied(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"RescaleSlope": 0.5, "RescaleIntercept": -1})
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.array.dtype == np.float32
    np.testing.assert_allclose(scan.array[:, :, 2, 3], place(2, 3) * 0.5 - 1)


def test_values_beyond_int16_become_float(tmp_path, write_stack):
    write_stack(tmp_path / "s", level=60000)
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.array.dtype == np.float32
    np.testing.assert_array_equal(scan.array[:, :, 1, 1], place(1, 1) + 60000)


def test_later_of_two_series_at_the_same_places_counts(tmp_path, write_stack):
    write_stack(tmp_path / "s", series="1.1", level=7, tags={"AcquisitionTime": "100000"})
    write_stack(tmp_path / "s", series="1.2", seed=1, tags={"AcquisitionTime": "101500"})
    scan = load(tmp_path / "s").scans["sax"]
    np.testing.assert_array_equal(scan.array[:, :, 0, 0], place(0, 0))
    assert scan.meta["n_repeated_slices"] == 4


def test_complete_series_goes_before_a_later_broken_one(tmp_path, write_stack):
    write_stack(tmp_path / "s", series="1.1")
    write_stack(
        tmp_path / "s", series="1.2", seed=1, level=7, slices=2, skip=((1, 2), (0, 5)),
        tags={"AcquisitionTime": "110000"},
    )  # fmt: skip
    scan = load(tmp_path / "s").scans["sax"]
    np.testing.assert_array_equal(scan.array[:, :, 1, 5], place(1, 5))


def test_slice_repeated_within_a_series(tmp_path, write_stack):
    write_stack(tmp_path / "s", level=7)
    write_stack(tmp_path / "s", seed=1, tags={"AcquisitionNumber": 2})
    scan = load(tmp_path / "s").scans["sax"]
    np.testing.assert_array_equal(scan.array[:, :, 3, 5], place(3, 5))


@pytest.mark.parametrize("per_second", [1, 2])
def test_slice_repeated_within_a_series_whose_images_have_times_of_their_own(
    tmp_path, write_stack, edit_dicom, per_second
):
    first = write_stack(tmp_path / "s", level=7, tags={"AcquisitionTime": None})
    later = write_stack(tmp_path / "s", seed=1, tags={"AcquisitionTime": None})
    for repeat, files in enumerate((first, later)):
        for path in files:

            def number(data, repeat=repeat):
                z, value = divmod(int(data.pixel_array[0, 0]), 1000)
                taken = z * 12 + repeat * 6 + value // 50
                data.InstanceNumber = taken + 1
                data.ContentTime = f"{120000 + taken // per_second}"

            edit_dicom(path, number)
    scan = load(tmp_path / "s").scans["sax"]
    for z in range(4):
        for t in range(6):
            np.testing.assert_array_equal(scan.array[:, :, z, t], place(z, t))


def test_repeated_slices_may_have_other_trigger_times(tmp_path, write_stack, edit_dicom):
    write_stack(tmp_path / "s", level=7)
    for path in write_stack(tmp_path / "s", seed=1, tags={"AcquisitionNumber": 2}):
        # Another heart rate: only the first frame is at the same time in both.
        edit_dicom(path, lambda d: setattr(d, "TriggerTime", d.TriggerTime + d.TriggerTime // 40))
    scan = load(tmp_path / "s").scans["sax"]
    np.testing.assert_array_equal(scan.array[:, :, 0, 5], place(0, 5))


def test_series_that_cannot_be_told_apart_are_refused(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, level=7)
    code, message = reason(tmp_path / "s")
    assert code == "mixed_series"
    assert "trigger times" in message


def test_two_matrices_in_one_series_are_refused(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, shape=(12, 14))
    code, message = reason(tmp_path / "s")
    assert code == "mixed_series"
    assert "8 x 10" in message
    assert "14 x 12" in message


def test_stacks_of_two_studies_are_refused(tmp_path, write_stack):
    write_stack(tmp_path / "s", series="1.1", tags={"StudyInstanceUID": "5.1"})
    cos, sin = np.cos(0.2), np.sin(0.2)
    write_stack(
        tmp_path / "s", series="1.2", seed=1, row=cos * ROW + sin * COLUMN,
        column=cos * COLUMN - sin * ROW, tags={"StudyInstanceUID": "5.2"},
    )  # fmt: skip
    assert reason(tmp_path / "s")[0] == "mixed_series"


def test_two_patients_are_refused_without_naming_them(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, series="1.9", tags={"PatientID": "OTHERONE"})
    code, message = reason(tmp_path / "s")
    assert code == "mixed_patients"
    assert "OTHERONE" not in message
    assert "4711" not in message


def test_missing_frames_are_named(tmp_path, write_stack):
    write_stack(tmp_path / "s", skip=((2, 1), (2, 4)))
    code, message = reason(tmp_path / "s")
    assert code == "missing_frames"
    assert "slice 3" in message
    assert ": 4" in message


def test_missing_slice_is_named(tmp_path, write_stack):
    write_stack(tmp_path / "s", positions=[0.0, 9.0, 27.0, 36.0])
    code, message = reason(tmp_path / "s")
    assert code == "irregular_slices"
    assert "18.0 mm" in message
    assert load(tmp_path / "s", gap_tolerance=1.5).scans["sax"].array.shape[2] == 4


def test_one_slice_is_read_and_then_refused_by_the_check(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=1)
    scan = load(tmp_path / "s").scans["sax"]
    with pytest.raises(SubjectError) as caught:
        check_scan(scan)
    assert caught.value.reason == "one_slice"


def test_localisers_are_left_aside(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, series="1.7", frames=1, slices=12, origin=(-50, -40, 10))
    assert load(tmp_path / "s").scans["sax"].array.shape == (8, 10, 4, 6)
    write_stack(tmp_path / "only", frames=1)
    assert reason(tmp_path / "only")[0] == "no_cine"


def test_phase_images_are_left_aside(tmp_path, write_stack):
    write_stack(tmp_path / "s", tags={"ImageType": ["ORIGINAL", "PRIMARY", "M"]})
    phase = {"ImageType": ["ORIGINAL", "PRIMARY", "P"], "AcquisitionTime": "120000"}
    write_stack(tmp_path / "s", seed=1, series="1.7", level=9, tags=phase)
    np.testing.assert_array_equal(load(tmp_path / "s").scans["sax"].array[:, :, 0, 0], place(0, 0))


def test_shifted_slices_are_moved_onto_one_grid(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=3)
    far = np.array([-50.0, -40.0, 60.0]) + 27.0 * APEX + 2 * 1.25 * ROW - 1.25 * COLUMN
    write_stack(tmp_path / "s", seed=1, series="1.5", slices=1, origin=tuple(far))
    scan = load(tmp_path / "s").scans["sax"]
    assert scan.array.shape[2] == 4
    expected = np.zeros((8, 10))
    expected[2:, :-1] = place(0, 4)[:-2, 1:]
    np.testing.assert_array_equal(scan.array[:, :, 3, 4], expected)
    assert scan.meta["in_plane_shift_mm"] == pytest.approx(np.hypot(2.5, 1.25), abs=1e-2)


def test_frames_of_reference_that_say_nothing_are_ignored(tmp_path, write_stack, edit_dicom):
    for number, path in enumerate(write_stack(tmp_path / "s")):
        edit_dicom(path, lambda d, n=number: setattr(d, "FrameOfReferenceUID", f"1.9.{n}"))
    assert load(tmp_path / "s").scans["sax"].array.shape[2] == 4


@pytest.mark.parametrize("keep", [0, 40, 300, 900])
def test_truncated_file_is_a_clear_failure(tmp_path, write_stack, keep):
    files = write_stack(tmp_path / "s")
    files[7].write_bytes(files[7].read_bytes()[:keep])
    code, message = reason(tmp_path / "s")
    assert code in {"missing_frames", "truncated_file"}
    assert str(tmp_path / "s") in message


@pytest.mark.parametrize(
    ("tags", "shown"),
    [({}, "instance 8 of series 1"), ({"InstanceNumber": None}, "file 8 in order of names")],
)
def test_truncated_pixels_tell_the_image_and_not_its_name(tmp_path, write_stack, tags, shown):
    # Files are often named after the person, and not always in UTF-8.
    files = write_stack(tmp_path / "s", ending=os.fsdecode(b"_Doe_M\xfcller"), tags=tags)
    files[7].write_bytes(files[7].read_bytes()[:-20])
    code, message = reason(tmp_path / "s")
    assert code == "truncated_file"
    assert f"{tmp_path / 's'}, {shown}:" in message
    assert "Doe" not in message
    message.encode()


def test_a_file_torn_anywhere_counts_as_damaged(tmp_path, write_stack):
    torn, _ = write_stack(tmp_path / "s", slices=1, frames=2)
    data = torn.read_bytes()
    damaged = []
    for length in range(0, data.index(b"\xe0\x7f\x10\x00OW"), 3):
        torn.write_bytes(data[:length])
        damaged.append(read_folder(tmp_path / "s").n_damaged)
    assert any(damaged)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\x28\x00\x10\x00US\x02\x00\x0a\x00", b"\x28\x00\x10\x00US\x03\x00\x0a\x00\x00"),
        (b"\x28\x00\x30\x00DS", b"\x28\x00\x30\x00ZZ"),
    ],
)
def test_a_senseless_header_counts_as_damaged(tmp_path, write_stack, good, bad):
    spoilt, *_ = write_stack(tmp_path / "s", slices=5)
    data = spoilt.read_bytes()
    assert data.count(good) == 1
    spoilt.write_bytes(data.replace(good, bad))
    found = read_folder(tmp_path / "s")
    assert (len(found.planes), found.n_damaged) == (29, 1)
    assert reason(tmp_path / "s")[0] == "missing_frames"


def test_undecodable_compression_is_named(tmp_path, write_stack, edit_dicom):
    def compress(data):
        data.file_meta.TransferSyntaxUID = JPEG2000Lossless
        data.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51 not a codestream"])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True

    for path in write_stack(tmp_path / "s"):
        edit_dicom(path, compress)
    code, message = reason(tmp_path / "s")
    assert code == "compressed_pixels"
    assert "JPEG 2000" in message


@pytest.mark.parametrize(
    "broken",
    [
        {"PixelSpacing": [0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImagePositionPatient": [1e300, 0, 0]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"PixelSpacing": [1e9, 1e9]},
    ],
)
def test_senseless_geometry_is_a_subject_error(tmp_path, write_stack, broken):
    write_stack(tmp_path / "s", tags=broken)
    with pytest.raises(SubjectError):
        check_scan(load(tmp_path / "s").scans["sax"])


def test_empty_and_foreign_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    assert reason(tmp_path / "empty")[0] == "no_files"
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("no image")
    assert reason(tmp_path / "text")[0] == "not_dicom"
    assert reason(tmp_path / "gone")[0] == "file_missing"


def enhanced(path: Path, files: list[Path], *, positions: bool = True) -> None:
    """Put single-frame files into one enhanced multi-frame file."""
    frames = [pydicom.dcmread(p) for p in files]
    data = frames[0]
    data.NumberOfFrames = len(frames)
    groups = []
    for frame in frames if positions else []:
        group = Dataset()
        group.PlanePositionSequence = Sequence([Dataset()])
        group.PlanePositionSequence[0].ImagePositionPatient = frame.ImagePositionPatient
        group.PlaneOrientationSequence = Sequence([Dataset()])
        group.PlaneOrientationSequence[0].ImageOrientationPatient = frame.ImageOrientationPatient
        group.PixelMeasuresSequence = Sequence([Dataset()])
        group.PixelMeasuresSequence[0].PixelSpacing = [1.25, 1.25]
        group.CardiacSynchronizationSequence = Sequence([Dataset()])
        sync = group.CardiacSynchronizationSequence[0]
        sync.NominalCardiacTriggerDelayTime = float(frame.TriggerTime)
        sync.RRIntervalTimeNominal = 780.0
        groups.append(group)
    pixels = b"".join(frame.PixelData for frame in frames)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TriggerTime"):
        delattr(data, name)
    data.PixelData = pixels
    if positions:
        data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    path.parent.mkdir()
    data.save_as(path)


def test_enhanced_multiframe_is_read_like_single_frames(tmp_path, write_stack):
    files = write_stack(tmp_path / "s")
    enhanced(tmp_path / "e" / "all.dcm", files)
    single, multi = load(tmp_path / "s").scans["sax"], load(tmp_path / "e").scans["sax"]
    np.testing.assert_array_equal(single.array, multi.array)
    np.testing.assert_allclose(single.affine, multi.affine)
    np.testing.assert_allclose(single.frame_times_ms, multi.frame_times_ms)
    assert multi.meta["rr_ms"] == 780


@pytest.mark.parametrize(
    ("group", "tags"),
    [
        ("MRModifierSequence", {"InversionRecovery": "YES", "InversionTimes": [180.0]}),
        ("MRModifierSequence", {"InversionRecovery": "YES"}),
        ("MRVelocityEncodingSequence", {"VelocityEncodingMaximumValue": 150.0}),
    ],
)
def test_a_later_enhanced_series_of_another_kind_is_no_repetition(
    tmp_path, write_stack, group, tags
):
    folder = tmp_path / "s"
    write_stack(folder)
    later = {"AcquisitionTime": "120000", "ContentTime": "120000", "SeriesNumber": 9}
    files = write_stack(tmp_path / "later", seed=1, series="1.9", level=9, tags=later)
    enhanced(folder / "e" / "all.dcm", files)
    data = pydicom.dcmread(folder / "e" / "all.dcm")
    shared, item = Dataset(), Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    setattr(shared, group, Sequence([item]))
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.save_as(folder / "e" / "all.dcm")
    assert (load(folder).scans["sax"].array[0, 0, :, 0] % 1000 == 0).all()


def test_multiframe_without_positions_is_refused(tmp_path, write_stack):
    enhanced(tmp_path / "e" / "all.dcm", write_stack(tmp_path / "s"), positions=False)
    assert reason(tmp_path / "e")[0] == "unsupported_multiframe"


def test_personal_fields_reach_nothing(tmp_path, write_stack, personal, caplog):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "bad", skip=((1, 1),))
    loaded = load(tmp_path / "s")
    (tmp_path / "out").mkdir()
    write_scan(tmp_path / "out" / "sax.nii.gz", loaded.scans["sax"])
    told = repr(loaded.extra) + repr(loaded.scans["sax"].meta) + caplog.text
    told += reason(tmp_path / "bad")[1]
    for path in (tmp_path / "out").iterdir():
        data = path.read_bytes()
        told += (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")
    for value in personal.values():
        for part in value.split("^"):
            assert len(part) < 3 or part.lower() not in told.lower()


def _plane(angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and column direction of a plane through the axis at an angle about it."""
    left = np.array([1.0, 0, 0]) - APEX[0] * APEX
    left /= np.linalg.norm(left)
    up = np.cross(APEX, left)
    across = np.cos(np.radians(angle_deg)) * left + np.sin(np.radians(angle_deg)) * up
    return across, APEX


@pytest.mark.parametrize(("angle", "view"), [(8, "4ch"), (66, "2ch"), (128, "3ch"), (150, "3ch")])
@pytest.mark.parametrize("with_stack", [True, False])
def test_long_axis_views_are_told_apart_by_angle(tmp_path, write_stack, angle, view, with_stack):
    if with_stack:
        write_stack(tmp_path / "s")
    across, along = _plane(angle)
    centre = np.array([-50.0, -40.0, 60.0]) + 5 * ROW + 6 * COLUMN + 13 * APEX
    write_stack(
        tmp_path / "s", seed=1, series="1.8", row=across, column=along, slices=1,
        origin=tuple(centre - 5 * across - 6 * along),
    )  # fmt: skip
    loaded = load(tmp_path / "s")
    assert set(loaded.scans) == {view} | ({"sax"} if with_stack else set())
    by = "short_axis_geometry" if with_stack else "patient_axes"
    assert loaded.scans[view].meta["view_by"] == by
    assert set(load(tmp_path / "s", views=[view]).scans) == {view}


def test_view_that_is_not_there(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    assert reason(tmp_path / "s", views=["2ch"])[0] == "view_missing"


def test_find_lists_folders_sorted_and_tells_unsafe_names(tmp_path):
    for name in ("b", "a", "sub-c", "bad name", "..x", ".hidden", "sub-c/ses-1", "sub-c/ses-2"):
        (tmp_path / name).mkdir()
    problems: list[str] = []
    found = get_source("dicom").find(tmp_path, problems=problems)
    assert [f.sub for f in found] == ["sub-a", "sub-b", "sub-c", "sub-c"]
    assert [f.ses for f in found] == ["", "", "ses-1", "ses-2"]
    assert found[3].paths == (str(tmp_path / "sub-c" / "ses-2"),)
    assert len(problems) == 1
    assert "bad name" in problems[0]
    assert found[0].paths == (str(tmp_path / "a"),)


def test_find_tells_folders_that_cannot_be_read(tmp_path):
    for name in ("sub-a", "sub-b"):
        (tmp_path / name).mkdir()
    folders = Folders()
    assert folders.names(tmp_path) == ["sub-a", "sub-b"]
    (tmp_path / "sub-a").rmdir()  # after it was listed
    problems: list[str] = []
    found = get_source("dicom").find(tmp_path, problems=problems, folders=folders)
    assert [f.sub for f in found] == ["sub-b"]
    assert len(problems) == 1
    assert "sub-a: not a readable folder" in problems[0]


@pytest.mark.data
def test_sunnybrook_slice_distance_comes_from_positions(data_dir):
    folder = data_dir / "sunnybrook" / "dicoms" / "SCD0000301"
    scan = check_scan(load(folder).scans["sax"])
    assert scan.array.shape == (256, 256, 10, 20)
    assert scan.spacing_mm == pytest.approx((1.2891, 1.2891, 8.0), abs=0.01)
    axes = (scan.affine[:3, :3] / np.array(scan.spacing_mm)).T * LPS
    assert axes[0, 0] > 0.6  # left
    assert axes[1, 2] < -0.6  # inferior
    assert axes[2] @ APEX > 0.9


@pytest.mark.data
def test_cine_exam_views_come_from_geometry(data_dir, tmp_path):
    scans = load(data_dir / "cine_exam" / "patient1").scans
    shapes = {view: scan.array.shape for view, scan in scans.items()}
    assert shapes == {
        "2ch": (208, 256, 1, 25),
        "3ch": (208, 256, 1, 25),
        "4ch": (256, 208, 1, 25),
        "other": (208, 256, 1, 25),
        "rvot": (208, 256, 1, 25),
        "sax": (256, 208, 6, 25),
    }
    sax = check_scan(scans["sax"])
    assert sax.spacing_mm[2] == pytest.approx(17.7, abs=0.05)
    assert sax.meta["field_strength_t"] == 3
    # What beats is about as large as a heart in the middle slices, and ends toward the apex.
    write_scan(tmp_path / "sax.nii.gz", sax)
    text = (tmp_path / "sax.json").read_text()
    assert "patient1" not in text
    assert "2025" not in text
