"""Laws of anatomy in a slice."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_sax.anatomy import impossible_share, impossible_slices
from popscan.protocols.cine_sax.labels import Label


def test_a_good_slice_breaks_no_law(good_slices):
    assert not any(flags.any() for flags in impossible_slices(good_slices).values())
    assert impossible_share(good_slices) == 0.0


@pytest.mark.parametrize(
    ("law", "where", "label"),
    [
        ("hole_rv", (slice(8, 10), slice(18, 20)), Label.BACKGROUND),
        ("hole_lv", (slice(24, 26), slice(20, 22)), Label.MYO),
        ("hole_between", (slice(30, 32), slice(20, 22)), Label.BACKGROUND),
        ("rv_touches_lv", (slice(12, 19), slice(19, 22)), Label.RV),
        ("pieces_rv", (slice(1, 3), slice(1, 3)), Label.RV),
        ("pieces_lv", (slice(1, 3), slice(1, 3)), Label.LV),
        ("pieces_myo", (slice(1, 3), slice(1, 3)), Label.MYO),
    ],
)
def test_each_law(good_slices, law, where, label):
    good_slices[where] = label
    broken = impossible_slices(good_slices)
    assert broken[law].all()
    assert broken["any"].all()
    assert impossible_share(good_slices) == 1.0


def test_an_open_ring_is_possible(good_slices):
    good_slices[30:36, 18:23] = Label.BACKGROUND
    assert impossible_share(good_slices) == 0.0


def test_nothing_labelled():
    assert np.isnan(impossible_share(np.zeros((5, 5, 2, 1), np.uint8)))
