"""Slices that no heart has are mended; all others stay as they are."""

from __future__ import annotations

import numpy as np

from popscan.arrays.anatomy import impossible_share
from popscan.records import Label
from popscan.segment.cleanup import mend_slices


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


def test_random_noise_becomes_possible(rng):
    labels = rng.integers(0, 4, size=(24, 24, 4, 2)).astype(np.uint8)
    before = impossible_share(labels)
    mend_slices(labels)
    assert before == 1.0
    assert impossible_share(labels) < before
