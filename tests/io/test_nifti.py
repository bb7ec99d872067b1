"""NIfTI scans and labels: round trips to the byte, damaged and hostile files."""

from __future__ import annotations

import contextlib
import gzip
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from popscan.io import read_labels, read_scan, write_labels, write_scan
from popscan.io.nifti import read_grid, sidecar_path
from popscan.records import LabelMap, Scan, SubjectError

quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def reason(path: Path, reader=read_scan, **options) -> tuple[str, str]:
    with pytest.raises(SubjectError) as caught:
        reader(path, **options)
    assert str(path.parent) in str(caught.value)
    return caught.value.reason, str(caught.value)


def both(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), sidecar_path(path).read_bytes()


@quick
@given(
    array=hnp.arrays(
        st.sampled_from([np.int16, np.float32]),
        st.tuples(*[st.integers(1, 4)] * 4),
    )
)
def test_round_trip_keeps_every_bit(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("n")
    scan = Scan(array=array, affine=np.diag([2.0, 3.0, 4.0, 1.0]), spacing_mm=(2.0, 3.0, 4.0))
    write_scan(folder / "a.nii.gz", scan)
    back = read_scan(folder / "a.nii.gz")
    assert back.array.dtype == array.dtype
    assert back.array.tobytes() == np.ascontiguousarray(array).tobytes()
    write_scan(folder / "b.nii.gz", back)
    assert (folder / "a.nii.gz").read_bytes() == (folder / "b.nii.gz").read_bytes()


def test_round_trip_of_everything_else(tmp_path, scan):
    write_scan(tmp_path / "a.nii.gz", scan)
    back = read_scan(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(back.array, scan.array)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-5)
    np.testing.assert_array_equal(back.frame_times_ms, scan.frame_times_ms)
    assert (back.spacing_mm, back.view) == (scan.spacing_mm, "sax")
    assert {**scan.meta, "orientation_known": True} == back.meta
    write_scan(tmp_path / "b.nii.gz", back)
    again = read_scan(tmp_path / "b.nii.gz")
    write_scan(tmp_path / "c.nii.gz", again)
    assert both(tmp_path / "b.nii.gz") == both(tmp_path / "c.nii.gz")


def test_bytes_depend_on_content_alone(tmp_path, scan):
    (tmp_path / "d").mkdir()
    write_scan(tmp_path / "a.nii.gz", scan)
    write_scan(tmp_path / "d" / "other_name.nii.gz", scan)
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "d" / "other_name.nii.gz").read_bytes()
    assert data[4:8] == b"\0\0\0\0"  # no time
    assert data[3] & 0x08 == 0  # no file name


def test_packed_bytes_hold_no_time_and_what_gzip_inflates(tmp_path, scan):
    write_scan(tmp_path / "a.nii.gz", scan)
    write_scan(tmp_path / "a.nii", scan)
    packed = (tmp_path / "a.nii.gz").read_bytes()
    assert packed[3:8] == bytes(5)  # no name, no time
    assert gzip.decompress(packed) == (tmp_path / "a.nii").read_bytes()


def test_grid_is_the_scan_without_its_voxels(tmp_path, scan):
    path = tmp_path / "a.nii.gz"
    write_scan(path, scan)
    whole, grid = read_scan(path), read_grid(path)
    assert grid.array.shape == whole.array.shape
    assert not grid.array.any()
    assert grid.array.strides == (0, 0, 0, 0)
    np.testing.assert_array_equal(grid.affine, whole.affine)
    np.testing.assert_array_equal(grid.frame_times_ms, whole.frame_times_ms)
    rest = ("spacing_mm", "view", "meta")
    assert [getattr(grid, name) for name in rest] == [getattr(whole, name) for name in rest]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SubjectError, match="damaged"):
        read_grid(path)


def test_other_tools_read_what_we_write(tmp_path, scan):
    sitk = pytest.importorskip("SimpleITK")
    write_scan(tmp_path / "a.nii.gz", scan)
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    array = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(array.transpose(3, 2, 1, 0), scan.array)
    assert image.GetSpacing()[:3] == pytest.approx(scan.spacing_mm, abs=1e-5)
    np.testing.assert_allclose(nib.load(tmp_path / "a.nii.gz").affine, scan.affine, atol=1e-5)


def test_sidecar_is_strict_json_with_null_for_nan(tmp_path, scan):
    write_scan(tmp_path / "a.nii.gz", replace(scan, meta={"rr_ms": float("nan"), "b": np.int64(3)}))
    text = (tmp_path / "a.json").read_text()
    side = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert side["meta"] == {"rr_ms": None, "b": 3}


def test_writer_refuses_spacing_that_the_affine_denies(tmp_path, scan):
    with pytest.raises(ValueError, match="disagrees"):
        write_scan(tmp_path / "a.nii.gz", replace(scan, spacing_mm=(1.5, 1.25, 10.0)))


