"""Laws of displacement fields."""

import numpy as np
import pytest

from popscan.records import PopscanError
from popscan.register import (
    compose_fields,
    invert_field,
    jacobian_determinant,
    register_demons,
    warp_image,
    warp_labels,
    warp_sharply,
    warper,
)

SPACING = (2.0, 2.0, 3.0)
SHAPE = (24, 22, 16)


@pytest.fixture
def bump(shapes):
    """Smooth displacement of up to 5 mm that vanishes at the border."""
    points = shapes["centres"](SHAPE, SPACING)
    centre = np.array(SHAPE) * SPACING / 2
    weight = np.exp(-sum((p - c) ** 2 for p, c in zip(points, centre, strict=True)) / 150)
    return np.stack([5 * weight, -3 * weight, 4 * weight], axis=-1)


def test_the_identity_changes_nothing(rng):
    identity = np.zeros((*SHAPE, 3))
    image = rng.standard_normal(SHAPE).astype(np.float32)
    labels = rng.integers(0, 4, SHAPE).astype(np.uint8)
    np.testing.assert_array_equal(warp_image(image, identity, spacing_mm=SPACING), image)
    warped = warp_labels(labels, identity, spacing_mm=SPACING)
    np.testing.assert_array_equal(warped, labels)
    assert warped.dtype == np.uint8
    np.testing.assert_array_equal(jacobian_determinant(identity, spacing_mm=SPACING), 1)
    assert not invert_field(identity, spacing_mm=SPACING).any()


def test_a_shift_by_voxels_moves_the_image(rng):
    image = rng.standard_normal(SHAPE).astype(np.float32)
    field = np.zeros((*SHAPE, 3))
    field[..., 0] = 2 * SPACING[0]
    warped = warp_image(image, field, spacing_mm=SPACING, fill=-9)
    np.testing.assert_array_equal(warped[:-2], image[2:])
    assert (warped[-2:] == -9).all()
    nearest = warp_image(image, field, spacing_mm=SPACING, fill=None)
    np.testing.assert_array_equal(nearest[-2:], image[[-1, -1]])


def test_the_jacobian_of_a_scaling_is_its_volume_change(shapes):
    points = np.moveaxis(shapes["centres"](SHAPE, SPACING), 0, -1)
    field = points * (0.1, 0.2, -0.1)
    np.testing.assert_allclose(
        jacobian_determinant(field, spacing_mm=SPACING), 1.1 * 1.2 * 0.9, rtol=1e-9
    )
    assert (jacobian_determinant(-2 * points, spacing_mm=SPACING) < 0).all()


def test_shifts_compose_by_addition():
    first, second = np.zeros((*SHAPE, 3)), np.zeros((*SHAPE, 3))
    first[..., 1], second[..., 1], second[..., 2] = 2.0, 1.0, -4.0
    np.testing.assert_allclose(compose_fields(first, second, spacing_mm=SPACING), first + second)


def test_a_composed_field_warps_like_both_in_turn(bump, shapes):
    image = shapes["blobs"](shapes["centres"](SHAPE, SPACING), (24, 22, 24))
    shift = np.zeros_like(bump)
    shift[..., 2] = 3.0
    in_turn = warp_image(warp_image(image, shift, spacing_mm=SPACING), bump, spacing_mm=SPACING)
    at_once = warp_image(image, compose_fields(bump, shift, spacing_mm=SPACING), spacing_mm=SPACING)
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(at_once[inner], in_turn[inner], atol=0.05)


def test_a_field_and_its_inverse_cancel(bump):
    inverse = invert_field(bump, spacing_mm=SPACING)
    left = compose_fields(inverse, bump, spacing_mm=SPACING)
    assert np.linalg.norm(left, axis=-1).max() < 0.05
    # The other way round the inverse is interpolated between its grid points.
    right = compose_fields(bump, inverse, spacing_mm=SPACING)
    assert np.linalg.norm(right, axis=-1).max() < 0.5
    assert jacobian_determinant(bump, spacing_mm=SPACING).min() > 0


