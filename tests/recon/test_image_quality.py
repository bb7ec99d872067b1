"""Image quality against a reference: hand-computed cases and invariances."""

import numpy as np
import pytest

from popscan.arrays.image_quality import fitted_gain, nrmse, psnr_db, score_image, ssim
from popscan.records import Scan, SubjectError


def scan(array):
    return Scan(array=array, affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0))


@pytest.fixture
def images(rng):
    reference = rng.random((12, 11, 2, 2)) + 1
    return reference + 0.1 * rng.standard_normal(reference.shape), reference


def test_hand_computed_errors():
    reference = np.array([[3.0, 4.0]])
    image = np.array([[3.0, 3.0]])
    assert nrmse(image, reference) == pytest.approx(1 / 5)
    assert psnr_db(image, reference) == pytest.approx(10 * np.log10(16 / 0.5))
    assert fitted_gain(image, reference) == pytest.approx(21 / 18)


def test_an_image_equals_itself(images):
    _, reference = images
    assert nrmse(reference, reference) == 0
    assert psnr_db(reference, reference) == np.inf
    assert ssim(reference, reference) == pytest.approx(1)


def test_an_empty_image_has_error_one(images):
    assert nrmse(np.zeros_like(images[1]), images[1]) == 1


def test_a_gain_changes_no_score(images):
    image, reference = images
    plain = score_image(scan(image), scan(reference))
    scaled = score_image(scan(7 * image), scan(reference))
    assert scaled == pytest.approx(plain)
    unfitted = score_image(scan(7 * image), scan(reference), fit_gain=False)
    assert unfitted["nrmse"] > 5


def test_only_the_region_counts(images):
    image, reference = images
    roi = np.zeros(image.shape[:3], dtype=bool)
    roi[2:9, 2:9] = True
    spoiled = np.where(roi[..., None], image, 99.0)
    inner = score_image(scan(image), scan(reference), roi=roi)
    assert score_image(scan(spoiled), scan(reference), roi=roi)["nrmse"] == inner["nrmse"]
    assert score_image(scan(spoiled), scan(reference))["nrmse"] > inner["nrmse"]


def test_undefined_is_nan(images):
    image, reference = images
    nowhere = np.zeros(image.shape[:3], dtype=bool)
    empty = score_image(scan(image), scan(reference), roi=nowhere)
    assert all(np.isnan(value) for value in empty.values())
    blank = score_image(scan(np.zeros_like(image)), scan(reference))
    assert all(np.isnan(value) for value in blank.values())
    assert np.isnan(ssim(image, np.ones_like(image)))
    assert np.isnan(nrmse(image, np.zeros_like(image)))


def test_different_grids_are_refused(images):
    with pytest.raises(SubjectError, match="same grid") as error:
        score_image(scan(images[0][:-1]), scan(images[1]))
    assert error.value.reason == "shape_mismatch"
