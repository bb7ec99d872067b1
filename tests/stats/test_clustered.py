"""Errors of least squares by subject, also of few subjects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.stats.adjust import METHODS, regression, unadjusted
from popscan.stats.clustered import jackknife_covariance, jackknife_freedom
from popscan.stats.problem import Problem


@pytest.fixture
def rng() -> np.random.Generator:
    """Always the same: shares of false positives are compared with limits."""
    return np.random.default_rng(7)


def design(rng, sizes):
    """Intercept and two columns that are the same in all rows of a subject."""
    subjects = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=(len(sizes), 2))[subjects]
    return np.column_stack([np.ones(len(subjects)), x]), subjects


def test_it_is_the_spread_of_what_is_left_without_one_subject(rng):
    sizes = rng.integers(1, 7, 25)
    x, subjects = design(rng, sizes)
    x[:, 1:] *= (1e-3, 1e4)
    y = rng.normal(size=len(x))
    whole = np.linalg.lstsq(x, y, rcond=None)[0]
    parts = [np.linalg.lstsq(x[subjects != i], y[subjects != i], rcond=None)[0] for i in range(25)]
    change = np.array(parts) - whole
    expected = 24 / 25 * change.T @ change
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    found = jackknife_covariance(x, y, subjects)
    np.testing.assert_allclose(found / size, expected / size, atol=1e-6)
    order = rng.permutation(len(x))
    again = jackknife_covariance(x[order], y[order], 100 - subjects[order])
    np.testing.assert_allclose(again / size, found / size, atol=1e-6)


@pytest.mark.parametrize("sizes", [np.full(10, 2), np.r_[30, np.full(14, 2)]])
def test_few_subjects_do_not_make_chance_significant(rng, sizes):
    """The usual sandwich finds something in 14 to 20% of these."""
    found = []
    for _ in range(500):
        x, subjects = design(rng, sizes)
        y = rng.normal(size=len(sizes))[subjects] + rng.normal(size=len(x))
        slope = np.linalg.lstsq(x, y, rcond=None)[0][1]
        se = np.sqrt(jackknife_covariance(x, y, subjects)[1, 1])
        found.append(2 * stats.t.sf(abs(slope) / se, len(sizes) - 1) <= 0.05)
    assert np.mean(found) <= 0.08  # 0.05 and three standard errors


@pytest.mark.parametrize("method", ["regression", "standardisation", "unadjusted"])
def test_gaps_of_few_subjects_with_visits_keep_their_level(rng, method):
    found = []
    for _ in range(200):
        subjects = np.repeat(np.arange(30), rng.integers(1, 6, 30))
        group = (rng.permutation(30) < 12)[subjects]
        age = rng.normal(size=30)[subjects]
        y = rng.normal(size=30)[subjects] + 0.5 * rng.normal(size=len(subjects))
        confounders = pd.DataFrame({"age_years": age})
        problem = Problem(y=y, group=group, confounders=confounders, clusters=subjects)
        found.append(METHODS[method](problem).p <= 0.05)
    assert np.mean(found) <= 0.10  # 0.05 and three standard errors


def test_errors_of_gaps_are_those_of_leaving_out_each_subject():
    rng = np.random.default_rng(3)
    subjects = np.repeat(np.arange(24), 3)
    group = (subjects % 3 == 0).astype(bool)
    age = rng.normal(60, 8, 24)[subjects] + rng.normal(size=72)
    y = rng.normal(size=24)[subjects] + rng.normal(size=72) + 0.1 * age + group
    problem = Problem(
        y=y, group=group, confounders=pd.DataFrame({"age": age}), clusters=subjects, alpha=0.05
    )
    for found, columns in (
        (regression(problem), [np.ones(72), group, age - age.mean()]),
        (unadjusted(problem), [np.ones(72), group]),
    ):
        x = np.column_stack(columns)
        whole = np.linalg.lstsq(x, y, rcond=None)[0]
        left = np.array(
            [
                np.linalg.lstsq(x[subjects != s], y[subjects != s], rcond=None)[0] - whole
                for s in range(24)
            ]
        )
        assert found.gap == pytest.approx(whole[1])
        assert found.se == pytest.approx(np.sqrt(23 / 24 * (left[:, 1] ** 2).sum()))


def test_freedom_is_from_the_expected_variance_and_its_spread(rng):
    """By matrices of all rows, with half of the variance between subjects."""
    sizes = rng.integers(1, 6, 25)
    x, subjects = design(rng, sizes)
    x = np.column_stack([x, subjects < 5, 50 + 9 * rng.normal(size=len(x))])
    bread, n = np.linalg.inv(x.T @ x), len(x)
    hat = x @ bread @ x.T
    errors = np.eye(n) + (subjects[:, None] == subjects)
    freedom = jackknife_freedom(x, subjects)
    for contrast in np.eye(x.shape[1]):
        changes = np.zeros((25, n))
        for i in range(25):
            own = np.flatnonzero(subjects == i)
            rest = np.linalg.inv(np.eye(len(own)) - hat[np.ix_(own, own)])
            changes[i, own] = rest @ x[own] @ bread @ contrast
        form = changes @ (np.eye(n) - hat)
        form = form @ errors @ form.T
        expected = np.trace(form) ** 2 / (form**2).sum()
        assert freedom(contrast) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("few", [3, 5])
def test_few_subjects_with_visits_on_one_side_keep_the_level(few):
    """With as many degrees of freedom as there are subjects, 9 to 14% of these are found."""
    found, rng = [], np.random.default_rng(11)
    for _ in range(400):
        subjects = np.repeat(np.arange(50), rng.integers(1, 6, 50))
        group = subjects < few
        y = rng.normal(size=50)[subjects] + 0.5 * rng.normal(size=len(subjects))
        age = pd.DataFrame({"age_years": rng.normal(size=50)[subjects]})
        problem = Problem(y=y, group=group, confounders=age, clusters=subjects)
        found.append(METHODS["regression"](problem).p <= 0.05)
    assert np.mean(found) <= 0.08  # 0.05 and three standard errors


def test_a_coefficient_that_rests_on_one_subject_has_no_error():
    rng = np.random.default_rng(5)
    subjects = np.repeat(np.arange(20), 2)
    x = np.column_stack([np.ones(40), subjects == 7, rng.normal(size=40)])
    covariance = jackknife_covariance(x, rng.normal(size=40), subjects)
    assert np.isnan(covariance[1, 1])
    assert np.isfinite(covariance[2, 2])
