"""Errors taken apart, by hand and by their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from popscan.arrays.metrics import dice
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.segment.errors import confusion, dice_of, take_apart

RV, MYO, LV = Label.RV, Label.MYO, Label.LV


def test_by_hand():
    reference = np.array([LV] * 10 + [MYO] * 5 + [0] * 5, np.uint8)
    prediction = np.array([LV] * 6 + [MYO] * 3 + [0] + [MYO] * 4 + [LV] + [LV, RV] + [0] * 3)
    found = take_apart(confusion(prediction.astype(np.uint8), reference, largest=3), STRUCTURES)
    assert found["lv"] == {
        "correct_pct": 60.0,
        "flipped_pct": 30.0,
        "missed_pct": 10.0,
        "spurious_pct": pytest.approx(100 / 8),
        "taken_pct": pytest.approx(100 / 8),
    }
    assert found["myo"]["correct_pct"] == 80.0
    assert found["myo"]["flipped_pct"] == 20.0
    assert found["myo"]["taken_pct"] == pytest.approx(300 / 7)
    assert math.isnan(found["rv"]["correct_pct"])
    assert found["rv"]["spurious_pct"] == 100.0
    assert found["all"]["flipped_pct"] == pytest.approx(400 / 15)
    assert found["all"]["spurious_pct"] == pytest.approx(200 / 16)


def test_laws(rng):
    reference, prediction = rng.integers(0, 4, size=(2, 6, 7, 3, 2)).astype(np.uint8)
    matrix = confusion(prediction, reference, largest=3)
    assert matrix.sum() == reference.size
    np.testing.assert_array_equal(confusion(reference, prediction, largest=3), matrix.T)
    for kinds in take_apart(matrix, STRUCTURES).values():
        told = kinds["correct_pct"] + kinds["flipped_pct"] + kinds["missed_pct"]
        assert told == pytest.approx(100)
    for label, name in STRUCTURES.items():
        assert dice_of(matrix, STRUCTURES)[name] == pytest.approx(
            dice(prediction, reference, label)
        )
    perfect = take_apart(confusion(reference, reference, largest=3), STRUCTURES)
    assert all(k["correct_pct"] == 100 and k["spurious_pct"] == 0 for k in perfect.values())


def test_confusing_two_structures_is_flipping_not_missing(rng):
    reference = rng.integers(0, 4, size=500).astype(np.uint8)
    swapped = np.array([0, 1, 3, 2], np.uint8)[reference]
    found = take_apart(confusion(swapped, reference, largest=3), STRUCTURES)
    for name in ("myo", "lv"):
        assert found[name]["flipped_pct"] == 100
        assert found[name]["missed_pct"] == 0
    assert found["rv"]["correct_pct"] == 100


def test_nothing_anywhere_is_undefined():
    nothing = np.zeros(5, np.uint8)
    assert all(
        math.isnan(v)
        for v in take_apart(confusion(nothing, nothing, largest=3), STRUCTURES)["all"].values()
    )
    assert all(
        math.isnan(v) for v in dice_of(confusion(nothing, nothing, largest=3), STRUCTURES).values()
    )
    with pytest.raises(ValueError, match="shapes differ"):
        confusion(nothing, nothing[:3], largest=3)
