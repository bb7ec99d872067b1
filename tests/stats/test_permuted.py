"""Adjusted gaps of skewed outcomes in small groups, by permutation of residuals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.stats.adjust import METHODS
from popscan.stats.linear import Designs, LeastSquares
from popscan.stats.permuted import is_skewed, permuted_gap
from popscan.stats.problem import Problem
from popscan.stats.standardisation import _Contrast


def made(seed: int, *, gap: float = 0.0, skewed: bool = True, small: int = 15) -> Problem:
    """Return 150 subjects, few in the group; age lowers an outcome that is skewed or not."""
    rng = np.random.default_rng(seed)
    group = np.arange(150) < small
    age = rng.normal(size=150) + 0.3 * group
    error = rng.normal(size=150)
    y = (np.exp(error) if skewed else error) + 0.5 * age + gap * group
    return Problem(y=y, group=group, confounders=pd.DataFrame({"age_years": age}))


def test_many_outcomes_at_once_have_the_t_of_each_alone():
    problem = made(1)
    design = problem.designs.adjusted
    outcomes = np.random.default_rng(2).normal(size=(5, 150))
    fits = [design.fit(y) for y in outcomes]
    expected = [fit.params[1] / np.sqrt(fit.covariance[1, 1]) for fit in fits]
    np.testing.assert_allclose(design.t_of(1, outcomes), expected)


@pytest.mark.parametrize(
    ("method", "small"), [("regression", 15), ("unadjusted", 10), ("standardisation", 10)]
)
def test_a_skewed_outcome_of_a_small_group_is_no_chance_finding(method, small):
    """By Student's t 2 to 5% of these have a p below 0.005, and 8 to 14% one below 0.05."""
    p = np.array([METHODS[method](made(seed, small=small)).p for seed in range(120)])
    assert (p <= 0.05).mean() <= 0.11  # 0.05 and three standard errors
    assert (p <= 0.005).mean() <= 0.02


def test_standardised_gaps_do_not_depend_on_the_order_of_rows(rng):
    problem = made(4, gap=1.0)
    order = rng.permutation(150)
    again = Problem(
        y=problem.y[order], group=problem.group[order],
        confounders=problem.confounders.iloc[order].reset_index(drop=True),
    )  # fmt: skip
    first, second = (METHODS["standardisation"](one) for one in (problem, again))
    assert second.p == first.p
    assert second.ci_low == pytest.approx(first.ci_low)


def test_the_permuted_statistic_is_that_of_the_estimate():
    problem = made(6, gap=1.0)
    found, model = METHODS["standardisation"](problem), _Contrast(problem)
    assert model.t_of(model.y[None])[0] == pytest.approx(found.gap / found.se)


def test_ancova_of_a_group_that_scatters_more_finds_no_more_than_chance():
    """By equal variances a quarter of these have a p below 0.05."""
    found = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        group = np.arange(150) < 22
        age = rng.normal(size=150)
        y = rng.normal(size=150) * np.where(group, 2.0, 1.0) + age
        found.append(METHODS["ancova"](
            Problem(y=y, group=group, confounders=pd.DataFrame({"age_years": age}))
        ))  # fmt: skip
    assert np.mean([one.p <= 0.05 for one in found]) <= 0.11
    assert np.mean(["spreads differ" in one.note for one in found]) > 0.5


def test_what_ancova_takes_from_regression_is_that_of_regression():
    """The error, the interval and the p value, none of them mixed with its own."""
    taken = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = np.arange(80) < 12
        y = np.exp(rng.normal(size=80) * np.where(group, 0.6, 1.0)) + 0.5 * group
        age = pd.DataFrame({"age_years": rng.normal(size=80)})
        problem = Problem(y=y, group=group, confounders=age)
        found, robust = METHODS["ancova"](problem), METHODS["regression"](problem)
        if "those of regression" in found.note:
            taken += 1
            assert found.gap == robust.gap
            own, other = ((f.se, f.ci_low, f.ci_high, f.p) for f in (found, robust))
            assert own == other
    assert taken > 5


def test_intervals_hold_the_gap_and_agree_with_the_test():
    held, agree = [], []
    for seed in range(60):
        found = METHODS["regression"](made(seed, gap=1.0))
        held.append(found.ci_low <= 1.0 <= found.ci_high)
        agree.append((found.p <= 0.05) == (found.ci_low > 0 or found.ci_high < 0))
    assert np.mean(held) >= 0.9
    assert np.mean(agree) >= 0.9


def test_clear_gaps_have_small_p_and_the_same_bytes():
    first, again = (METHODS["regression"](made(3, gap=6.0)) for _ in range(2))
    assert first == again
    assert first.p < 1e-4


def test_symmetric_outcomes_large_groups_and_studies_are_not_permuted():
    rng = np.random.default_rng(1)
    group = np.arange(900) < 15
    assert not is_skewed(rng.normal(size=900), group)
    assert is_skewed(np.exp(rng.normal(size=900)), group)
    assert not is_skewed(rng.exponential(size=900), np.arange(900) < 450)
    assert not is_skewed(np.exp(rng.normal(size=1100)), np.arange(1100) < 15)
    assert not is_skewed(np.zeros(900), group)


def test_without_confounders_it_is_a_permutation_of_the_groups():
    problem = made(5, gap=0.8)
    design = Designs(problem.group, np.empty((150, 0))).raw
    found = permuted_gap(design, design.x[:, :1], problem.y, place=1, alpha=0.05)
    rng, observed = np.random.default_rng(9), design.t_of(1, problem.y[None])[0]
    drawn = design.t_of(1, np.array([rng.permutation(problem.y) for _ in range(4000)]))
    tails = (drawn >= observed).mean(), (drawn <= observed).mean()
    assert found.p == pytest.approx(2 * min(tails), abs=0.02)


def test_the_order_of_rows_changes_nothing(rng):
    group = np.arange(80) < 12
    y, age = rng.lognormal(size=80), rng.normal(size=80)
    order = rng.permutation(80)

    def permuted(of):
        design = LeastSquares(np.column_stack([np.ones(80), group[of], age[of]]).astype(float))
        without = np.column_stack([np.ones(80), age[of]])
        found = permuted_gap(design, without, y[of], place=1, alpha=0.05)
        return found.p, found.low, found.high

    assert permuted(order) == pytest.approx(permuted(np.arange(80)), rel=1e-9)
