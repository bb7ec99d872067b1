"""Bootstrap draws against the closed forms of what they estimate."""

import numpy as np
import pytest
from scipy import stats

from popscan.stats import intervals
from popscan.stats.means import moments, rows_from_values
from popscan.stats.resample import (
    _different_columns,
    group_draws,
    quantile_draws,
    sum_draws,
    sums_draws,
)
from popscan.stats.weights import _weight_table


@pytest.mark.parametrize("n", [40, 3000])
def test_draws_have_the_bootstrap_mean_and_variance(rng, n):
    values = rng.gamma(2.0, size=(n, 2))
    draws = group_draws(rows_from_values(values), [np.zeros(n, int)], n_boot=4000, seed=1)[0][0]
    expected_sd = values.std(axis=0) / np.sqrt(n)
    np.testing.assert_allclose(draws.mean.std(axis=0), expected_sd, rtol=0.06)
    np.testing.assert_allclose(
        draws.mean.mean(axis=0), values.mean(axis=0), atol=6 * expected_sd.max() / np.sqrt(4000)
    )


def test_both_engines_agree(rng):
    values = rng.beta(20, 2, size=(900, 1))
    codes = [np.zeros(900, int)]
    rows = rows_from_values(values)
    ordinary = group_draws(rows, codes, n_boot=8000, seed=1)[0][0].mean[:, 0]
    weighted = group_draws(rows, codes, n_boot=8000, seed=1, exact_below=0)[0][0].mean[:, 0]
    for q in (2.5, 50, 97.5):
        a, b = np.percentile(ordinary, q), np.percentile(weighted, q)
        assert abs(a - b) < 0.2 * ordinary.std()


def test_weights_have_mean_and_variance_one_exactly():
    table = _weight_table().astype(np.float64)
    assert len(table) == 65536
    assert table.mean() == 1.0
    assert table.var() == 1.0


def test_missing_values_are_left_out(rng):
    values = rng.normal(size=(60, 2))
    values[:30, 1] = np.nan
    codes = np.zeros(60, int)
    with_gaps = group_draws(rows_from_values(values), [codes], n_boot=2000, seed=3)[0][0]
    assert np.isfinite(with_gaps.mean).all()
    expected = values[30:, 1].std() / np.sqrt(30)
    assert with_gaps.mean[:, 1].std() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_same_seed_same_draws_and_names_do_not_matter(rng, exact_below):
    values = rng.normal(size=(90, 3))
    codes = rng.integers(0, 3, size=90)
    rows = rows_from_values(values)
    options = {"n_boot": 50, "seed": 5, "exact_below": exact_below}
    first = group_draws(rows, [codes], **options)[0]
    renamed = group_draws(rows, [(codes + 1) % 3], **options)[0]
    for code in range(3):
        np.testing.assert_array_equal(first[code].mean, renamed[(code + 1) % 3].mean)


def test_repeated_scans_do_not_make_the_interval_shorter(rng):
    subjects = rng.normal(size=200)
    values = np.repeat(subjects, 5)
    clusters = np.repeat(np.arange(200), 5)
    once = moments(rows_from_values(subjects))
    repeated = moments(rows_from_values(values, clusters))
    assert repeated.se[0] == pytest.approx(once.se[0])
    assert repeated.mean[0] == pytest.approx(once.mean[0])
    draws = group_draws(
        rows_from_values(values, clusters), [np.zeros(200, int)], n_boot=3000, seed=0
    )[0][0]
    assert draws.mean.std() == pytest.approx(once.se[0], rel=0.08)


def test_shared_weights_correlate_groups_that_share_subjects(rng):
    subject = rng.normal(size=400)
    values = np.concatenate([subject, subject + 1.0])[:, None]
    codes = np.repeat([0, 1], 400)
    clusters = np.tile(np.arange(400), 2)
    draws = group_draws(rows_from_values(values), [codes], n_boot=400, seed=0, clusters=clusters)[0]
    gap = draws[1].mean - draws[0].mean
    np.testing.assert_allclose(gap, 1.0, atol=1e-5)


