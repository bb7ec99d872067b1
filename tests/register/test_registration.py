"""Registration recovers known transforms, folds nothing and repeats itself byte by byte."""

import numpy as np
import pytest

from popscan.records import PopscanError
from popscan.register import (
    jacobian_determinant,
    register_demons,
    register_rigid,
    resample_affine,
    warp_image,
)

SHAPE = (32, 30, 24)
SPACING = (2.5, 2.5, 3.0)
CENTRE = (38.0, 36.0, 35.0)


@pytest.fixture
def blobs(shapes):
    def make(matrix=None):
        points = shapes["centres"](SHAPE, SPACING)
        if matrix is not None:
            flat = np.concatenate([points.reshape(3, -1), np.ones((1, points[0].size))])
            points = (matrix @ flat)[:3].reshape(points.shape)
        return shapes["blobs"](points, CENTRE)

    return make


def about_centre(linear, shift):
    """The transform p -> linear (p - CENTRE) + CENTRE + shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.asarray(CENTRE) + shift - linear @ np.asarray(CENTRE)
    return matrix


def largest_error_mm(found, truth):
    corners = np.array(np.meshgrid(*[(-20, 20)] * 3)).reshape(3, -1) + np.reshape(CENTRE, (3, 1))
    corners = np.concatenate([corners, np.ones((1, 8))])
    return np.abs((found - truth) @ corners).max()


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
def test_a_known_rotation_and_shift_is_recovered(blobs, shapes, kind):
    truth = about_centre(
        shapes["rotation"](2, 12) @ shapes["rotation"](0, -8), np.array([4.0, -3.0, 2.0])
    )
    # fixed(p) = shape(truth p), moving(q) = shape(q): q = truth p.
    found = register_rigid(blobs(truth), blobs(), spacing_mm=SPACING, kind=kind)
    assert largest_error_mm(found, truth) < 0.6


@pytest.mark.parametrize(
    ("kind", "scale"), [("similarity", 1.1 * np.eye(3)), ("affine", np.diag([1.1, 0.92, 1.05]))]
)
def test_a_known_scale_is_recovered(blobs, kind, scale):
    truth = about_centre(scale, np.zeros(3))
    found = register_rigid(blobs(truth), blobs(), spacing_mm=SPACING, kind=kind)
    assert largest_error_mm(found, truth) < 0.8


def test_a_gain_and_an_offset_do_not_matter(blobs, shapes):
    truth = about_centre(shapes["rotation"](1, 6), np.array([2.0, 0.0, -2.0]))
    found = register_rigid(3 * blobs(truth) + 5, blobs(), spacing_mm=SPACING, initial=np.eye(4))
    assert largest_error_mm(found, truth) < 0.6


def test_an_image_is_at_home_with_itself(blobs):
    found = register_rigid(blobs(), blobs(), spacing_mm=SPACING)
    np.testing.assert_allclose(found, np.eye(4), atol=1e-3)


def test_grids_may_differ_in_rigid_registration(blobs):
    finer = resample_affine(
        blobs(),
        np.eye(4),
        spacing_mm=SPACING,
        shape=(40, 38, 36),
        output_spacing_mm=(2.0, 2.0, 2.0),
    )
    found = register_rigid(blobs(), finer, spacing_mm=SPACING, moving_spacing_mm=(2.0, 2.0, 2.0))
    assert largest_error_mm(found, np.eye(4)) < 0.3


def test_resampling_by_the_truth_gives_the_fixed_image(blobs, shapes):
    truth = about_centre(shapes["rotation"](2, 10), np.array([3.0, 1.0, 0.0]))
    back = resample_affine(
        blobs(), truth, spacing_mm=SPACING, shape=SHAPE, output_spacing_mm=SPACING, order=3
    )
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(back[inner], blobs(truth)[inner], atol=0.05)


def test_demons_turn_one_ellipsoid_into_another_without_folds(shapes):
    points = shapes["centres"](SHAPE, SPACING)
    fixed = shapes["soft_ellipsoid"](points, CENTRE, (24, 20, 22))
    moving = shapes["soft_ellipsoid"](points, np.add(CENTRE, (3, -2, 1)), (18, 24, 17))
    field = register_demons(fixed, moving, spacing_mm=SPACING, n_iterations=(40, 20))
    before = np.abs(fixed - moving).sum()
    after = np.abs(fixed - warp_image(moving, field, spacing_mm=SPACING)).sum()
    assert after < 0.15 * before
    assert jacobian_determinant(field, spacing_mm=SPACING).min() > 0


def test_demons_follow_a_shift_inside_the_shape(shapes):
    points = shapes["centres"](SHAPE, SPACING)
    fixed = shapes["blobs"](points, CENTRE)
    moving = shapes["blobs"](points, np.add(CENTRE, (4, 0, 0)))
    field = register_demons(fixed, moving, spacing_mm=SPACING, n_iterations=(40, 20))
    at_centre = field[tuple(np.round(np.divide(CENTRE, SPACING)).astype(int))]
    np.testing.assert_allclose(at_centre, (4, 0, 0), atol=1.0)


def test_equal_images_need_no_displacement(blobs):
    assert not register_demons(blobs(), blobs(), spacing_mm=SPACING).any()


def test_without_steps_the_start_is_returned(blobs):
    start = np.full((*SHAPE, 3), 1.5)
    field = register_demons(
        blobs(), blobs(), spacing_mm=SPACING, n_iterations=(0, 0), initial=start
    )
    np.testing.assert_allclose(field, start)
    assert not register_demons(blobs(), blobs(), spacing_mm=SPACING, n_iterations=(0,)).any()


def test_registration_repeats_itself_byte_by_byte(blobs, shapes):
    fixed = blobs(about_centre(shapes["rotation"](2, 10), np.array([3.0, 0.0, 0.0])))
    fields = [
        register_demons(fixed, blobs(), spacing_mm=SPACING, n_iterations=(5, 2)) for _ in "ab"
    ]
    assert fields[0].tobytes() == fields[1].tobytes()
    matrices = [register_rigid(fixed, blobs(), spacing_mm=SPACING) for _ in "ab"]
    assert matrices[0].tobytes() == matrices[1].tobytes()


def test_what_cannot_be_registered_is_refused(blobs):
    with pytest.raises(PopscanError, match="share one grid"):
        register_demons(blobs(), blobs()[1:], spacing_mm=SPACING)
    with pytest.raises(PopscanError, match="NaN"):
        register_rigid(blobs(), np.full(SHAPE, np.nan), spacing_mm=SPACING)
    with pytest.raises(PopscanError, match=r"\(x, y, z\)"):
        register_rigid(blobs()[0], blobs(), spacing_mm=SPACING)
    with pytest.raises(PopscanError, match="mirror"):
        register_rigid(blobs(), blobs(), spacing_mm=SPACING, initial=np.diag([-1, 1, 1, 1]))
