"""Errors of least squares by subject, also of few subjects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.stats.adjust import METHODS
from popscan.stats.clustered import jackknife_covariance
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


def test_a_column_that_one_subject_alone_speaks_of_has_a_finite_error(rng):
    x, subjects = design(rng, np.full(12, 3))
    x[:, 2] = subjects == 4
    found = jackknife_covariance(x, rng.normal(size=len(x)), subjects)
    assert np.isfinite(found).all()
    assert np.isnan(jackknife_covariance(x[:3], x[:3, 1], np.zeros(3, dtype=int))).all()


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
