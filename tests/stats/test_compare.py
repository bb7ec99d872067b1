"""Tests and effect sizes against scipy, statsmodels and hand-computed cases."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import multitest
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.proportion import confint_proportions_2indep

from popscan.records import PopscanError
from popscan.stats import compare, effects, intervals, multiplicity, permute, several
from popscan.stats.means import moments, rows_from_values


def test_welch_is_scipys(rng):
    a, b = rng.normal(size=23), rng.normal(0.4, 3, size=51)
    ours = permute.welch(rows_from_values(a), rows_from_values(b))
    assert ours.p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_permutation_agrees_with_scipy_and_is_symmetric(rng):
    a, b = rng.gamma(2, size=15), rng.gamma(2, size=40) + 0.8
    rows = rows_from_values(a), rows_from_values(b)

    def statistic(x, y, axis):
        return stats.ttest_ind(x, y, equal_var=False, axis=axis).statistic

    theirs = stats.permutation_test(
        (a, b), statistic, vectorized=True, n_resamples=9999, random_state=np.random.default_rng(1)
    ).pvalue
    ours = permute.permutation(*rows, rng=np.random.default_rng(0)).p
    swapped = permute.permutation(*rows[::-1], rng=np.random.default_rng(0)).p
    assert ours == swapped
    # Each is twice a share of draws: 1,999 of them here (more where p is small), 9,999 there.
    tail = max(theirs / 2, 1e-4)
    error = 2 * np.sqrt(tail * (1 - tail) * (1 / 1999 + 1 / 9999))
    assert ours == pytest.approx(theirs, abs=4.5 * error)


def test_permutation_counts_all_splits_of_a_tiny_sample():
    # 3 against 3 with complete separation: 2 of 20 splits are as extreme, in either direction
    rows = rows_from_values([1.0, 2.0, 3.0]), rows_from_values([11.0, 12.0, 13.0])
    p = permute.permutation(*rows, rng=np.random.default_rng(0)).p
    assert p == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("n", "k"), [(10, 3), (10, 10), (400, 6), (50, 12)])
def test_subsets_are_distinct_and_uniform(rng, n, k):
    drawn = permute.subsets(n, k, 4000, rng=rng)
    assert drawn.shape == (4000, k)
    assert all(len(set(row)) == k for row in drawn)
    counts = np.bincount(drawn.ravel(), minlength=n)
    expected = 4000 * k / n
    spread = np.sqrt(expected * max(1 - k / n, 1e-9))
    assert np.abs(counts - expected).max() <= 5.5 * spread + 1e-6


def test_proportions_and_rank_tests_are_scipys(rng):
    table = [[30, 70], [50, 60]]
    p = stats.chi2_contingency(table, correction=False).pvalue
    assert compare.proportions(30, 100, 50, 110) == permute.PValue(p=p, name="chi-squared")
    few = compare.proportions(1, 20, 9, 30)
    assert few.name == "fisher exact"
    assert few.p == pytest.approx(stats.fisher_exact([[1, 19], [9, 21]]).pvalue)
    a, b = rng.normal(size=30), rng.normal(size=40)
    assert several.mann_whitney(a, b).p == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    assert several.kruskal([a, b, a[:0]]).p == pytest.approx(stats.kruskal(a, b).pvalue)


def test_degenerate_comparisons_are_nan_or_one():
    empty, one = rows_from_values([]), rows_from_values([1.0])
    flat = rows_from_values([1.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    assert np.isnan(permute.welch(one, flat).p)
    assert np.isnan(permute.permutation(empty, flat, rng=rng).p)
    assert permute.welch(flat, flat).p == 1.0
    assert permute.permutation(flat, flat, rng=rng).p == 1.0
    assert compare.proportions(0, 5, 0, 9).p == 1.0
    assert np.isnan(compare.proportions(0, 0, 0, 9).p)
    assert several.homogeneity([0, 0], [5, 9]).p == 1.0
    assert np.isnan(several.homogeneity([1, 0], [5, 0]).p)
    assert np.isnan(several.kruskal([np.ones(3)]).p)


def test_null_p_values_are_uniform_for_skewed_unbalanced_groups():
    rng = np.random.default_rng(7)
    ps = []
    for i in range(200):
        a, b = 1 - rng.beta(1, 12, size=12), 1 - rng.beta(1, 12, size=60)
        rows = rows_from_values(a), rows_from_values(b)
        ps.append(compare.mean_test(*rows, rng=np.random.default_rng(i)).p)
    assert stats.kstest(ps, "uniform").pvalue > 0.01


def test_hedges_g_by_hand():
    # means 3 and 1, both variances 1, 4 degrees of freedom: g = 2 * 0.797885
    a, b = np.array([2.0, 3.0, 4.0]), np.array([0.0, 1.0, 2.0])
    assert effects.hedges_g(a, b) == pytest.approx(2 * 0.7978845608, rel=1e-9)
    assert effects.hedges_g(b, a) == -effects.hedges_g(a, b)
    assert np.isnan(effects.hedges_g(a[:1], b))


def test_cliffs_delta_counts_pairs(rng):
    a, b = rng.integers(0, 6, 40).astype(float), rng.integers(1, 7, 30).astype(float)
    pairs = np.sign(a[:, None] - b[None, :]).mean()
    assert effects.cliffs_delta(a, b) == pytest.approx(pairs)
    assert effects.cliffs_delta(b, a) == pytest.approx(-pairs)


@pytest.mark.parametrize(("n", "m"), [(20, 20), (100, 200), (500, 400)])
def test_detectable_gap_has_the_power_it_claims(n, m):
    gap = effects.min_detectable_gap(1 / np.sqrt(n), n, 1 / np.sqrt(m), m, alpha=0.05)
    power = TTestIndPower().power(float(gap), n, 0.05, ratio=m / n)
    assert power == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("counts", [(3, 20, 10, 200), (50, 80, 30, 90), (0, 12, 4, 40)])
def test_risk_difference_is_newcombes(counts):
    ours = intervals.risk_difference(*counts, alpha=0.05)
    theirs = confint_proportions_2indep(*counts, compare="diff", method="newcomb")
    assert ours == pytest.approx([float(t) for t in theirs], abs=1e-9)


@pytest.mark.parametrize("counts", [(3, 20, 10, 200), (50, 80, 30, 90), (19, 20, 199, 200)])
def test_risk_ratio_is_close_to_the_score_interval(counts):
    ours = np.log(intervals.risk_ratio(*counts, alpha=0.05))
    theirs = np.log(confint_proportions_2indep(*counts, compare="ratio", method="score"))
    width = theirs[1] - theirs[0]
    assert np.abs(ours - theirs).max() < 0.2 * width


def test_risk_ratio_inverts_when_groups_swap_and_survives_zeros():
    low, high = intervals.risk_ratio(3, 20, 10, 200, alpha=0.05)
    swapped = intervals.risk_ratio(10, 200, 3, 20, alpha=0.05)
    assert swapped == pytest.approx((1 / high, 1 / low))
    assert intervals.risk_ratio(0, 20, 5, 20, alpha=0.05)[0] == 0.0
    assert intervals.risk_ratio(5, 20, 0, 20, alpha=0.05)[1] == np.inf
    assert np.isnan(intervals.risk_ratio(0, 20, 0, 20, alpha=0.05)).all()
    assert intervals.risk_ratio(20, 20, 200, 200, alpha=0.05)[0] < 0.9


def test_correction_by_hand_and_per_family():
    p = [0.01, 0.04, 0.03, np.nan]
    np.testing.assert_allclose(multiplicity.adjust(p, method="holm"), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(multiplicity.adjust(p, method="bh"), [0.03, 0.04, 0.04, np.nan])
    split = multiplicity.adjust(p, method="holm", family=["a", "b", "b", "b"])
    np.testing.assert_allclose(split, [0.01, 0.06, 0.06, np.nan])
    with pytest.raises(PopscanError, match="use one of"):
        multiplicity.adjust(p, method="bonferoni")


def test_corrections_are_those_of_statsmodels(rng):
    p = np.round(rng.random(40) ** 3, 3)
    p[:2] = 0.0
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")):
        expected = multitest.multipletests(p, method=theirs)[1]
        np.testing.assert_array_equal(multiplicity.adjust(p, method=ours), expected)


def test_moments_of_plain_values_are_the_ordinary_ones(rng):
    values = rng.normal(size=(40, 2))
    values[0, 0] = np.nan
    found = moments(rows_from_values(values))
    np.testing.assert_allclose(found.mean, np.nanmean(values, axis=0))
    np.testing.assert_allclose(found.se, stats.sem(values, axis=0, nan_policy="omit"))
    assert np.isnan(moments(rows_from_values(np.empty((0, 2)))).mean).all()


def test_permutation_interval_is_students_for_normal_values_and_antisymmetric():
    rng = np.random.default_rng(4)
    a, b = rng.normal(1, 1, 30), rng.normal(0, 1, 45)
    rows = rows_from_values(a), rows_from_values(b)
    low, high = permute.permutation_interval(*rows, alpha=0.05, rng=np.random.default_rng(0))
    swapped = permute.permutation_interval(*rows[::-1], alpha=0.05, rng=np.random.default_rng(0))
    assert (low, high) == pytest.approx((-swapped[1], -swapped[0]))
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert low == pytest.approx(theirs.low, abs=0.05)
    assert high == pytest.approx(theirs.high, abs=0.05)
    flat = rows_from_values(np.ones(5)), rows_from_values(np.zeros(4))
    assert permute.permutation_interval(*flat, alpha=0.05, rng=rng) == (1.0, 1.0)


def test_permutation_interval_covers_where_the_bootstrap_does_not():
    rng = np.random.default_rng(9)
    hit = 0
    for i in range(200):
        a, b = (np.where(rng.random(n) < 0.02, 0.3, 1 - rng.beta(1.5, 14, n)) for n in (20, 400))
        rows = rows_from_values(a), rows_from_values(b)
        low, high = permute.permutation_interval(*rows, alpha=0.05, rng=np.random.default_rng(i))
        hit += low <= 0 <= high
    assert 0.91 <= hit / 200 <= 0.985


def test_groups_that_scatter_differently_are_not_permuted_alone(rng):
    narrow = rows_from_values(rng.normal(0, 1, 200))
    wide = rows_from_values(rng.normal(0, 6, 60))
    found = compare.mean_test(wide, narrow, rng=np.random.default_rng(0))
    permuted = permute.permutation(wide, narrow, rng=np.random.default_rng(0))
    assert compare.spreads_differ(wide, narrow)
    assert found.p == max(permuted.p, permute.welch(wide, narrow).p)
    assert not compare.spreads_differ(narrow, narrow)
    flat = rows_from_values(np.ones(20))
    assert not compare.spreads_differ(flat, flat)
