"""Areas under the ROC curve: hand-computed, against scikit-learn, and how often intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from popscan.stats.auc import auc, interval, null_variance


def test_is_the_share_of_pairs_in_order():
    found = auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    assert found.value == 0.75
    # DeLong by hand: placements of positives 0.5, 1.0; of negatives 1.0, 0.5.
    assert found.variance == pytest.approx(0.125 / 2 + 0.125 / 2)


def test_agrees_with_scikit_learn_also_with_ties(rng):
    scores, positive = rng.normal(size=60).round(1), rng.random(60) < 0.4
    assert auc(scores, positive).value == pytest.approx(roc_auc_score(positive, scores))


def test_strata_are_compared_within():
    # Each stratum is in order; between them the scales differ.
    scores, strata = [1, 2, 101, 102], [0, 0, 1, 1]
    assert auc(scores, [False, True, False, True], strata).value == 1.0
    assert auc(scores, [False, True, False, True]).value == 0.75


def test_strata_without_a_pair_say_nothing():
    found = auc([1.0, 2.0, 3.0], [True, True, False], [0, 0, 1])
    assert math.isnan(found.value)
    assert all(math.isnan(limit) for limit in interval(found))
    assert math.isnan(null_variance([True, True]))


def test_null_variance_is_that_of_shuffled_labels(rng):
    positive = np.arange(30) < 12
    strata = np.arange(30) % 3
    values = []
    for _ in range(1200):
        scores = rng.normal(size=30)
        values.append(auc(scores, positive, strata).value)
    assert np.var(values) == pytest.approx(null_variance(positive, strata), rel=0.25)


def test_perfect_order_leaves_room_for_doubt():
    low, high = interval(auc([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]))
    assert high == 1.0
    assert 0.4 < low < 0.7
    low, high = interval(auc([6, 5, 4, 3, 2, 1], [0, 0, 0, 1, 1, 1]))
    assert low == 0.0
    assert 0.3 < high < 0.6


@pytest.mark.parametrize(("n", "m", "shift"), [(12, 12, 0.0), (15, 40, 0.8), (12, 12, 3.0)])
def test_intervals_cover(rng, n, m, shift):
    truth = stats.norm.cdf(shift / math.sqrt(2))
    positive = np.arange(n + m) < n
    covered = 0
    for _ in range(200):
        low, high = interval(auc(rng.normal(size=n + m) + shift * positive, positive))
        covered += low <= truth <= high
    # 95% nominal; four standard errors of 200 draws below it.
    assert covered / 200 > 0.89
