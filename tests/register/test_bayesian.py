"""The uncertainty of `bayesian` registration: what it depends on, and how often it holds."""

import numpy as np
import pytest
from scipy import ndimage

from popscan.records import PopscanError, SubjectError
from popscan.register import register
from popscan.register.velocities import integrate

SHAPE, SPACING = (48, 44), (2.0, 2.0)
FAST = {"n_steps": 10, "n_samples": 24}


def textured(rng, n):
    """Pairs of smooth textures with known displacements: fixed, moving and truth in mm."""
    velocity = ndimage.gaussian_filter(rng.normal(size=(n, 16, 15, 2)), (0, 3, 3, 0))
    velocity *= 2.0 / velocity.std()
    truth = integrate(velocity, SHAPE, spacing_mm=SPACING)
    moving = ndimage.gaussian_filter(rng.normal(size=(n, *SHAPE)), (0, 2, 2))
    moving = 0.5 + 0.25 * moving / moving.std()
    noisy = [
        (image + rng.normal(scale=0.03, size=image.shape)).astype(np.float32)
        for image in (truth.images(moving), moving)
    ]
    return *noisy, truth.displacement_mm


@pytest.fixture(scope="module")
def pairs():
    return textured(np.random.default_rng(3), 4)


@pytest.fixture(scope="module")
def warp(pairs):
    return register(*pairs[:2], method="bayesian", spacing_mm=SPACING, **FAST)


def test_intervals_hold_a_known_displacement_about_as_often_as_they_say(pairs, warp):
    inner = (slice(None), slice(6, -6), slice(6, -6))
    off = np.abs(warp.displacement_mm - pairs[2])[inner] / warp.sd_mm[inner]
    assert 0.3 < (off < 0.674).mean() < 0.8
    assert (off < 1.645).mean() > 0.7


def test_the_mean_is_as_good_as_the_best_velocity(pairs, warp):
    best = register(*pairs[:2], method="svf", spacing_mm=SPACING)
    errors = [np.sqrt(((w.displacement_mm - pairs[2]) ** 2).mean()) for w in (best, warp)]
    assert errors[1] < 1.1 * errors[0]
    assert (warp.jacobian() > 0).all()


def test_drawn_velocities_are_what_the_deviations_are_of(warp):
    drawn = [
        integrate(part[:1], SHAPE, spacing_mm=SPACING).displacement_mm[0]
        for part in np.moveaxis(warp.velocity_samples_mm, 1, 0)
    ]
    np.testing.assert_allclose(np.std(drawn, axis=0, ddof=1), warp.sd_mm[0], atol=1e-3)


def test_noise_and_flatness_widen(pairs, warp, rng):
    noise = rng.normal(scale=0.15, size=(2, *pairs[0].shape)).astype(np.float32)
    noisy = register(
        pairs[0] + noise[0], pairs[1] + noise[1], method="bayesian", spacing_mm=SPACING, **FAST
    )
    assert np.median(noisy.sd_mm) > 1.3 * np.median(warp.sd_mm)
    flat = [image.copy() for image in pairs[:2]]
    for image in flat:
        image[:, :20] = 0.5
    blank = register(*flat, method="bayesian", spacing_mm=SPACING, discrepancy=0.0, **FAST)
    assert np.median(blank.sd_mm[:, :10]) > 2 * np.median(blank.sd_mm[:, 30:])


def test_what_images_do_not_show_is_a_share_of_the_motion(pairs):
    options = {"method": "bayesian", "spacing_mm": SPACING, **FAST}
    without = register(*pairs[:2], discrepancy=0.0, **options)
    much = register(*pairs[:2], discrepancy=1.0, **options)
    added = np.sqrt(np.maximum(much.sd_mm**2 - without.sd_mm**2, 0)).mean()
    length = np.linalg.norm(without.displacement_mm, axis=-1).mean()
    assert added == pytest.approx(length, rel=0.4)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(pairs, warp):
    again = register(*pairs[:2], method="bayesian", spacing_mm=SPACING, **FAST)
    other = register(*pairs[:2], method="bayesian", spacing_mm=SPACING, seed=1, **FAST)
    for name in ("displacement_mm", "sd_mm", "velocity_samples_mm"):
        assert getattr(again, name).tobytes() == getattr(warp, name).tobytes()
        assert getattr(other, name).tobytes() != getattr(warp, name).tobytes()
    np.testing.assert_allclose(np.median(other.sd_mm), np.median(warp.sd_mm), rtol=0.2)


