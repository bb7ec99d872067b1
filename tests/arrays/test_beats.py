"""Beats of a segmented cine: which lines they hold, and what they see."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.arrays.beats import Beat, beat_numbers, early, late, seen_in, spoilt
from popscan.arrays.fourier import centred_fft, centred_ifft


@pytest.mark.parametrize("order", ["interleaved", "blocks"])
def test_every_acquired_line_belongs_to_one_beat_and_beats_share_alike(order):
    mask = np.random.default_rng(0).random((40, 3)) < 0.6
    numbers = beat_numbers(mask, 4, order=order)
    assert np.array_equal(numbers >= 0, mask)
    for t in range(3):
        counts = np.bincount(numbers[mask[:, t], t], minlength=4)
        assert counts.max() - counts.min() <= 1


def test_orders():
    mask = np.array([1, 1, 0, 1, 1], bool)[:, np.newaxis]
    assert beat_numbers(mask, 2, order="interleaved")[:, 0].tolist() == [0, 1, -1, 0, 1]
    assert beat_numbers(mask, 2, order="blocks")[:, 0].tolist() == [0, 0, -1, 1, 1]


def test_late_and_early_beats_show_other_frames():
    assert late(4, 1).frames == (1, 2, 3, 0)
    assert early(4, 3).frames == (0, 1, 2, 0)
    spectrum = np.arange(4)[:, np.newaxis, np.newaxis] + np.zeros((4, 2, 2), complex)
    assert seen_in(spectrum, late(4, 1), frame=3)[0, 0] == 0
    assert seen_in(spectrum, Beat(), frame=3)[0, 0] == 3


def test_a_moved_body_is_the_shifted_image():
    image = np.random.default_rng(1).random((1, 8, 6)).astype(complex)
    spectrum = centred_fft(image, axes=(1, 2))
    seen = centred_ifft(seen_in(spectrum, Beat(moved_px=(2.0, -1.0)), frame=0), axes=(0, 1))
    assert np.allclose(seen, np.roll(image[0], (2, -1), axis=(0, 1)), atol=1e-6)


def test_spoilt_lines_are_those_of_irregular_beats():
    numbers = np.array([[0], [1], [-1], [0]])
    assert spoilt(numbers, [Beat(), late(2, 1)])[:, 0].tolist() == [False, True, False, False]
    assert not spoilt(numbers, [Beat(), Beat()]).any()