@pytest.mark.parametrize(("n", "level"), [(7, 0.5), (8, 0.5), (30, 0.1), (5, 1.0)])
def test_quantile_draws_follow_the_resampled_quantile(rng, n, level):
    values = np.sort(rng.normal(size=n))
    drawn = quantile_draws(values, level, n_boot=20_000, rng=rng)
    resampled = np.quantile(values[rng.integers(0, n, size=(20_000, n))], level, axis=1)
    assert stats.ks_2samp(np.round(drawn, 9), np.round(resampled, 9)).statistic < 0.025


def test_bca_is_antisymmetric_and_percentile_without_correction(rng):
    draws = rng.gamma(3.0, size=(999, 2))
    low, high = intervals.bca(draws, [3.0, 2.5], [0.05, 0.0], alpha=0.05)
    neg_low, neg_high = intervals.bca(-draws, [-3.0, -2.5], [-0.05, 0.0], alpha=0.05)
    np.testing.assert_allclose(neg_low, -high)
    np.testing.assert_allclose(neg_high, -low)
    centre = np.median(draws, axis=0)
    plain = intervals.percentile(draws, alpha=0.05)
    np.testing.assert_allclose(intervals.bca(draws, centre, [0.0, 0.0], alpha=0.05), plain)


def test_bca_agrees_with_scipy(rng):
    values = rng.gamma(1.5, size=50)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", random_state=np.random.default_rng(0)
    ).confidence_interval
    rows = rows_from_values(values)
    moment = moments(rows)
    draws = group_draws(rows, [np.zeros(50, int)], n_boot=9999, seed=0)[0][0]
    low, high = intervals.bca(
        draws.mean, moment.mean, moment.third / (6 * moment.second**1.5), alpha=0.05
    )
    assert low[0] == pytest.approx(theirs.low, abs=0.25 * moment.se[0])
    assert high[0] == pytest.approx(theirs.high, abs=0.25 * moment.se[0])


def test_studentised_interval_of_a_flat_sample_is_its_value():
    draws = group_draws(rows_from_values(np.full(20, 0.9)), [np.zeros(20, int)], n_boot=99, seed=0)
    low, high = intervals.studentised(
        draws[0][0].mean, draws[0][0].se, np.array([0.9]), np.array([0.0]), alpha=0.05
    )
    assert (low[0], high[0]) == (0.9, 0.9)


def test_median_interval_matches_its_own_draws(rng):
    values = np.sort(rng.normal(size=201))
    draws = quantile_draws(values, 0.5, n_boot=40_000, rng=rng)
    low, high = intervals.median(values, alpha=0.05)
    assert (draws < low).mean() == pytest.approx(0.025, abs=0.01)
    assert (draws > high).mean() == pytest.approx(0.025, abs=0.01)


def test_tables_of_the_same_rows_are_drawn_as_each_alone(rng):
    tables = [rng.normal(size=(90, c)) for c in (1, 5, 3)]
    codes = np.array([0, 1, -1] * 30)
    for exact_below in (10, 1000):
        options = {"n_boot": 40, "seed": 4, "exact_below": exact_below}
        for table, together in zip(tables, sums_draws(tables, codes, **options), strict=True):
            alone = sum_draws(table, codes, **options)
            assert set(together) == {0, 1} == set(alone)
            for code, drawn in alone.items():
                np.testing.assert_array_equal(together[code], drawn)


def test_different_columns_are_those_of_numpy(rng):
    counts = rng.integers(0, 2, (30, 5)).astype(float)[:, [3, 0, 3, 1, 1, 4, 0, 2]]
    different, which = _different_columns(counts)
    expected, places = np.unique(counts, axis=1, return_inverse=True)
    np.testing.assert_array_equal(different, expected)
    np.testing.assert_array_equal(which, places.reshape(-1))
