"""Laws of displacement fields."""

import numpy as np
import pytest

from popscan.register import (
    compose_fields,
    invert_field,
    jacobian_determinant,
    warp_image,
    warp_labels,
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
