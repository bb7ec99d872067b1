"""Laws of every corruption, and the damage each must do, by its formula."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from popscan.arrays.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from popscan.records import PopscanError


@pytest.fixture
def image(rng):
    smooth = rng.random((6, 5, 7, 2)).repeat(6, 0).repeat(6, 1)
    return (100 + 400 * smooth + 5 * rng.normal(size=smooth.shape)).astype(np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
class TestLaws:
    def test_severity_0_changes_nothing_but_memory(self, image, name):
        out = corrupt(image, name, severity=0)
        np.testing.assert_array_equal(out, image)
        assert out is not image

    def test_same_seed_same_bytes_and_input_untouched(self, image, name):
        before = image.copy()
        first, again = (corrupt(image, name, severity=3, seed=5) for _ in range(2))
        assert first.tobytes() == again.tobytes()
        np.testing.assert_array_equal(image, before)

    def test_shape_type_and_finite(self, image, name):
        for array in (image, image.astype(np.int16), image[..., :1], image[:, :, :1]):
            out = corrupt(array, name, severity=5)
            assert out.shape == array.shape
            assert out.dtype == np.float32
            assert np.isfinite(out).all()

    def test_more_severe_is_further_off(self, image, name):
        away = [
            float(np.square(corrupt(image, name, severity=s, seed=2) - image).mean())
            for s in SEVERITIES
        ]
        assert away[0] == 0
        # Few slices: two severities may blank the same number of them.
        assert all(b >= a for a, b in pairwise(away))
        assert 0 < away[1] < away[5]


def test_unknown_name_severity_and_shape_are_told(image):
    with pytest.raises(PopscanError, match=r"known are noise, bias_field"):
        corrupt(image, "rust", severity=1)
    for severity in (-1, 6, 2.5):
        with pytest.raises(PopscanError, match="is none of"):
            corrupt(image, "noise", severity=severity)
    with pytest.raises(PopscanError, match="expected axes"):
        corrupt(image[..., 0], "noise", severity=1)


def test_noise_is_rician_with_the_given_spread():
    image = np.zeros((200, 200, 2, 1), np.float32)
    image[100:] = 1000.0
    out = corrupt(image, "noise", severity=2)
    sd = 0.08 * 1000.0
    assert out[100:].std() == pytest.approx(sd, rel=0.03)
    # Without signal the mean of a Rayleigh distribution is left.
    assert out[:100].mean() == pytest.approx(sd * np.sqrt(np.pi / 2), rel=0.02)


@pytest.mark.parametrize("severity", [1, 5])
def test_bias_field_spans_its_range_where_the_heart_is(severity):
    image = np.zeros((64, 64, 5, 1), np.float32)
    image[:, ::2] = 100.0
    out = corrupt(image, "bias_field", severity=severity, seed=1)[:, ::2]
    middle = out[16:48, 8:24]
    assert middle.max() / middle.min() == pytest.approx(np.exp(0.3 * severity), rel=0.05)
    steps = np.diff(np.log(middle), axis=0)
    assert np.abs(steps).max() < 0.3 * severity / 5  # smooth


def test_ghosts_of_a_point_stand_at_even_distances():
    image = np.zeros((4, 60, 1, 1), np.float32)
    image[2, 7] = 1.0
    out = corrupt(image, "ghosting", severity=5, seed=0)[2, :, 0, 0]
    where = np.flatnonzero(out > 0.01)
    every = len(where)
    assert every in (2, 3, 4, 5)
    np.testing.assert_array_equal(np.diff(where), 60 // every)
    # One line of `every` keeps 0.3 of itself: the ghosts share the 0.7 that is lost.
    assert out[7] == pytest.approx(1 - 0.7 / every, rel=1e-5)
    others = np.delete(out[where], np.flatnonzero(where == 7))
    np.testing.assert_allclose(others, 0.7 / every, rtol=1e-5)


def test_blur_is_that_of_monai():
    from monai.transforms import GaussianSmooth

    rng = np.random.default_rng(0)
    image = rng.random((40, 40, 1, 1)).astype(np.float32)
    ours = corrupt(image, "blur", severity=3)[5:-5, 5:-5, 0, 0]
    smooth = GaussianSmooth(sigma=1.5, approx="sampled")(torch.from_numpy(image[None, ..., 0, 0]))
    theirs = np.asarray(smooth)[0, 5:-5, 5:-5]
    assert np.abs(ours - theirs)[5:-5, 5:-5].max() < 0.01 * image.max()


def test_resolution_keeps_slow_waves_and_drops_fast_ones():
    x = np.arange(64)
    wave = {k: np.cos(2 * np.pi * k * x / 64) for k in (5, 25)}
    image = (3 + wave[5] + wave[25])[:, None, None, None].repeat(64, 1).astype(np.float32)
    out = corrupt(image, "resolution", severity=5)[:, 0, 0, 0]
    np.testing.assert_allclose(out, 3 + wave[5], atol=1e-4)


def test_missing_slices_are_whole_nested_and_never_all(image):
    gone = []
    for severity in SEVERITIES[1:]:
        out = corrupt(image, "missing_slices", severity=severity, seed=4)
        blank = np.ptp(out, axis=(0, 1)).max(axis=1) == 0
        np.testing.assert_array_equal(out[:, :, ~blank], image[:, :, ~blank])
        gone.append(set(np.flatnonzero(blank)))
    assert [len(g) for g in gone] == [1, 1, 2, 3, 4]  # of 7: 0.7, 1.4, 2.1, 2.8, 3.5 (to even)
    assert all(a <= b for a, b in pairwise(gone))
    one = corrupt(image[:, :, :1], "missing_slices", severity=5)
    np.testing.assert_array_equal(one, image[:, :, :1])


def test_contrast_inversion_turns_the_brightest_first_and_ends_in_the_negative(image):
    low, high = np.percentile(image, [1.0, 99.0])
    once = corrupt(image, "contrast_inversion", severity=1)
    level = high - 0.2 * (high - low)
    dark = image < level * (1 - 1e-5)
    np.testing.assert_array_equal(once[dark], image[dark])
    assert once[~dark].max() <= level * (1 + 1e-5)
    out = corrupt(image, "contrast_inversion", severity=5)
    inside = image > low * (1 + 1e-5)
    np.testing.assert_allclose(out[inside], 2 * low - image[inside], atol=1e-3)
