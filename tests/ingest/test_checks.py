"""What a scan must be to be worked with, and the defined orientation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popscan.ingest import check_kspace, check_scan
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.orientation import (
    TYPICAL_AXIS,
    axis_of,
    is_short_axis,
    name_plane,
    standard_orientation,
)
from popscan.records import KSpace, LabelMap, Scan, SubjectError

SAX = get_protocol("cine_sax").series[0]


def make(shape=(6, 5, 4, 3), dtype=np.float32, **options) -> Scan:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    base = {
        "array": array,
        "affine": np.diag([1.5, 2.0, 8.0, 1.0]),
        "spacing_mm": (1.5, 2.0, 8.0),
        "frame_times_ms": np.arange(shape[-1]) * 30.0,
    }
    return Scan(**{**base, **options})


def reason(scan, check=check_scan, **options) -> tuple[str, str]:
    with pytest.raises(SubjectError) as caught:
        check(scan, **options)
    return caught.value.reason, str(caught.value)


def test_a_good_scan_comes_back():
    scan = make()
    np.testing.assert_array_equal(check_scan(scan).array, scan.array)
    assert check_scan(make(frame_times_ms=None)).frame_times_ms is None


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [(np.int16, np.int16), (np.float32, np.float32), (np.uint16, np.int16), (np.uint8, np.int16),
     (np.int64, np.int16), (np.float64, np.float32), (">i2", np.int16), (">f4", np.float32)],
)  # fmt: skip
def test_types_that_are_kept(dtype, kept):
    scan = check_scan(make(dtype=dtype))
    assert scan.array.dtype == kept
    assert scan.array.dtype.isnative
    np.testing.assert_array_equal(scan.array, make(dtype=dtype).array)


def test_large_integers_become_float():
    array = make(dtype=np.uint16).array + np.uint16(60000)
    assert check_scan(make(array=array)).array.dtype == np.float32


def test_nan_values_are_counted_and_placed():
    array = make().array.copy()
    array[1, 2, 3, 1] = np.nan
    array[0, 0, 3, 2] = np.inf
    code, message = reason(make(array=array))
    assert code == "nan_values"
    assert "2 of 360" in message
    assert "slices 4;" in message
    assert "frames 2, 3" in message


def test_one_slice_is_refused_for_short_axis_only():
    scan = make(shape=(6, 5, 1, 3))
    assert reason(scan)[0] == "one_slice"
    assert check_scan(replace(scan, view="4ch")).array.shape[2] == 1
    assert reason(make(), series=[replace(SAX, min_slices=5)])[0] == "too_few_slices"
    assert reason(make(), series=[replace(SAX, min_frames=4)])[0] == "too_few_frames"


def test_constant_image():
    assert reason(make(array=np.full((4, 4, 3, 2), 7, np.int16), frame_times_ms=None))[0] == (
        "constant_image"
    )


@pytest.mark.parametrize(
    "spacing",
    [
        (0, 2, 8),
        (-1.5, 2, 8),
        (np.nan, 2, 8),
        (1.5, 2, 800),
        (1.5, 2),
        (1.5, 2, 10),
        (np.inf, 2, 8),
        (0.0015, 0.002, 0.008),  # metres
    ],
)
def test_bad_spacing(spacing):
    assert reason(make(spacing_mm=spacing))[0] == "bad_spacing"


def test_bad_affine():
    assert reason(make(affine=np.full((4, 4), np.nan)))[0] == "bad_affine"
    assert reason(make(affine=np.eye(3)))[0] == "bad_affine"


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 4, 3, 2), (6, 0, 4, 3), (1, 5, 4, 3)])
def test_wrong_dimensions(shape):
    scan = make(array=np.zeros(shape, np.float32), frame_times_ms=None)
    assert reason(scan)[0] == "wrong_dimensions"


def test_other_faults():
    assert reason(make(array=make().array.astype(complex)))[0] == "bad_dtype"
    assert reason(make(view="5ch"))[0] == "bad_view"


@pytest.mark.parametrize("times", [[0, 30], [0, 30, 30], [0, 60, 30], [0, np.nan, 60]])
def test_frame_times_must_increase(times):
    assert reason(make(frame_times_ms=np.array(times, float)))[0] == "bad_frame_times"


def make_kspace(**options) -> KSpace:
    base = {
        "data": np.arange(2 * 4 * 6 * 3 * 2).reshape(2, 4, 6, 3, 2).astype(np.complex64),
        "mask": np.ones((6, 2), bool),
        "affine": np.diag([1.5, 2.0, 8.0, 1.0]),
        "spacing_mm": (1.5, 2.0, 8.0),
    }
    return KSpace(**{**base, **options})


def test_kspace_checks():
    kspace = make_kspace()
    assert check_kspace(kspace) is kspace
    bad = kspace.data.copy()
    bad[0, 0, 0, 1, 0] = np.nan
    assert reason(make_kspace(data=bad), check_kspace)[0] == "nan_values"
    empty = kspace.mask.copy()
    empty[:, 1] = False
    code, message = reason(make_kspace(mask=empty), check_kspace)
    assert code == "no_samples"
    assert "frames 2" in message
    assert reason(make_kspace(mask=kspace.mask.T), check_kspace)[0] == "wrong_dimensions"
    assert reason(make_kspace(data=kspace.data[:, :, :, :1]), check_kspace)[0] == "one_slice"
    assert reason(make_kspace(data=kspace.data * 0), check_kspace)[0] == "constant_image"


def oblique() -> Scan:
    """A scan in the defined orientation."""
    row = np.array([-0.8, -0.6, 0.0])
    apex = np.array([-1.0, 1.0, -1.0])
    apex -= (apex @ row) * row
    apex /= np.linalg.norm(apex)
    column = np.cross(apex, row)
    column *= -np.sign(column[2])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * 1.5, column * 2.0, apex * 8.0], axis=1)
    return make(affine=affine)


@given(swap=st.booleans(), flips=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_orientation_is_restored_whatever_was_done_to_it(swap, flips):
    scan = oblique()
    array, affine, spacing = scan.array, scan.affine.copy(), scan.spacing_mm
    if swap:
        array, affine = array.transpose(1, 0, 2, 3), affine[:, [1, 0, 2, 3]].copy()
        spacing = (spacing[1], spacing[0], spacing[2])
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            affine[:, 3] += affine[:, axis] * (array.shape[axis] - 1)
            affine[:, axis] *= -1
    labels = LabelMap(array=(array % 4).astype(np.uint8), frames=(0,))
    turned = replace(scan, array=array, affine=affine, spacing_mm=spacing)
    back, back_labels = standard_orientation(turned, labels)
    np.testing.assert_array_equal(back.array, scan.array)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-9)
    assert back.spacing_mm == scan.spacing_mm
    assert back_labels is not None
    np.testing.assert_array_equal(back_labels.array, scan.array % 4)
    again, _ = standard_orientation(back)
    np.testing.assert_array_equal(again.array, back.array)


def test_lost_orientation_is_left_and_told():
    scan, _ = standard_orientation(make())
    assert scan.meta["orientation_known"] is False
    np.testing.assert_array_equal(scan.array, make().array)
    other = replace(oblique(), meta={"orientation_known": False})
    np.testing.assert_array_equal(standard_orientation(other)[0].affine, other.affine)
    long_axis = replace(oblique(), view="4ch")
    assert standard_orientation(long_axis)[0] is long_axis


def test_planes_are_named():
    assert is_short_axis(TYPICAL_AXIS)
    assert is_short_axis(-TYPICAL_AXIS)
    assert not is_short_axis([0.0, 0.0, 1.0])
    np.testing.assert_allclose(axis_of(-TYPICAL_AXIS), TYPICAL_AXIS)
    centre = np.array([30.0, -20.0, 10.0])
    sagittal = np.array([1.0, 0.0, 0.0])
    assert name_plane(sagittal, centre - 20 * sagittal, centre=centre).view == "rvot"
    four = np.array([0.055, 0.822, -0.567])
    for sign in (1, -1):
        assert name_plane(sign * four, centre, centre=centre).view == "4ch"
    assert name_plane(four, centre + 60 * four, centre=centre).view == "other"
    near, far = (name_plane(four, centre + d * four, centre=centre).misfit for d in (1, 15))
    assert near < far