def test_labels_round_trip(tmp_path, scan):
    array = np.zeros(scan.array.shape, dtype=np.uint8)
    array[2:4, 1:3, 1, 3] = 2
    names = {1: "shell", 2: "core"}
    write_labels(tmp_path / "l.nii.gz", LabelMap(array=array, frames=(0, 3)), scan, names=names)
    back = read_labels(tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(back.array, array)
    assert back.frames == (0, 3)
    side = json.loads((tmp_path / "l.json").read_text())
    assert side["labels"] == {"1": "shell", "2": "core"}
    (tmp_path / "l.json").unlink()
    assert read_labels(tmp_path / "l.nii.gz").frames == (3,)


def test_labels_that_are_no_labels(tmp_path, scan):
    for number, bad in enumerate([np.float32(1.5), np.float32(np.nan), np.int16(300)]):
        path = tmp_path / f"{number}.nii.gz"
        nib.Nifti1Image(np.full((3, 3, 2), bad), np.eye(4)).to_filename(path)
        assert reason(path, read_labels)[0] == "bad_labels"
    write_labels(
        tmp_path / "l.nii.gz", LabelMap(array=np.zeros((9, 7, 4, 5), np.uint8), frames=()), scan
    )
    (tmp_path / "l.json").write_text('{"frames": [7]}')
    assert reason(tmp_path / "l.nii.gz", read_labels)[0] == "bad_sidecar"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_gzip(tmp_path, scan, share):
    write_scan(tmp_path / "a.nii.gz", scan)
    data = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(data[: int(len(data) * share)])
    assert reason(tmp_path / "a.nii.gz")[0] == "truncated_file"


def test_last_bytes_missing_and_flipped_bits_are_seen(tmp_path, scan):
    write_scan(tmp_path / "a.nii.gz", scan)
    data = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(data[:-3])
    assert reason(tmp_path / "a.nii.gz")[0] == "truncated_file"
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0x55
    (tmp_path / "a.nii.gz").write_bytes(bytes(flipped))
    assert reason(tmp_path / "a.nii.gz")[0] in {"truncated_file", "bad_header"}


def test_truncated_plain_nifti(tmp_path, scan):
    write_scan(tmp_path / "a.nii", scan)
    assert read_scan(tmp_path / "a.nii").array.shape == scan.array.shape
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(data[:-5])
    assert reason(tmp_path / "a.nii")[0] == "truncated_file"


def test_missing_and_foreign_files(tmp_path):
    assert reason(tmp_path / "gone.nii.gz")[0] == "file_missing"
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"this is no image, only text " * 40))
    assert reason(tmp_path / "a.nii.gz")[0] == "not_an_image"
    (tmp_path / "b.nii.gz").write_bytes(b"<html>404</html>" * 40)
    assert reason(tmp_path / "b.nii.gz")[0] == "not_an_image"


def edited(tmp_path: Path, scan: Scan, **fields) -> Path:
    """A file whose header says something else than its data."""
    write_scan(tmp_path / "e.nii.gz", scan)
    data = bytearray(gzip.decompress((tmp_path / "e.nii.gz").read_bytes()))
    header = nib.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    data[:348] = header.binaryblock
    (tmp_path / "e.nii.gz").write_bytes(gzip.compress(bytes(data)))
    return tmp_path / "e.nii.gz"


def test_absurd_size_is_refused_before_memory_is_asked_for(tmp_path, scan):
    path = edited(tmp_path, scan, dim=[4, 30000, 30000, 30000, 100, 1, 1, 1])
    code, message = reason(path)
    assert code == "bad_header"
    assert "promises" in message
    path = edited(tmp_path, scan, dim=[4, 1000, 1000, 100, 10, 1, 1, 1])
    assert reason(path)[0] == "truncated_file"
    assert reason(path, max_bytes=1000)[0] == "bad_header"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"dim": [5, 9, 7, 4, 1, 5, 1, 1]}, "wrong_dimensions"),
        ({"dim": [2, 9, 140, 1, 1, 1, 1, 1]}, "wrong_dimensions"),
        ({"dim": [4, 9, 7, -4, 5, 1, 1, 1]}, "bad_header"),
        ({"dim": [4, 9, 0, 4, 5, 1, 1, 1]}, "bad_header"),
        ({"dim": [99, 9, 7, 4, 5, 1, 1, 1]}, "bad_header"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "bad_header"),
        ({"srow_x": [0, 0, 0, 0], "srow_y": [0, 0, 0, 0]}, "bad_header"),
        ({"sform_code": 0, "quatern_b": np.nan}, "bad_header"),
        ({"sform_code": 0, "qform_code": 0, "pixdim": [1, np.nan, 1, 1, 0, 0, 0, 0]}, "bad_header"),
        ({"datatype": 12345}, "bad_header"),
        ({"datatype": 32, "bitpix": 64}, "truncated_file"),
        ({"vox_offset": np.nan}, "bad_header"),
        ({"vox_offset": -800.0}, "bad_header"),
        ({"vox_offset": 1e30}, "bad_header"),
        ({"magic": b"ni1"}, "not_an_image"),
    ],
)
def test_damaged_headers(tmp_path, scan, fields, code):
    assert reason(edited(tmp_path, scan, **fields))[0] == code


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 351), value=st.integers(0, 255))
def test_any_damage_to_the_header_is_read_or_a_subject_error(tmp_path, scan, place, value):
    write_scan(tmp_path / "f.nii", scan)
    data = bytearray((tmp_path / "f.nii").read_bytes())
    data[place] = value
    (tmp_path / "f.nii").write_bytes(bytes(data))
    with contextlib.suppress(SubjectError):
        read_scan(tmp_path / "f.nii", max_bytes=2**20)


