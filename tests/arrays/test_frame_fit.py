"""Labels of a cine against the frames that they are stored with: late, backwards, exchanged."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from popscan.arrays.frame_fit import frame_fit
from popscan.qc.fit import label_frames_off

DATA = Path(os.environ.get("POPSCAN_DATA", "../shared/data")) / "acdc"
FRAMES = 20


def beating(noise=0.3, seed=1, slices=2):
    """A pool in a wall that contracts and relaxes, filling slower; labels 1 and 2, (x, y, z, t)."""
    n = 64
    x, y = np.meshgrid(np.arange(n) - 30.0, np.arange(n) - 33.0, indexing="ij")
    at = np.arange(FRAMES) / FRAMES
    radius = 17 - 6 * np.where(at < 0.35, at / 0.35, np.maximum(0, 1 - (at - 0.35) / 0.5))
    away = np.hypot(x, y)[..., None]
    labels = np.where(away < radius, 2, np.where(away < 23, 1, 0)).astype(np.uint8)
    labels = np.repeat(labels[:, :, None], slices, axis=2)
    rng = np.random.default_rng(seed)
    around = np.kron(rng.normal(0.5, 0.4, (8, 8)), np.ones((8, 8)))[..., None, None]
    image = np.select([labels == 2, labels == 1], [1.0, 0.0], around)
    return image + noise * rng.normal(size=image.shape), labels


def test_labels_of_their_own_frames_are_not_moved():
    image, labels = beating()
    found = frame_fit(image, labels)
    assert found is not None
    assert found.off_pct == 0
    assert not found.reversed
    assert found.here == found.best
    assert label_frames_off(image, labels).value == 0


@pytest.mark.parametrize("late", [2, -3, 10])
def test_labels_that_are_late_are_found_by_how_much(late):
    image, labels = beating()
    found = frame_fit(image, np.roll(labels, late, axis=3))
    assert found is not None
    assert found.off_pct == pytest.approx(100 * abs(late) / FRAMES)
    assert label_frames_off(image, np.roll(labels, late, axis=3)).value >= 10


def test_labels_that_run_backwards_are_found():
    image, labels = beating()
    found = frame_fit(image, labels[..., ::-1])
    assert found is not None
    assert found.reversed
    assert label_frames_off(image, labels[..., ::-1]).value > 15
    assert "backwards" in label_frames_off(image, labels[..., ::-1]).note


def test_of_two_labelled_frames_exchanged_ones_are_found():
    image, labels = beating()
    two = np.zeros_like(labels)
    two[..., 0], two[..., 7] = labels[..., 7], labels[..., 0]
    assert label_frames_off(image, two).value > 15
    two[..., 0], two[..., 7] = labels[..., 0], labels[..., 7]
    assert label_frames_off(image, two).value == 0
    pair = (0, 7)
    assert label_frames_off(image[..., pair], labels[..., pair][..., ::-1]).value == 50


def test_brightness_and_its_scale_change_nothing():
    image, labels = beating()
    late = np.roll(labels, 4, axis=3)
    plain = frame_fit(image, late)
    other = frame_fit(1e4 + 3 * image, late)
    assert plain is not None
    assert other is not None
    assert other.here == pytest.approx(plain.here)
    assert other.off_pct == plain.off_pct


def test_what_says_nothing_of_frames_is_not_assessed():
    image, labels = beating()
    assert frame_fit(image, np.zeros_like(labels)) is None
    assert frame_fit(image, np.repeat(labels[..., :1], FRAMES, axis=3)) is None
    assert frame_fit(np.ones_like(image), labels) is None
    assert frame_fit(np.full_like(image, np.nan), labels) is None
    assert frame_fit(image, labels, frames=[3]) is None
    assert not label_frames_off(image, None).assessed
    noise = np.random.default_rng(4).normal(size=image.shape)
    assert label_frames_off(noise, labels).value == 0
    still = np.repeat(image[..., :1], FRAMES, axis=3)
    assert label_frames_off(still, labels).value == 0
    with pytest.raises(ValueError, match="expected"):
        frame_fit(image, labels[..., :-1])


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="ACDC is not there")
def test_of_patients_every_exchange_of_diastole_and_systole_is_found_and_nothing_else():
    n = 0
    for info in sorted(DATA.glob("patient*"))[::5]:
        truths = sorted(info.glob("*_gt.nii*"))
        labels = [np.asarray(nib.load(path).dataobj).astype(np.uint8) for path in truths]
        images = [
            np.asarray(nib.load(str(path).replace("_gt", "")).dataobj, float) for path in truths
        ]
        image, drawn = np.stack(images, axis=-1), np.stack(labels, axis=-1)
        assert label_frames_off(image, drawn).value == 0
        assert label_frames_off(image, drawn[..., ::-1]).value == 50
        n += 1
    assert n > 10