def test_a_pair_without_contrast_has_no_deviation_and_does_not_fail_the_others(pairs, warp):
    fixed, moving = (image.copy() for image in pairs[:2])
    fixed[1] = 0.5
    part = register(fixed, moving, method="bayesian", spacing_mm=SPACING, **FAST)
    assert np.isnan(part.sd_mm[1]).all()
    assert np.isnan(part.velocity_samples_mm[1]).all()
    assert np.isfinite(part.displacement_mm).all()
    np.testing.assert_allclose(part.sd_mm[[0, 2, 3]], warp.sd_mm[[0, 2, 3]], atol=1e-3)


def test_equal_images_are_certain_but_not_beyond_reason(pairs):
    warp = register(pairs[0], pairs[0], method="bayesian", spacing_mm=SPACING, **FAST)
    assert np.abs(warp.displacement_mm).max() < 0.3
    assert 0.003 < np.median(warp.sd_mm) < 0.3


def test_slices_of_a_stack_carry_their_deviations(pairs, warp):
    fixed, moving = (np.moveaxis(images[:2], 0, -1)[None] for images in pairs[:2])
    stack = register(
        fixed, moving, method="bayesian", spacing_mm=(*SPACING, 8.0), in_plane=True, **FAST
    )
    assert stack.sd_mm.shape == (1, *SHAPE, 2, 3)
    assert not stack.sd_mm[..., 2].any()
    inside = np.moveaxis(stack.sd_mm[0, ..., :2], 2, 0)
    np.testing.assert_allclose(inside, warp.sd_mm[:2], atol=1e-3)
    one = integrate(stack.velocity_samples_mm[:, 0], (*SHAPE, 2), spacing_mm=(*SPACING, 8.0))
    assert one.displacement_mm.shape == stack.displacement_mm.shape
    assert stack[:1].sd_mm.shape == stack.sd_mm.shape
    back = stack.inverse()
    assert back.sd_mm is None
    np.testing.assert_array_equal(back.velocity_samples_mm, -stack.velocity_samples_mm)


def test_three_axes_get_a_coarser_grid(shapes):
    points = shapes["centres"]((20, 20, 8), (3.0, 3.0, 8.0))
    fixed, moving = (
        shapes["soft_ellipsoid"](points, (28.0, 28.0, 28.0), radii)[None]
        for radii in ((20, 22, 24), (16, 18, 22))
    )
    warp = register(
        fixed, moving, method="bayesian", spacing_mm=(3.0, 3.0, 8.0), max_parameters=300, **FAST
    )
    assert warp.sd_mm.shape == (1, 20, 20, 8, 3)
    assert np.abs(fixed - warp.images(moving)).sum() < 0.5 * np.abs(fixed - moving).sum()


@pytest.mark.parametrize(
    "options",
    [{"rank": -1}, {"n_samples": 1}, {"temperature": 0.0}, {"discrepancy": -0.1},
     {"max_parameters": 0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(pairs, options):
    with pytest.raises(PopscanError, match=f"bayesian: {next(iter(options))}"):
        register(*pairs[:2], method="bayesian", spacing_mm=SPACING, **options)


def test_labels_are_refused(pairs):
    with pytest.raises(PopscanError, match="fixed_labels"):
        register(*pairs[:2], method="bayesian", spacing_mm=SPACING, fixed_labels=pairs[0][:, None])


def test_a_velocity_that_diverges_fails_its_pair(pairs):
    with pytest.raises(SubjectError) as refused:
        register(*pairs[:2], method="bayesian", spacing_mm=SPACING, step_mm=1e39)
    assert refused.value.reason == "registration_failed"
