"""Repeatability against textbook numbers, analytic truth, and a mixed model of statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from popscan.stats.precision import limits_of_agreement, repeatability

#: Six targets, four judges: Shrout and Fleiss 1979, table 2.
SHROUT = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def draw(rng: np.random.Generator, n: int, visits: int, *, between: float, within: float):
    subjects = np.repeat(np.arange(n), visits)
    values = 60 + np.repeat(rng.normal(0, between, n), visits) + rng.normal(0, within, n * visits)
    return values, subjects


def test_intraclass_correlation_of_the_paper() -> None:
    found = repeatability(SHROUT.ravel(), np.repeat(np.arange(6), 4))
    assert found.icc == pytest.approx(0.17, abs=0.005)
    assert (found.icc_low, found.icc_high) == pytest.approx((-0.13, 0.72), abs=0.006)
    assert (found.n_subjects, found.n_values) == (6, 24)


def test_within_subject_sd_is_that_of_a_mixed_model(rng: np.random.Generator) -> None:
    values, subjects = draw(rng, 60, 2, between=8.0, within=2.0)
    found = repeatability(values, subjects)
    table = pd.DataFrame({"value": values, "subject": subjects})
    model = smf.mixedlm("value ~ 1", table, groups="subject").fit(reml=True)
    assert found.sd_within == pytest.approx(np.sqrt(model.scale), rel=1e-3)
    variance = float(model.cov_re.iloc[0, 0])
    assert found.icc == pytest.approx(variance / (variance + model.scale), abs=2e-3)


def test_two_visits_agree_with_the_sd_of_differences(rng: np.random.Generator) -> None:
    values, subjects = draw(rng, 50, 2, between=8.0, within=2.0)
    first, second = values[::2], values[1::2]
    squares = np.mean((second - first) ** 2) / 2
    assert repeatability(values, subjects).sd_within == pytest.approx(np.sqrt(squares))
    found = limits_of_agreement(first, second)
    test = stats.ttest_rel(second, first)
    interval = test.confidence_interval(0.95)
    assert (found.bias_low, found.bias_high) == pytest.approx((interval.low, interval.high))
    assert (found.loa_high - found.loa_low) / 2 == pytest.approx(1.96 * found.sd)


@pytest.mark.slow
def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = np.zeros(4)
    for _ in range(400):
        values, subjects = draw(rng, 25, 2, between=6.0, within=3.0)
        values[1::2] += 1.5
        exact = values.copy()
        exact[1::2] -= 1.5
        same = repeatability(exact, subjects)
        pair = limits_of_agreement(values[::2], values[1::2])
        truth = 1.5 + 1.96 * 3 * np.sqrt(2)
        held += [
            same.sd_within_low < 3 < same.sd_within_high,
            same.icc_low < 36 / 45 < same.icc_high,
            pair.bias_low < 1.5 < pair.bias_high,
            abs(pair.loa_high - truth) < pair.loa_margin,
        ]
    low, high = stats.binom.ppf([0.0005, 0.9995], 400, 0.95)
    assert np.all(held >= low), held
    assert np.all(held <= high), held


def test_subjects_may_have_any_number_of_visits_and_holes(rng: np.random.Generator) -> None:
    values, subjects = draw(rng, 40, 3, between=8.0, within=2.0)
    values[5] = np.nan
    once = np.append(values, [1e6]), np.append(subjects, [999])
    found = repeatability(*once)
    assert (found.n_subjects, found.n_values) == (40, 119)
    assert found.mean == pytest.approx(np.nanmean(values))
    order = rng.permutation(len(once[0]))
    assert repeatability(once[0][order], once[1][order]).icc == pytest.approx(found.icc)


def test_scaling_and_shifting_do_what_they_must(rng: np.random.Generator) -> None:
    values, subjects = draw(rng, 30, 2, between=8.0, within=2.0)
    base, scaled, shifted = (repeatability(v, subjects) for v in (values, 3 * values, values + 50))
    assert scaled.sd_within == pytest.approx(3 * base.sd_within)
    assert scaled.icc == pytest.approx(base.icc)
    assert scaled.cov_pct == pytest.approx(base.cov_pct)
    assert shifted.sd_within == pytest.approx(base.sd_within)
    swapped = limits_of_agreement(values[1::2], values[::2])
    assert swapped.bias == pytest.approx(-limits_of_agreement(values[::2], values[1::2]).bias)


def test_a_difference_that_grows_with_the_value_is_seen(rng: np.random.Generator) -> None:
    first = rng.uniform(50, 150, 80)
    second = 1.1 * first + rng.normal(0, 1, 80)
    found = limits_of_agreement(first, second)
    assert found.slope == pytest.approx(0.1 / 1.05, abs=0.025)
    assert found.slope_p < 1e-6


def test_what_can_be_negative_has_no_coefficient_of_variation(rng: np.random.Generator) -> None:
    values, subjects = draw(rng, 30, 2, between=8.0, within=2.0)
    assert np.isnan(repeatability(values - 60, subjects).cov_pct)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_subjects_say_nothing(n: int) -> None:
    values, subjects = np.arange(2.0 * n), np.repeat(np.arange(n), 2)
    found = repeatability(values, subjects)
    assert found.n_subjects == n
    assert np.isnan([found.sd_within, found.icc, found.mean]).all()
    pair = limits_of_agreement(values[::2], values[1::2])
    assert pair.n == n
    assert np.isnan(pair.bias)


def test_measurements_that_repeat_exactly() -> None:
    values, subjects = np.repeat([1.0, 2.0, 3.0, 4.0], 2), np.repeat(np.arange(4), 2)
    found = repeatability(values, subjects)
    assert (found.sd_within, found.icc, found.repeatability) == (0.0, 1.0, 0.0)
    pair = limits_of_agreement(values[::2], values[1::2])
    assert (pair.bias, pair.sd) == (0.0, 0.0)
    assert np.isnan(pair.slope)
