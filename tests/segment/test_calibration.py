"""Calibration against probabilities whose truth is known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.segment.calibration import (
    Reliability,
    binary_entropy_pct,
    by_structure,
    calibration_error,
    fit_temperature,
    log_loss,
    qu_brats,
    reliability,
    surroundings,
    temperature_of,
    tempered,
)


def test_reliability_by_hand():
    found = reliability([0.05, 0.15, 0.16, 0.95, 1.0], [0, 1, 0, 1, 1], bins=10)
    np.testing.assert_array_equal(found.count[[0, 1, 9]], [1, 2, 2])
    np.testing.assert_allclose(found.mean_confidence[[0, 1, 9]], [0.05, 0.155, 0.975])
    np.testing.assert_allclose(found.frequency[[0, 1, 9]], [0, 0.5, 1])
    assert math.isnan(found.frequency[5])
    # (|0.05 - 0| + |0.31 - 1| + |1.95 - 2|) / 5
    assert calibration_error(found) == pytest.approx((0.05 + 0.69 + 0.05) / 5)


def test_pooling_is_adding(rng):
    p, y = rng.random(1000), rng.random(1000) < 0.3
    whole = reliability(p, y)
    parts = reliability(p[:300], y[:300]) + reliability(p[300:], y[300:])
    assert isinstance(parts, Reliability)
    np.testing.assert_allclose(parts.hits, whole.hits)
    assert calibration_error(parts) == pytest.approx(calibration_error(whole))
    assert math.isnan(calibration_error(reliability([], [])))
    with pytest.raises(ValueError, match="shapes differ"):
        reliability([0.5], [1, 0])


def test_truth_drawn_from_the_probabilities_is_calibrated(rng):
    p = rng.dirichlet([1, 1, 1, 1], size=100_000)
    y = (p.cumsum(axis=1) > rng.random((100_000, 1))).argmax(axis=1)
    for name, found in by_structure(p, y, structures=STRUCTURES).items():
        assert calibration_error(found) < 0.01, name
    assert fit_temperature(p, y) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_temperature_is_found_again(true, rng):
    logits = rng.normal(size=(60_000, 4)) * 3
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = tempered(p, true)
    y = (right.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
    found = fit_temperature(p, y)
    assert found == pytest.approx(true, rel=0.04)
    assert log_loss(p, y, found) <= log_loss(p, y)
    before, after = (
        by_structure(q, y, structures=STRUCTURES)["lv"] for q in (p, tempered(p, found))
    )
    if true != 1.0:
        assert calibration_error(after) < 0.3 * calibration_error(before)


def test_nothing_to_fit_on():
    assert fit_temperature(np.empty((0, 4)), np.empty(0)) == 1.0
    assert math.isnan(log_loss(np.empty((0, 4)), np.empty(0)))
    assert temperature_of({}) == 1.0
    about = {"calibration": {"temperature": 1.5, "temperature_flips": 1.25}}
    assert temperature_of(about) == 1.5
    assert temperature_of(about, flips=True) == 1.25


def test_surroundings_are_measured_in_mm_and_in_plane():
    labels = np.zeros((21, 21, 3), np.uint8)
    labels[10, 10, 1] = Label.LV
    near = surroundings([labels], spacing_mm=(2.0, 1.0, 8.0), margin_mm=4.0)
    assert not near[..., [0, 2]].any()
    assert near[10, 6:15, 1].all()
    assert not near[10, [5, 15], 1].any()
    assert near[8:13, 10, 1].all()
    assert not near[[7, 13], 10, 1].any()
    other = np.zeros_like(labels)
    other[0, 0, 2] = Label.RV
    assert surroundings([labels, other], spacing_mm=(2, 1, 8))[0, 0, 2]


def test_binary_entropy():
    np.testing.assert_allclose(binary_entropy_pct([0, 0.5, 1]), [0, 100, 0], atol=1e-3)
    assert binary_entropy_pct([0.11])[0] == pytest.approx(50, abs=0.2)


class TestQuBrats:
    """Ten voxels: four true positives, five true negatives, one false positive."""

    reference = np.array([1] * 4 + [0] * 6, bool)
    prediction = np.array([1] * 4 + [0] * 5 + [1], bool)

    def test_doubt_where_it_is_wrong_is_the_best(self):
        found = qu_brats(
            self.prediction, self.reference, np.array([0] * 9 + [100.0]), thresholds=101
        )
        # Only the last threshold (100) lets the false positive in: Dice 1, then 8 / 9.
        assert found["dice_auc"] == pytest.approx(1 - (1 / 9) / 2 / 100)
        assert found["lost_tp_auc"] == found["lost_tn_auc"] == 0
        assert found["score"] == pytest.approx((found["dice_auc"] + 2) / 3)

    def test_doubt_of_everything_is_fined(self):
        found = qu_brats(self.prediction, self.reference, np.full(10, 50.0), thresholds=101)
        # Below 50 all is lost, and the empty rest counts as Dice 1; from 50 on nothing is lost.
        assert found["lost_tp_auc"] == found["lost_tn_auc"] == pytest.approx(0.495)
        assert found["dice_auc"] == pytest.approx(0.495 + 0.005 * 8 / 9 + 0.5 * 8 / 9, abs=1e-3)

    def test_doubt_of_nothing_keeps_the_plain_dice(self):
        found = qu_brats(self.prediction, self.reference, np.zeros(10))
        assert found["score"] == pytest.approx((8 / 9 + 2) / 3)

    def test_nothing_right_has_no_score(self):
        found = qu_brats(~self.reference, self.reference, np.zeros(10))
        assert math.isnan(found["score"])
