"""Labels against the image that they were drawn on: shifts, mirror images, what says nothing."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from popscan.arrays.label_fit import label_fit
from popscan.qc.fit import label_misfit

DATA = Path(os.environ.get("POPSCAN_DATA", "../shared/data")) / "acdc"
SPACING = (1.5, 1.25)


def ring(n=80, middle=(36, 44), noise=0.3, seed=1):
    """A bright pool within a dark wall, on a background of both; labels 1 and 2."""
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    radius = np.hypot((x - middle[0]) * SPACING[0], (y - middle[1]) * SPACING[1])
    labels = np.where(radius < 20, 2, np.where(radius < 30, 1, 0)).astype(np.uint8)
    rng = np.random.default_rng(seed)
    around = np.kron(rng.normal(0.5, 0.5, (8, 8)), np.ones((10, 10)))
    image = np.select([labels == 2, labels == 1], [1.0, 0.0], around)
    return (image + noise * rng.normal(size=image.shape))[..., None], labels[..., None]


def test_labels_on_their_image_are_not_moved():
    image, labels = ring()
    fit = label_fit(image, labels, SPACING)
    assert fit.offset_mm == 0
    assert fit.here == pytest.approx(fit.best)
    assert 0.5 < fit.here < 1
    assert label_misfit(image, labels, SPACING).value < 1


@pytest.mark.parametrize(("dx", "dy"), [(6, 0), (0, -8), (-5, 5)])
def test_a_shift_is_found_with_its_length(dx, dy):
    image, labels = ring()
    moved = np.roll(labels, (dx, dy), (0, 1))
    expected = np.hypot(dx * SPACING[0], dy * SPACING[1])
    assert label_fit(image, moved, SPACING).offset_mm == pytest.approx(expected, abs=1e-2)
    assert label_misfit(image, moved, SPACING).value > 25


def test_scale_offset_and_sign_of_grey_values_change_nothing():
    image, labels = ring()
    moved = np.roll(labels, 5, 0)
    plain = label_fit(image, moved, SPACING)
    for other in (1e6 * image, image + 1e4, -image):
        found = label_fit(other, moved, SPACING)
        assert found.offset_mm == plain.offset_mm
        assert found.here == pytest.approx(plain.here, abs=0.05)


def test_one_label_is_held_against_what_is_around_it():
    image, labels = ring()
    pool = (labels == 2).astype(np.uint8)
    assert label_fit(image, pool, SPACING).offset_mm == 0
    assert label_misfit(image, np.roll(pool, 6, 0), SPACING).value > 25


def test_labels_at_the_border_do_not_wrap_around():
    image, labels = ring(middle=(22, 22), noise=0.1)
    cut = image[8:, 8:], labels[8:, 8:]
    assert label_fit(*cut, SPACING).offset_mm == 0


def test_what_says_nothing_is_not_assessed():
    image, labels = ring()
    assert label_fit(image, np.zeros_like(labels), SPACING) is None
    assert label_fit(np.ones_like(image), labels, SPACING) is None
    assert label_fit(np.full_like(image, np.nan), labels, SPACING) is None
    assert not label_misfit(image, None, SPACING).assessed
    holes = image.copy()
    holes[::7, ::5] = np.nan
    assert label_fit(holes, labels, SPACING).offset_mm == 0
    with pytest.raises(ValueError, match="x, y, z"):
        label_fit(image, labels[:-1], SPACING)


@pytest.mark.skipif(not DATA.is_dir(), reason="real data not there")
def test_expert_labels_lie_on_their_images_and_shifted_ones_do_not():
    right, wrong = [], []
    for path in sorted(DATA.glob("*/*_gt.nii.gz"))[::9]:
        image = nib.load(str(path).replace("_gt", ""))
        labels = np.asarray(nib.load(path).dataobj).astype(np.uint8)
        middle = [labels.shape[2] // 2]
        # Wall and pool of the left ventricle in one slice, as on a map.
        own = np.where(labels > 1, labels, 0)[..., middle]
        grey = np.asarray(image.dataobj, dtype=float)[..., middle]
        spacing = image.header.get_zooms()[:2]
        right.append(label_misfit(grey, own, spacing).value)
        shifted = np.roll(own, (round(6 / spacing[0]), round(5 / spacing[1])), (0, 1))
        wrong.append(label_misfit(grey, shifted, spacing).value)
    assert len(right) > 10
    assert max(right) <= 25
    assert np.mean(np.array(wrong) > 25) > 0.9


def test_a_map_that_is_empty_around_right_labels_is_no_misfit():
    image, labels = ring(noise=0.05)
    wall = np.where(labels == 1, 1, 0).astype(np.uint8)
    rng = np.random.default_rng(3)
    masked = np.where(wall == 1, 1000 + 60 * rng.normal(size=wall.shape), np.nan)
    assert label_misfit(masked, wall, SPACING).value == 0
    assert label_misfit(image, np.roll(labels, 6, axis=0), SPACING).value > 25


def test_a_slice_of_one_code_throughout_says_nothing_about_the_others():
    image, labels = ring()
    full = np.ones_like(labels)
    both = label_fit(np.concatenate([image, image], 2), np.concatenate([labels, full], 2), SPACING)
    assert both is not None
    assert both.offset_mm == 0
