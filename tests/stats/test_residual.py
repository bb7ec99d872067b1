"""The residual method: as statsmodels fits it, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from popscan.stats.residual import MIN_REFERENCE, residual_adjusted, size_slope


@pytest.fixture
def people(rng):
    icv = rng.normal(1500, 130, 120)
    effect = rng.normal(0, 0.3, 120)
    return icv, effect, 2 + 0.004 * icv + effect


def test_slope_and_interval_are_those_of_statsmodels(people):
    icv, _, volume = people
    line = size_slope(volume, icv)
    fitted = sm.OLS(volume, sm.add_constant(icv)).fit()
    assert line.slope == pytest.approx(fitted.params[1], rel=1e-9)
    np.testing.assert_allclose([line.ci_low, line.ci_high], fitted.conf_int()[1], rtol=1e-9)
    # Residuals of the regression, moved to the mean: Jack et al.'s formula in the reference group.
    np.testing.assert_allclose(
        residual_adjusted(volume, icv, line), fitted.resid + volume.mean(), rtol=1e-9
    )


def test_adjusted_values_do_not_depend_on_size_and_keep_their_mean(people):
    icv, effect, volume = people
    volume = volume.copy()
    volume[3] = np.nan
    adjusted = residual_adjusted(volume, icv, size_slope(volume, icv))
    known = np.isfinite(adjusted)
    assert known.sum() == 119
    assert abs(np.corrcoef(adjusted[known], icv[known])[0, 1]) < 1e-9
    assert np.corrcoef(adjusted[known], effect[known])[0, 1] > 0.97
    assert np.nanmean(adjusted) == pytest.approx(np.nanmean(volume[known]), abs=1e-9)


def test_the_slope_of_a_reference_group_leaves_others_their_difference(people, rng):
    """Patients who lost 1 mL, whatever their head: their own slope would hide part of it."""
    icv, _, volume = people
    line = size_slope(volume, icv)
    heads = rng.normal(1400, 100, 50)
    patients = 2 + 0.004 * heads - 1.0
    lost = residual_adjusted(patients, heads, line).mean() - volume.mean()
    assert lost == pytest.approx(-1.0, abs=0.1)


def test_too_few_people_or_one_size_give_no_slope():
    few = np.arange(MIN_REFERENCE - 1.0)
    assert size_slope(few, few) is None
    assert size_slope(np.arange(20.0), np.full(20, 3.0)) is None
    assert np.isnan(residual_adjusted([1.0, 2.0], [3.0, 4.0], None)).all()
    with pytest.raises(ValueError, match="shapes differ"):
        size_slope([1.0], [1.0, 2.0])
