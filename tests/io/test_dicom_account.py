"""All images of the short-axis view are accounted for: stacked, or left out and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from popscan.io.dicom import Dicom, describe_session
from popscan.io.dicom_account import COPIES, TAKEN_AGAIN
from popscan.records import Scan, SubjectError

ROW = np.array([0.7, 0.7, 0.0]) / np.linalg.norm([0.7, 0.7, 0.0])
APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
COLUMN = np.cross(APEX, ROW)
COLUMN = COLUMN if COLUMN[2] < 0 else -COLUMN
ORIGIN = np.array([-50.0, -40.0, 60.0])
MIDDLE = 3.5 * 1.25 * ROW + 4.5 * 1.25 * COLUMN  # of a plane of 8 x 10 pixels


def sax(folder: Path, **options) -> Scan:
    return Dicom().load([str(folder)], views=["sax"], **options).scans["sax"]


def place(z: int, t: int, rows: int = 10, columns: int = 8) -> np.ndarray:
    """What `picture` stored, as (x, y)."""
    pixels = np.arange(rows)[:, None] * 2 + np.arange(columns)[None] % 2
    return (1000 * z + 50 * t + pixels).T


def tilted(degrees: float, *, about: np.ndarray = COLUMN) -> dict[str, np.ndarray]:
    """Directions of a plane that is turned about an axis."""
    angle = np.radians(degrees)

    def turn(v: np.ndarray) -> np.ndarray:
        across = v * np.cos(angle) + np.cross(about, v) * np.sin(angle)
        return across + about * (about @ v) * (1 - np.cos(angle))

    return {"row": turn(ROW), "column": turn(COLUMN)}


def continued(degrees: float, *, first: int = 4, about: np.ndarray = COLUMN) -> dict:
    """Keywords of slices that continue a stack of 9 mm, tilted about the middle of the plane."""
    turned = tilted(degrees, about=about)
    own = 3.5 * 1.25 * turned["row"] + 4.5 * 1.25 * turned["column"]
    return {**turned, "origin": tuple(ORIGIN + MIDDLE + first * 9.0 * APEX - own)}


@pytest.mark.parametrize("about", [COLUMN, ROW])
@pytest.mark.parametrize("degrees", [1.5, 3.0, -4.5])
def test_slices_tilted_by_a_few_degrees_are_stacked(tmp_path, write_stack, degrees, about):
    write_stack(tmp_path / "s")
    write_stack(
        tmp_path / "s",
        seed=1,
        series="1.9",
        slices=2,
        level=4000,
        **continued(degrees, about=about),
    )
    scan = sax(tmp_path / "s")
    assert scan.array.shape == (8, 10, 6, 6)
    for z in range(6):
        np.testing.assert_array_equal(scan.array[:, :, z, 3], place(z, 3))
    assert scan.spacing_mm[2] == pytest.approx(9.0, abs=0.05)
    assert scan.meta["slice_tilt_deg"] == pytest.approx(abs(degrees), abs=0.05)
    assert scan.meta["slices_left_out"] == 0


@pytest.mark.parametrize("at_base", [False, True])
def test_slices_of_the_base_are_stacked_where_they_belong(tmp_path, write_stack, at_base):
    first = -2 if at_base else 4
    write_stack(tmp_path / "s")
    write_stack(
        tmp_path / "s", seed=1, series="1.9", slices=2, level=5000, **continued(3.0, first=first)
    )
    scan = sax(tmp_path / "s")
    assert scan.array.shape[2] == 6
    where = 2 if at_base else 0
    np.testing.assert_array_equal(scan.array[:, :, where, 0], place(0, 0))
    corner = (scan.affine @ [0, 0, where, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(corner, ORIGIN, atol=0.01)


def test_a_tilt_beyond_the_limit_is_left_out_and_said(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, series="1.9", slices=2, **continued(9.0))
    scan = sax(tmp_path / "s")
    assert scan.array.shape[2] == 4
    assert scan.meta["images_left_out"] == 12
    assert scan.meta["slices_left_out"] == 2
    assert scan.meta["images_left_out_reason"] == "12 in slices tilted by 9 degrees"
    assert sax(tmp_path / "s", max_tilt_deg=10).array.shape[2] == 6


def test_planes_of_another_view_are_said_and_are_no_missing_slices(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, series="1.9", slices=1, **continued(25.0))
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (6, 0)


@pytest.mark.parametrize("shape", [(6, 8), (10, 4), (14, 12)])
def test_another_matrix_is_cropped_or_padded_by_position(tmp_path, write_stack, shape):
    write_stack(tmp_path / "s")
    origin = ORIGIN + 4 * 9.0 * APEX + 1.25 * (2 * ROW + 2 * COLUMN)
    write_stack(
        tmp_path / "s", seed=1, series="1.9", slices=2, shape=shape, origin=tuple(origin), level=7
    )
    scan = sax(tmp_path / "s")
    assert scan.array.shape == (8, 10, 6, 6)
    theirs = place(1, 2, *shape) + 7
    expected = np.zeros((8, 10))
    width, height = min(6, theirs.shape[0]), min(8, theirs.shape[1])
    expected[2 : 2 + width, 2 : 2 + height] = theirs[:width, :height]
    np.testing.assert_array_equal(scan.array[:, :, 5, 2], expected)
    assert scan.meta["images_left_out"] == 0


def test_another_matrix_of_the_same_series_is_stacked(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(
        tmp_path / "s", seed=1, slices=2, shape=(12, 14), origin=tuple(ORIGIN - 18.0 * APEX)
    )
    assert sax(tmp_path / "s").array.shape == (8, 10, 6, 6)


def test_other_pixels_are_left_out_and_said(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(
        tmp_path / "s", seed=1, series="1.9", slices=2, origin=tuple(ORIGIN - 18.0 * APEX),
        tags={"PixelSpacing": [1.4, 1.4]},
    )  # fmt: skip
    meta = sax(tmp_path / "s").meta
    assert meta["slices_left_out"] == 2
    assert meta["images_left_out_reason"] == "12 with pixels of 1.4 mm beside the stack's 1.25"


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("signs", [(1, -1), (-1, 1), (-1, -1), (1, 1)])
def test_rows_and_columns_may_be_swapped_and_reversed(tmp_path, write_stack, swap, signs):
    files = write_stack(tmp_path / "s", slices=6)
    for path in files:
        data = pydicom.dcmread(path)
        pixels = data.pixel_array
        if pixels[0, 0] < 4000:
            continue
        x, y = ROW * signs[0], COLUMN * signs[1]
        corner = np.array(data.ImagePositionPatient, float)
        corner += ROW * 1.25 * 7 * (signs[0] < 0) + COLUMN * 1.25 * 9 * (signs[1] < 0)
        pixels = pixels[:: signs[1], :: signs[0]]
        if swap:
            x, y, pixels = y, x, pixels.T
        data.Rows, data.Columns = pixels.shape
        data.PixelData = np.ascontiguousarray(pixels).tobytes()
        data.ImageOrientationPatient = [round(float(v), 6) for v in (*x, *y)]
        data.ImagePositionPatient = [round(float(v), 4) for v in corner]
        data.SeriesInstanceUID = "1.9"
        data.save_as(path)
    scan = sax(tmp_path / "s")
    assert scan.array.shape == (8, 10, 6, 6)
    for z in range(6):
        np.testing.assert_array_equal(scan.array[:, :, z, 2], place(z, 2))
    assert scan.meta["images_left_out"] == 0


def test_rows_turned_by_half_a_right_angle_are_left_out_and_said(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(
        tmp_path / "s", seed=1, series="1.9", slices=2, row=(ROW + COLUMN) / np.sqrt(2),
        column=(COLUMN - ROW) / np.sqrt(2), origin=tuple(ORIGIN + 36.0 * APEX),
    )  # fmt: skip
    meta = sax(tmp_path / "s").meta
    assert meta["slices_left_out"] == 2
    assert "turned in their plane by 45" in meta["images_left_out_reason"]


def test_another_frame_of_reference_that_continues_is_stacked_and_said(tmp_path, write_stack):
    write_stack(tmp_path / "s", one_series=False)
    write_stack(
        tmp_path / "s", seed=1, series="1.9", one_series=False, slices=2,
        origin=tuple(ORIGIN + 36.0 * APEX), level=4000, tags={"FrameOfReferenceUID": "1.2.10"},
    )  # fmt: skip
    scan = sax(tmp_path / "s")
    assert scan.array.shape[2] == 6
    np.testing.assert_array_equal(scan.array[:, :, 5, 1], place(5, 1))
    assert scan.meta["n_frames_of_reference"] == 2


def test_another_frame_of_reference_that_does_not_continue_is_left_out(tmp_path, write_stack):
    write_stack(tmp_path / "s", one_series=False)
    write_stack(
        tmp_path / "s", seed=1, series="1.9", one_series=False, slices=2,
        origin=tuple(ORIGIN + 52.0 * APEX), tags={"FrameOfReferenceUID": "1.2.10"},
    )  # fmt: skip
    meta = sax(tmp_path / "s").meta
    assert meta["slices_left_out"] == 2
    assert "do not continue" in meta["images_left_out_reason"]


def test_a_frame_of_reference_for_each_series_says_nothing(tmp_path, write_stack, edit_dicom):
    for path in write_stack(tmp_path / "s", one_series=False, slices=5):
        edit_dicom(path, lambda d: setattr(d, "FrameOfReferenceUID", d.SeriesInstanceUID + ".9"))
    scan = sax(tmp_path / "s")
    assert scan.array.shape[2] == 5
    assert "n_frames_of_reference" not in scan.meta


@pytest.mark.parametrize("end", [0, 5])
@pytest.mark.parametrize("frames", [1, 2, 4, 5])
@pytest.mark.parametrize("one_series", [True, False])
def test_a_slice_cut_short_at_the_end_is_left_out_and_said(
    tmp_path, write_stack, end, frames, one_series
):
    skip = tuple((end, t) for t in range(frames, 8))
    write_stack(tmp_path / "s", slices=6, frames=8, skip=skip, one_series=one_series)
    meta = sax(tmp_path / "s").meta
    assert meta["images_left_out"] == frames
    if frames > 1 or one_series:
        assert meta["slices_left_out"] == 1
    assert "beside the stack's 8" in meta["images_left_out_reason"]


def test_a_slice_cut_short_in_the_middle_is_refused(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=6, skip=((2, 5),))
    with pytest.raises(SubjectError, match="slice 3"):
        sax(tmp_path / "s")


def test_two_short_slices_at_one_end_are_refused(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=6, skip=((5, 5), (4, 5)))
    with pytest.raises(SubjectError) as caught:
        sax(tmp_path / "s")
    assert caught.value.reason == "missing_frames"


def test_a_damaged_edge_slice_is_said(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=5)
    for path in write_stack(
        tmp_path / "s", seed=1, series="1.9", slices=1, origin=tuple(ORIGIN - 9.0 * APEX)
    ):
        path.write_bytes(path.read_bytes()[:300])
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (6, 1)
    assert meta["images_left_out_reason"] == "6 in damaged files"


def test_an_edge_slice_without_positions_is_said(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=5)
    write_stack(tmp_path / "s", seed=1, series="1.9", slices=1, tags={"ImagePositionPatient": None})
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (6, 1)
    assert "without a position" in meta["images_left_out_reason"]


def test_slices_taken_again_are_counted_and_are_no_missing_slices(tmp_path, write_stack):
    write_stack(tmp_path / "s", level=7)
    write_stack(tmp_path / "s", seed=1, series="1.9", slices=2, tags={"AcquisitionTime": "110000"})
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array[:, :, 1, 0], place(1, 0))
    np.testing.assert_array_equal(scan.array[:, :, 2, 0], place(2, 0) + 7)
    assert scan.meta["images_left_out_reason"] == f"12 {TAKEN_AGAIN}"
    assert scan.meta["slices_left_out"] == 0


def test_a_missing_slice_is_filled_from_another_group(tmp_path, write_stack):
    write_stack(tmp_path / "s", positions=[0.0, 9.0, 27.0, 36.0])
    write_stack(
        tmp_path / "s", seed=1, series="1.9", slices=1, shape=(14, 12), level=9,
        origin=tuple(ORIGIN + 18.0 * APEX),
    )  # fmt: skip
    scan = sax(tmp_path / "s")
    assert scan.array.shape == (8, 10, 5, 6)
    np.testing.assert_array_equal(scan.array[:, :, 2, 0], (place(0, 0, 14, 12) + 9)[:8, :10])


def test_localisers_and_late_enhancement_are_no_missing_slices(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    for number, (echo, spacing) in enumerate([(4.0, 1.25), (1.5, 2.0)]):
        write_stack(
            tmp_path / "s", seed=5 + number, series=f"1.7.{number}", frames=1, slices=9,
            origin=(-50, -40, 10), tags={"EchoTime": echo, "PixelSpacing": [spacing, spacing]},
        )  # fmt: skip
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (0, 0)


def test_colour_copies_are_left_out(tmp_path, write_stack, edit_dicom):
    write_stack(tmp_path / "s", slices=5)
    paths = write_stack(tmp_path / "s", seed=1, slices=7, tags={"SeriesInstanceUID": "1.9"})
    for path in paths:

        def paint(data):
            data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
            data.BitsAllocated = data.BitsStored = 8
            data.HighBit, data.PlanarConfiguration = 7, 0
            data.PixelData = np.zeros((10, 8, 3), np.uint8).tobytes()

        edit_dicom(path, paint)
    scan = sax(tmp_path / "s")
    np.testing.assert_array_equal(scan.array[:, :, 3, 2], place(3, 2))
    # Two of the slices are there in colour only.
    assert scan.meta["images_left_out"] == 42
    assert f"30 {COPIES}" in scan.meta["images_left_out_reason"]
    assert "12 in colour" in scan.meta["images_left_out_reason"]
    assert scan.meta["slices_left_out"] == 2


def test_a_long_axis_plane_that_cannot_be_read_leaves_the_stack(tmp_path, write_stack):
    write_stack(tmp_path / "s", slices=5)
    write_stack(
        tmp_path / "s",
        seed=1,
        series="1.8",
        slices=3,
        row=APEX,
        column=ROW,
        step=COLUMN,
        skip=((1, 3),),
    )
    scans = Dicom().load([str(tmp_path / "s")]).scans
    assert set(scans) == {"sax"}
    assert "not read: missing_frames" in scans["sax"].meta["views_unread"]


def test_a_session_is_described_without_pixels(tmp_path, write_stack):
    write_stack(tmp_path / "s")
    write_stack(tmp_path / "s", seed=1, series="1.9", slices=2, **continued(9.0))
    for path in (tmp_path / "s").iterdir():
        path.write_bytes(path.read_bytes()[:-20])  # no pixels to be read
    told = describe_session([str(tmp_path / "s")])
    view = told.views["sax"]
    assert (view.n_slices, view.n_frames, view.slices_left_out) == (4, 6, 2)
    assert (told.n_files, told.n_images, told.reason) == (36, 36, "")
    assert told.problems == [
        "sax: 4 slices are stacked, and about 2 more are left out: 12 in slices tilted by 9 degrees"
    ]


def test_a_session_that_cannot_be_read_is_described(tmp_path):
    told = describe_session([str(tmp_path / "gone")])
    assert told.reason == "file_missing"
    assert told.problems == [told.message]


@pytest.mark.parametrize("left", [b"", bytes(3000), b"<html>404</html>"])
def test_files_that_were_dicom_are_damaged(tmp_path, write_stack, left):
    write_stack(tmp_path / "s", slices=5)
    for path in write_stack(tmp_path / "s", seed=1, slices=1, frames=6, ending=".dcm"):
        path.write_bytes(left)
    (tmp_path / "s" / "notes.txt").write_text("no image, and none that was lost")
    (tmp_path / "s" / "DICOMDIR").write_bytes(b"")
    meta = sax(tmp_path / "s").meta
    assert (meta["images_left_out"], meta["slices_left_out"]) == (6, 1)
    assert meta["images_left_out_reason"] == "6 in damaged files"
