"""Margins that a program put around a scan change nothing."""

import numpy as np
import pytest

from popscan.arrays.intensity import black_and_white, content_box


@pytest.fixture
def scan(rng):
    return rng.normal(100, 20, (40, 36, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("value", [0.0, -1000.0, 4095.0])
@pytest.mark.parametrize("by", [3, 40])
def test_black_and_white_are_those_of_the_scan_without_its_margin(scan, value, by):
    padded = np.pad(
        scan, ((by, by), (0, by), (0, 0), (0, 0)), constant_values=((value, value),) * 4
    )
    assert padded[content_box(padded)].shape == scan.shape
    assert black_and_white(padded) == black_and_white(scan)


def test_margins_of_two_values_are_found(scan):
    padded = np.pad(scan, ((5, 5), (5, 5), (0, 0), (0, 0)), constant_values=0.0)
    padded = np.concatenate([padded, np.full((9, *padded.shape[1:]), -1.0, np.float32)])
    assert padded[content_box(padded)].shape == scan.shape


@pytest.mark.parametrize("own", [0, 1, 2])
def test_one_or_two_blank_slices_are_the_scans_own(scan, own):
    padded = np.pad(scan, ((own, 0), (0, own), (0, 0), (0, 0)))
    assert padded[content_box(padded)].shape == padded.shape


def test_a_slice_that_is_blank_in_some_frames_is_content(scan):
    scan[:10, :, :, 0] = 0.0
    assert scan[content_box(scan)].shape == scan.shape


def test_of_one_value_everywhere_all_is_left():
    assert content_box(np.ones((4, 5, 6))) == (slice(0, 4), slice(0, 5), slice(0, 6))
    assert content_box(np.ones((1, 1))) == (slice(0, 1), slice(0, 1))


@pytest.mark.parametrize("blocks", [2, 10])
def test_blocks_of_one_value_each_are_content(blocks):
    array = np.repeat(np.arange(float(blocks)), 4)[:, None, None] * np.ones((1, 9, 9))
    box = content_box(array)
    assert all(s.start < s.stop for s in box)
    assert np.ptp(array[box]) > 0
    black, white = black_and_white(array)
    assert black < white


def test_a_patch_of_one_value_in_another_is_not_all_there_is():
    array = np.zeros((30, 30, 30))
    array[10:20, 8:22, 12:18] = 5.0
    assert content_box(array) == (slice(0, 30),) * 3
    low, high = black_and_white(array, high_pct=99.9)
    assert (low, high) == (0.0, 5.0)
