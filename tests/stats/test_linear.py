"""Least squares with one decomposition for many outcomes, judged by statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

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


def test_wald_test_is_that_of_statsmodels(rng):
    group = rng.random(200) < 0.5
    design = Designs(group, rng.normal(size=(200, 2))).slopes
    y = rng.normal(size=200) + 0.4 * design.x[:, -1]
    judge = sm.OLS(y, design.x).fit(cov_type="HC3", use_t=True)
    wald = judge.wald_test(np.eye(design.x.shape[1])[-2:], use_f=True, scalar=True)
    fit = design.fit(y)
    freedom = min(fit.freedom_of(-1), fit.freedom_of(-2))
    hotelling = float(np.squeeze(wald.statistic)) * (freedom - 1) / freedom
    assert fit.p_zero(2) == pytest.approx(stats.f.sf(hotelling, 2, freedom - 1), rel=1e-12)
    assert fit.p_zero(2) > float(np.squeeze(wald.pvalue))


def test_degrees_of_freedom_are_those_of_r():
    """From the tests of the R package dfadjust 1.0 (Kolesár): HC2, ``lm(y ~ x)``."""
    x = np.column_stack([np.ones(10), np.sin(np.arange(1, 11)), np.sin(np.arange(2, 12))])
    design = LeastSquares(x, robust="HC2")
    found = [design.freedom(contrast) for contrast in np.eye(3)]
    np.testing.assert_allclose(found, [4.94624731, 3.90754737, 4.77265484], atol=1e-8)
    fit = design.fit(np.arange(1.0, 11.0))
    judge = sm.OLS(np.arange(1.0, 11.0), x).fit(cov_type="HC2")
    np.testing.assert_allclose(fit.covariance, judge.cov_params(), rtol=1e-9)


@pytest.mark.parametrize(("n", "m"), [(5, 145), (15, 135), (40, 40)])
def test_two_means_have_the_freedom_of_welch_with_equal_spreads(n, m):
    """The closed form of Imbens and Kolesár (2016): Welch's with one variance."""
    group = np.repeat([True, False], [n, m])
    freedom = LeastSquares(Designs(group, np.empty((n + m, 0))).raw.x, robust="HC2").freedom(
        np.array([0.0, 1.0])
    )
    welch = (1 / n + 1 / m) ** 2 / (1 / (n**2 * (n - 1)) + 1 / (m**2 * (m - 1)))
    assert freedom == pytest.approx(welch)


@pytest.mark.parametrize("robust", ["HC0", "HC1", "HC2", "HC3"])
def test_freedom_is_from_the_eigenvalues_of_the_variance(rng, robust):
    x = np.column_stack([np.ones(40), np.arange(40) < 6, rng.normal(50, 9, (40, 2))]).astype(float)
    hat = x @ np.linalg.pinv(x)
    power = {"HC2": 0.5, "HC3": 1.0}.get(robust, 0.0)
    weights = np.linalg.pinv(x)[1] / (1 - np.diag(hat)) ** power
    form = (np.eye(40) - hat) @ np.diag(weights**2) @ (np.eye(40) - hat)
    sizes = np.linalg.eigvalsh(form)
    design = LeastSquares(x, robust=robust)
    expected = sizes.sum() ** 2 / (sizes**2).sum()
    assert design.freedom(np.eye(4)[1]) == pytest.approx(expected, rel=1e-8)
    judge = sm.OLS(x[:, 2] ** 2, x).fit(cov_type=robust)
    np.testing.assert_allclose(design.fit(x[:, 2] ** 2).covariance, judge.cov_params(), rtol=1e-6)


def test_a_coefficient_that_rests_on_one_row_has_no_error(rng):
    x = np.column_stack([np.ones(60), np.arange(60) == 7, rng.normal(size=60)]).astype(float)
    fit = LeastSquares(x).fit(rng.normal(size=60))
    assert np.isnan(fit.covariance[1, 1])
    without = LeastSquares(np.delete(x, 7, axis=0)[:, [0, 2]])
    assert np.isfinite(fit.covariance[2, 2])
    assert fit.freedom_of(2) == pytest.approx(without.freedom(np.array([0.0, 1.0])))


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