def test_data_behind_the_image_cannot_go_on_for_ever(tmp_path, scan):
    write_scan(tmp_path / "a.nii", scan)
    with gzip.open(tmp_path / "b.nii.gz", "wb", compresslevel=1) as file:
        file.write((tmp_path / "a.nii").read_bytes())
        for _ in range(70):
            file.write(bytes(2**20))
    assert reason(tmp_path / "b.nii.gz")[0] == "bad_header"


def test_sheared_sform_becomes_the_nearest_right_angled_one(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    sheared = np.array([[1.2, 0.05, 0.0, 5], [0, 1.3, 0.2, 6], [0.0, 0, 9.5, 7], [0, 0, 0, 1]])
    image = nib.Nifti1Image(np.zeros((4, 4, 3, 2), np.float32), sheared)
    image.set_qform(None, code=0)
    image.to_filename(tmp_path / "a.nii.gz")
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    scan = read_scan(tmp_path / "a.nii.gz")
    norms = np.linalg.norm(sheared[:3, :3], axis=0)
    assert scan.spacing_mm == pytest.approx(norms, rel=1e-6)
    rotation = scan.affine[:3, :3] / norms
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)
    assert 0.5 < scan.meta["affine_shear_deg"] < 3
    np.testing.assert_allclose(scan.affine[:3, 3], [5, 6, 7])
    write_scan(tmp_path / "b.nii.gz", scan)
    assert sitk.ReadImage(str(tmp_path / "b.nii.gz")).GetSpacing()[:3] == pytest.approx(
        scan.spacing_mm, rel=1e-5
    )


def test_qform_with_too_long_quaternion(tmp_path, scan):
    path = edited(
        tmp_path, scan, sform_code=0, quatern_b=0.6006, quatern_c=0.8008, quatern_d=0.0,
        pixdim=[1, 1.5, 1.25, 8, 0, 0, 0, 0],
    )  # fmt: skip
    with pytest.raises(ValueError, match="w2 should be positive"):
        nib.load(path).header.get_qform()
    affine = read_scan(path).affine
    expected = nib.quaternions.quat2mat([0, 0.6, 0.8, 0]) * [1.5, 1.25, 8]
    np.testing.assert_allclose(affine[:3, :3], expected, atol=1e-5)


def test_header_without_orientation_is_known_as_such(tmp_path, scan):
    path = edited(tmp_path, scan, sform_code=0, qform_code=0)
    back = read_scan(path)
    assert back.meta["orientation_known"] is False
    np.testing.assert_allclose(back.affine, np.diag([1.5, 1.25, 8, 1]))


@pytest.mark.parametrize(
    ("stored", "kept"),
    [(np.uint8, np.int16), (np.uint16, np.int16), (np.float64, np.float32), (np.int32, np.int16)],
)
def test_other_types_become_the_two_we_keep(tmp_path, stored, kept):
    array = np.arange(24).reshape(2, 3, 4).astype(stored)
    nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    scan = read_scan(tmp_path / "a.nii.gz")
    assert scan.array.dtype == kept
    assert scan.array.shape == (2, 3, 4, 1)
    np.testing.assert_array_equal(scan.array[..., 0], array)


def test_scaling_of_the_header_is_applied(tmp_path, scan):
    path = edited(tmp_path, scan, scl_slope=0.25, scl_inter=-3)
    np.testing.assert_allclose(read_scan(path).array, scan.array * 0.25 - 3)


def test_frame_times_without_a_sidecar(tmp_path, scan):
    write_scan(tmp_path / "a.nii.gz", scan)
    (tmp_path / "a.json").unlink()
    np.testing.assert_allclose(read_scan(tmp_path / "a.nii.gz").frame_times_ms, np.arange(5) * 31.5)
    path = edited(tmp_path, scan, xyzt_units=2)
    sidecar_path(path).unlink()
    assert read_scan(path).frame_times_ms is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1, 2]",
        '{"meta": 3}',
        '{"spacing_mm": [1, 2]}',
        '{"spacing_mm": [1.5, 1.25, 10]}',
        '{"spacing_mm": "wide"}',
        '{"frame_times_ms": [0, 1]}',
        '{"frame_times_ms": "soon"}',
        "[" * 100000,
    ],
)
def test_senseless_sidecars(tmp_path, scan, text):
    write_scan(tmp_path / "a.nii.gz", scan)
    (tmp_path / "a.json").write_text(text)
    assert reason(tmp_path / "a.nii.gz")[0] == "bad_sidecar"
