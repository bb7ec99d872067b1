"""Ranks that are made once and shared, judged by scipy."""

import numpy as np
import pytest
from scipy import stats

from popscan.stats import several


@pytest.fixture
def rng():
    return np.random.default_rng(11)


VALUES = {
    "different": lambda rng, n: rng.normal(size=n),
    "ties": lambda rng, n: rng.integers(0, 4, n).astype(float),
    "yes or no": lambda rng, n: (rng.random(n) < 0.05).astype(float),
    "signed zeros": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, -0.0),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("n", [1, 2, 57])
def test_ranks_are_scipys(rng, kind, n):
    values = VALUES[kind](rng, n)
    found = several.ranked(values)
    np.testing.assert_array_equal(found.ranks, stats.rankdata(values))
    _, counts = np.unique(values, return_counts=True)
    assert found.ties == float((counts.astype(float) ** 3 - counts).sum())


@pytest.mark.parametrize("kind", ["different", "ties", "yes or no"])
def test_kruskal_is_scipys(rng, kind):
    parts = [VALUES[kind](rng, n) for n in (40, 9, 23)]
    assert several.kruskal(parts).p == pytest.approx(stats.kruskal(*parts).pvalue, rel=1e-12)


def test_equal_values_cannot_differ_and_nothing_cannot_be_compared():
    assert several.kruskal([np.ones(3), np.ones(4)]).p == 1.0
    assert np.isnan(several.kruskal([]).p)
    assert np.isnan(several.kruskal([np.empty(0), np.ones(2)]).p)
    assert several.dunn([]).shape == (0, 0)
    assert len(several.ranked(np.empty(0)).ranks) == 0
