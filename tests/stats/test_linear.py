"""Least squares with one decomposition for many outcomes, judged by statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm

from popscan.stats.linear import Designs, LeastSquares


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("n", [30, 400])
def test_fits_are_those_of_statsmodels(rng, n):
    group = rng.random(n) < 0.3
    designs = Designs(group, rng.normal(50.0, 9.0, (n, 3)))
    for design in (designs.raw, designs.adjusted, designs.slopes):
        for y in (rng.normal(size=n), (rng.random(n) < 0.2).astype(float), np.exp(9 * group)):
            fit = design.fit(y)
            judge = sm.OLS(y, design.x).fit(cov_type="HC3", use_t=True)
            np.testing.assert_allclose(fit.params, judge.params, rtol=1e-12, atol=1e-300)
            np.testing.assert_allclose(fit.covariance, judge.cov_params(), rtol=1e-9, atol=1e-300)
            assert fit.freedom == judge.df_resid


def test_wald_test_is_that_of_statsmodels(rng):
    group = rng.random(200) < 0.5
    design = Designs(group, rng.normal(size=(200, 2))).slopes
    y = rng.normal(size=200) + 0.4 * design.x[:, -1]
    judge = sm.OLS(y, design.x).fit(cov_type="HC3", use_t=True)
    wald = judge.wald_test(np.eye(design.x.shape[1])[-2:], use_f=True, scalar=True)
    assert design.fit(y).p_zero(2) == pytest.approx(float(np.squeeze(wald.pvalue)), rel=1e-12)


def test_sides_hold_their_own_rows(rng):
    group = np.array([True, False, True, False, False])
    designs = Designs(group, rng.normal(size=(5, 1)))
    assert len(designs.inside.x) == 2
    assert len(designs.outside.x) == 3
    np.testing.assert_array_equal(designs.inside.x, designs.everybody[[0, 2]])


def test_a_repeated_column_is_noticed(rng):
    column = rng.normal(size=(50, 1))
    x = np.column_stack([np.ones(50), column])
    assert LeastSquares(x).full_rank
    assert not LeastSquares(np.column_stack([x, 2 * column])).full_rank