def test_many_images_through_one_field_are_warped_as_one_by_one(bump, rng):
    images = rng.standard_normal((2, 3, *SHAPE)).astype(np.float32)
    far = bump * 9  # beyond the border, too
    found = warper(far, spacing_mm=SPACING)(images)
    for one, image in zip(found.reshape(-1, *SHAPE), images.reshape(-1, *SHAPE), strict=True):
        np.testing.assert_allclose(
            one, warp_image(image, far, spacing_mm=SPACING, fill=None), atol=2e-6
        )
    plane = warper(bump[:, :, 8, :2], spacing_mm=SPACING[:2])(images[0, 0, :, :, 8])
    np.testing.assert_allclose(
        plane,
        warp_image(images[0, 0, :, :, 8], bump[:, :, 8, :2], spacing_mm=SPACING[:2], fill=None),
        atol=2e-6,
    )
    with pytest.raises(PopscanError, match="not finite"):
        warper(np.full((*SHAPE, 3), np.nan), spacing_mm=SPACING)


def test_splines_blur_less_than_lines_and_stay_in_range(shapes):
    """A wave that is moved by half a voxel and back is nearer to itself."""
    wave = np.sin(np.arange(SHAPE[0]) * 1.5)[:, None, None] * np.ones(SHAPE)
    half = np.zeros((*SHAPE, 3))
    half[..., 0] = SPACING[0] / 2
    known = np.ones(SHAPE)
    lines = [wave, wave]
    for step in (half, -half):
        lines[0] = warp_image(lines[0], step, spacing_mm=SPACING, fill=None)
        linear = warp_image(lines[1], step, spacing_mm=SPACING, fill=None)
        lines[1] = warp_sharply(lines[1], known, linear, step, spacing_mm=SPACING)
    blurred, sharp = (np.abs(one - wave)[5:-5].max() for one in lines)
    assert sharp < 0.1 < 0.3 < blurred
    assert np.abs(lines[1]).max() <= np.abs(wave).max() + 1e-6
    still = np.zeros_like(half)
    np.testing.assert_allclose(
        warp_sharply(wave, known, wave, still, spacing_mm=SPACING), wave, atol=1e-5
    )
    # Where values end nearby, the linear ones stay.
    known[:12] = 0.9
    mixed = warp_sharply(wave, known, np.full(SHAPE, 7.0), half, spacing_mm=SPACING)
    assert (mixed[:12] == 7).all()
    assert (mixed[12:] < 2).all()


def test_jacobians_in_a_plane_and_of_one_slice(bump):
    plane = jacobian_determinant(bump[:, :, 8, :2], spacing_mm=SPACING[:2])
    slope = [np.gradient(bump[:, :, 8, :2], s, axis=a) for a, s in enumerate(SPACING[:2])]
    matrix = np.moveaxis(np.stack(slope), 0, -1) + np.eye(2)
    np.testing.assert_allclose(plane, np.linalg.det(matrix), atol=1e-12)
    one = bump[:, :, 8:9] * (1, 1, 0)
    np.testing.assert_allclose(
        jacobian_determinant(one, spacing_mm=SPACING)[:, :, 0], plane, atol=1e-12
    )


def test_first_order_demons_do_not_fold_with_steps_of_a_voxel(shapes, bump):
    moving = shapes["blobs"](shapes["centres"](SHAPE, SPACING), (24, 22, 24))
    fixed = warp_image(moving, bump, spacing_mm=SPACING, fill=None)
    field = register_demons(
        fixed, moving, spacing_mm=SPACING, n_iterations=(20, 4), first_order=True, max_step_mm=2.0
    )
    assert jacobian_determinant(field, spacing_mm=SPACING).min() > 0
    before = np.abs(moving - fixed).mean()
    after = np.abs(warp_image(moving, field, spacing_mm=SPACING, fill=None) - fixed).mean()
    assert after < 0.4 * before
