"""Affines, slice distances, rotations, planes: laws and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from popscan.arrays.dtypes import image_dtype
from popscan.arrays.geometry import (
    dicom_affine,
    is_axis_aligned,
    nearest_rotation,
    orthonormal_affine,
    plane_normal,
    reorient,
    slice_distance_mm,
    slice_positions_mm,
    spacing_from_affine,
)
from popscan.protocols.cine_sax.orientation import sax_orientation
from popscan.protocols.cine_sax.planes import (
    angle_about_axis_deg,
    angle_between_planes_deg,
    beat_amplitude,
    circular_distance_deg,
    heart_centre_mm,
)

angles = st.floats(-3.1, 3.1)
rotations = st.tuples(angles, angles, angles).map(
    lambda a: Rotation.from_euler("xyz", a).as_matrix()
)


@given(rotation=rotations, mirror=st.booleans(), noise=st.integers(0, 1000))
def test_nearest_rotation_is_orthonormal_and_nearest(rotation, mirror, noise):
    rng = np.random.default_rng(noise)
    target = rotation * [1, 1, -1 if mirror else 1]
    matrix = target + rng.normal(0, 0.05, (3, 3))
    found = nearest_rotation(matrix)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-9)
    assert np.sign(np.linalg.det(found)) == np.sign(np.linalg.det(matrix))
    assert np.linalg.norm(found - matrix) <= np.linalg.norm(target - matrix) + 1e-12
    np.testing.assert_allclose(nearest_rotation(target), target, atol=1e-9)


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(2), np.ones((3, 3))]
)
def test_no_rotation_near_nonsense(bad):
    with pytest.raises(ValueError, match="matrix"):
        nearest_rotation(bad)


@given(rotation=rotations)
def test_right_angled_affines_stay_as_they_are(rotation):
    affine = np.eye(4)
    affine[:3, :3] = rotation * [1.2, 1.4, 9.0]
    affine[:3, 3] = [1, 2, 3]
    out, spacing, shear = orthonormal_affine(affine)
    np.testing.assert_array_equal(out, affine)
    assert spacing == pytest.approx((1.2, 1.4, 9.0))
    assert shear < 1e-3


def test_shear_is_removed_and_measured():
    angle = np.radians(2.0)
    affine = np.diag([1.0, 1.0, 8.0, 1.0])
    affine[:3, 1] = [np.sin(angle), np.cos(angle), 0]
    out, spacing, shear = orthonormal_affine(affine)
    assert shear == pytest.approx(1.0, abs=1e-3)  # shared by the two axes
    assert spacing == pytest.approx((1, 1, 8))
    assert out[:3, 0] @ out[:3, 1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("bad", [np.eye(3), np.full((4, 4), np.inf), np.diag([1.0, 0, 1, 1])])
def test_affines_that_are_none(bad):
    with pytest.raises(ValueError, match="affine"):
        orthonormal_affine(bad)


def test_slice_distance():
    assert slice_distance_mm([20.0, 0.0, 10.0]) == (10.0, 0.0)
    distance, irregularity = slice_distance_mm([0.0, 10.0, 30.0, 40.0])
    assert (distance, irregularity) == (10.0, 1.0)
    distance, irregularity = slice_distance_mm([5.0])
    assert np.isnan(distance)
    assert irregularity == 0
    assert slice_distance_mm([0.0, 0.0, 0.0])[1] == np.inf


def test_positions_lie_along_the_normal():
    normal = plane_normal([1, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(normal, [0, 0, 1])
    np.testing.assert_array_equal(slice_positions_mm([[9, 9, 1], [0, 3, 5]], normal), [1, 5])
    with pytest.raises(ValueError, match="plane"):
        plane_normal([1, 0, 0, 1, 0, 0])


@given(rotation=rotations)
def test_dicom_affine_maps_pixels_as_the_standard_says(rotation):
    row, column, normal = rotation.T
    first = np.array([10.0, -20.0, 30.0])
    affine = dicom_affine(
        orientation=[*row, *column],
        first_position=first,
        last_position=first + 3 * 9.0 * normal,
        n_slices=4,
        row_spacing_mm=1.5,
        column_spacing_mm=1.2,
        slice_spacing_mm=99.0,
    )
    assert spacing_from_affine(affine) == pytest.approx((1.2, 1.5, 9.0))
    # C.7.6.2.1-1: column index times column spacing along the row direction.
    lps = first + 5 * 1.2 * row + 7 * 1.5 * column + 2 * 9.0 * normal
    np.testing.assert_allclose((affine @ [5, 7, 2, 1])[:3], lps * [-1, -1, 1], atol=1e-9)


@given(
    rotation=rotations,
    swap=st.booleans(),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_reorientation_moves_no_voxel(rotation, swap, flips):
    affine = np.eye(4)
    affine[:3, :3] = rotation * [1, 2, 3]
    array = np.arange(24).reshape(2, 3, 4)
    order = (1, 0, 2) if swap else (0, 1, 2)
    turned, moved = reorient(array, affine, order, flips)
    before = {v: affine @ [*i, 1] for i, v in np.ndenumerate(array)}
    for index, value in np.ndenumerate(turned):
        np.testing.assert_allclose(moved @ [*index, 1], before[value], atol=1e-9)


@given(rotation=rotations)
def test_sax_orientation_is_idempotent(rotation):
    affine = np.eye(4)
    affine[:3, :3] = rotation
    array = np.zeros((2, 3, 4))
    _, moved = reorient(array, affine, *sax_orientation(affine))
    assert sax_orientation(moved) == ((0, 1, 2), (False, False, False))


def test_axis_aligned():
    assert is_axis_aligned(np.diag([-1.5, -1.5, 10, 1]))
    assert is_axis_aligned(np.array([[0, 2.0, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 10, degrees=True).as_matrix()
    assert not is_axis_aligned(turned)


def test_angles():
    assert angle_between_planes_deg([0, 0, 1], [0, 0, -1]) == 0
    assert angle_between_planes_deg([0, 0, 1], [0, 1, 0]) == 90
    assert circular_distance_deg(5, 175) == 10
    assert circular_distance_deg(10, 100) == 90
    # Axis to the feet: left is 0; a plane that holds left and the axis has an anterior normal.
    down = np.array([0.0, 0, -1])
    assert angle_about_axis_deg([0, 1, 0], down) % 180 == pytest.approx(0)
    assert angle_about_axis_deg([1, 0, 0], down) == pytest.approx(90)


def test_heart_centre_is_where_it_beats():
    array = np.full((20, 24, 3, 8), 100.0)
    wave = np.sin(2 * np.pi * np.arange(8) / 8)
    array[5:8, 10:13] += 50 * wave
    amplitude = beat_amplitude(array)
    assert amplitude[6, 11, 0] == pytest.approx(50 * 8 / 2)
    assert amplitude[0, 0, 0] == pytest.approx(0, abs=1e-2)
    affine = np.diag([2.0, 1.0, 8.0, 1.0])
    np.testing.assert_allclose(heart_centre_mm(array, affine, share=0.018), [12, 11, 8], atol=0.2)
    assert np.isnan(heart_centre_mm(array[..., :2], affine)).all()
    assert np.isnan(heart_centre_mm(np.zeros((4, 4, 2, 5)), affine)).all()


def test_image_dtype_refuses_what_is_no_image():
    with pytest.raises(TypeError, match="complex"):
        image_dtype(np.zeros(3, complex))
    assert image_dtype(np.array([True, False])).dtype == np.int16
    assert image_dtype(np.array([], dtype=np.uint32)).dtype == np.int16
    assert np.isinf(image_dtype(np.array([1e300]))[0])
