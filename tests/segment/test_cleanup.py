"""Slices that no heart has are mended; all others stay as they are."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from popscan.protocols.cine_sax.anatomy import impossible_share
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.cleanup import keep_largest, mend_slices


def test_possible_slices_stay_as_they_are(good_slices):
    labels = good_slices
    labels[30:36, 18:23] = Label.BACKGROUND  # the outflow tract: an open ring
    before = labels.copy()
    assert mend_slices(labels) == 0
    np.testing.assert_array_equal(labels, before)
    assert mend_slices(np.zeros((4, 4, 1, 1), np.uint8)) == 0


def test_faults_take_the_label_around_them(good_slices):
    truth = good_slices
    labels = truth.copy()
    labels[24:26, 20:22, 1, 0] = Label.BACKGROUND  # a hole in the LV
    labels[8:10, 18:20, 1, 0] = Label.MYO  # a speck of myocardium in the RV
    labels[2:4, 2:4, 1, 0] = Label.RV  # a speck of RV in the lung
    labels[31, 20, 1, 1] = Label.BACKGROUND  # a hole between myocardium and LV
    assert mend_slices(labels) == 2
    assert labels[31, 20, 1, 1] in (Label.MYO, Label.LV)
    labels[31, 20, 1, 1] = truth[31, 20, 1, 1]
    np.testing.assert_array_equal(labels, truth)


def test_a_septum_between_touching_cavities(good_slices):
    labels = good_slices[:, :, :1, :1]
    labels[12:19, 19:22] = Label.RV
    assert mend_slices(labels) == 1
    assert impossible_share(labels) == 0.0


def test_a_heart_at_the_border_of_the_image(good_slices):
    labels = good_slices[5:, :, :1, :1]  # the RV begins at the first row
    labels[0, 18] = Label.BACKGROUND  # a notch, no hole: the outside comes in there
    before = labels.copy()
    assert mend_slices(labels) == 0
    np.testing.assert_array_equal(labels, before)


def test_what_is_no_slip_stays(good_slices):
    labels = good_slices
    heart = np.isin(labels[..., 0, 0], (Label.MYO, Label.LV))
    # An RV that runs all around the left heart is wrong; without the left heart it is worse.
    around = ndimage.binary_dilation(heart, iterations=2) & ~heart
    labels[..., 0, 0][around] = Label.RV
    # A wall with two gaps is in two pieces; both are wall.
    middle = int(np.argwhere(heart)[:, 0].mean())
    wall = labels[middle, :, 1, 0]
    wall[wall == Label.MYO] = Label.BACKGROUND
    before = [np.count_nonzero(labels == k) for k in (Label.MYO, Label.LV)]
    assert mend_slices(labels) == 2
    after = [np.count_nonzero(labels == k) for k in (Label.MYO, Label.LV)]
    assert all(new > 0.8 * old for new, old in zip(after, before, strict=True))


def test_a_heart_with_random_specks_becomes_possible(good_slices, rng):
    labels = np.repeat(good_slices[:, :, :1, :1], 20, axis=2)
    specks = rng.random(labels.shape) < 0.01
    labels[specks] = rng.integers(0, 4, size=specks.sum())
    assert impossible_share(labels) > 0.9
    mend_slices(labels)
    assert impossible_share(labels) < 0.2


def _largest_piece(mask):
    """What is not of the largest piece of a volume, searched by scipy alone."""
    pieces, n = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(mask, pieces, range(1, n + 1)) if n else [0]
    return mask & (pieces != int(np.argmax(sizes)) + 1), max(n - 1, 0)


def test_the_largest_pieces_are_those_of_each_frame_alone(rng):
    for filled in (0.02, 0.1, 0.3, 0.6):
        shape = tuple(rng.integers(2, 9, 4))
        labels = (rng.integers(1, 4, shape) * (rng.random(shape) < filled)).astype(np.uint8)
        labels = labels.repeat(2, axis=0)
        wanted, removed = labels.copy(), 0
        for frame in range(shape[3]):
            volume = wanted[..., frame]
            for mask in ((), *STRUCTURES):
                islands, n = _largest_piece(volume == int(mask) if mask else volume > 0)
                volume[islands] = Label.BACKGROUND
                removed += n
        assert keep_largest(labels) == removed
        np.testing.assert_array_equal(labels, wanted)


def test_whole_hearts_lose_nothing(good_slices):
    before = good_slices.copy()
    assert keep_largest(good_slices) == 0
    np.testing.assert_array_equal(good_slices, before)
