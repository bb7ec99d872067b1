"""One image of a series that lies elsewhere is found, and none where all lie in one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapping_files import SPACING_MM, regions, samples, t1_truth_ms
from popscan.relaxometry import image_shifts_mm
from shmolli_phantom import read_phantom

SPACING = (SPACING_MM, SPACING_MM)


@pytest.mark.parametrize("noise", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_each_image_of_a_series_is_found_where_it_lies(noise, axis):
    truth = t1_truth_ms(regions(), wall_ms=1150.0, blood_ms=1700.0)
    images = np.abs(samples(truth, noise=noise))
    assert not image_shifts_mm(images, spacing_mm=SPACING).any()
    for moved in range(len(images)):
        series = images.copy()
        series[moved] = np.roll(series[moved], 4, axis=axis)
        expected = np.where(np.arange(len(images)) == moved, 4 * SPACING_MM, 0.0)
        np.testing.assert_allclose(image_shifts_mm(series, spacing_mm=SPACING), expected)


@pytest.mark.parametrize(("wall_ms", "blood_ms"), [(450.0, 350.0), (600.0, 500.0)])
@pytest.mark.parametrize("noise", [3.0, 25.0])
def test_images_of_recovered_tissue_show_no_edges_and_no_shift(wall_ms, blood_ms, noise):
    truth = t1_truth_ms(regions(), wall_ms=wall_ms, blood_ms=blood_ms)
    for seed in range(3):
        images = np.abs(samples(truth, noise=noise, seed=seed))
        assert not image_shifts_mm(images, spacing_mm=SPACING).any()


@pytest.mark.parametrize("shape", [(2, 20, 20, 1), (5, 4, 3, 2), (5, 20, 20, 1)])
def test_what_shows_no_structure_has_no_shift(shape):
    shifts = image_shifts_mm(np.ones(shape), spacing_mm=(1.0, 1.0))
    assert shifts.shape == shape[:1]
    assert np.isnan(shifts).all() if shape[0] < 3 else not shifts.any()


def test_every_image_of_a_real_phantom_is_found(data_dir: Path):
    images = read_phantom(data_dir).magnitude.transpose(0, 2, 1)[:, ::2, ::2, np.newaxis]
    assert not image_shifts_mm(images, spacing_mm=(1.0, 1.0)).any()
    for moved in range(len(images)):
        series = images.copy()
        series[moved] = np.roll(series[moved], 4, axis=0)
        expected = np.where(np.arange(len(images)) == moved, 4.0, 0.0)
        np.testing.assert_allclose(image_shifts_mm(series, spacing_mm=(1.0, 1.0)), expected)
