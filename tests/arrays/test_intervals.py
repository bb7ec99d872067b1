"""Intervals: hand-computed factors, and the coverage that theory promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from popscan.arrays.intervals import (
    MANY,
    factor,
    half_width,
    informative,
    interval_score,
    leave_one_out,
    scale,
)


def test_conformal_factor_is_an_order_statistic():
    scores = list(range(1, 10))
    assert factor(scores, level=0.9, method="conformal") == 9  # ceil(10 x 0.9) = 9th of 9
    assert factor(scores, level=0.8, method="conformal") == 8
    assert factor([-s for s in scores], level=0.5, method="conformal") == 5
    assert math.isnan(factor(scores, level=0.95, method="conformal"))
    assert math.isnan(factor([], level=0.5, method="conformal"))
    assert math.isnan(factor([math.nan], level=0.5))


def test_student_factor_is_rms_times_t():
    assert factor([3, 4], level=0.9) == pytest.approx(math.sqrt(12.5) * stats.t.ppf(0.95, 2))


@pytest.mark.parametrize("level", [0, 1, -0.1, 90])
def test_levels_outside_0_and_1_are_refused(level):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        factor([1.0], level=level)


@pytest.mark.parametrize("method", ["student", "conformal"])
def test_coverage_of_new_subjects(method, rng):
    """14 calibration subjects, normal errors: 90% of new ones are covered; 93.3% by the maximum."""
    draws = rng.normal(size=(4000, 15))
    inside = [abs(d[14]) <= factor(d[:14], level=0.9, method=method) for d in draws]
    assert np.mean(inside) == pytest.approx(0.9 if method == "student" else 14 / 15, abs=0.02)


def test_a_tolerance_interval_is_wide_enough_for_nine_calibration_sets_of_ten(rng):
    """Share of a standard normal within it, over many sets of 14 subjects."""
    draws = rng.normal(size=(2000, 14))
    content = [2 * stats.norm.cdf(factor(d, level=0.9, method="tolerance")) - 1 for d in draws]
    assert np.mean(np.array(content) >= 0.9) == pytest.approx(0.9, abs=0.025)
    narrower = factor(draws[0], level=0.9, method="student")
    assert factor(draws[0], level=0.9, method="tolerance") / narrower == pytest.approx(
        1.25, abs=0.01
    )


def test_with_many_subjects_no_distribution_is_assumed(rng):
    many, few = rng.normal(size=MANY), rng.normal(size=MANY - 1)
    for scores, method in ((many, "conformal"), (few, "tolerance")):
        assert factor(scores, level=0.9, method="auto") == factor(scores, level=0.9, method=method)


def test_conformal_keeps_its_promise_for_heavy_tails(rng):
    draws = rng.standard_t(2, size=(4000, 40))
    inside = [abs(d[39]) <= factor(d[:39], level=0.8, method="conformal") for d in draws]
    assert np.mean(inside) == pytest.approx(0.8, abs=0.03)


def test_scale_never_falls_below_the_usual_spread():
    assert scale(0.0, [3.0, 3.0]) == pytest.approx(3.0)
    assert scale(4.0, [3.0, 3.0]) == pytest.approx(5.0)
    for unknown in ([], [0.0, 0.0], [1.0, math.nan]):
        assert scale(4.0, unknown) == 1.0
    assert scale(math.nan, [3.0]) == 1.0


def test_half_width_follows_the_spread_and_does_without():
    errors, spreads = [1.0, -1.0, 1.0], [1.0, 1.0, 1.0]
    usual = half_width(1.0, errors=errors, spreads=spreads, level=0.9)
    assert usual == pytest.approx(stats.t.ppf(0.95, 3))
    wide = half_width(7.0, errors=errors, spreads=spreads, level=0.9)
    assert wide == pytest.approx(usual * 5)  # sqrt(1 + 49) over sqrt(1 + 1)
    # Without samples of its own the subject is as unsure as any: only the errors count.
    plain = half_width(math.nan, errors=errors, spreads=spreads, level=0.9)
    assert plain == pytest.approx(stats.t.ppf(0.95, 3))
    one = half_width(math.nan, errors=errors, spreads=[math.nan] * 3, level=0.9)
    assert one == plain
    assert half_width(7.0, errors=errors, spreads=[], level=0.9) == plain


def test_leave_one_out_by_the_maximum_misses_exactly_the_largest(rng):
    errors = rng.normal(size=14).tolist()
    covered, widths = leave_one_out(errors, [math.nan] * 14, level=0.9, method="conformal")
    assert covered.sum() == 13
    assert not covered[np.argmax(np.abs(errors))]
    assert (widths > 0).all()


def test_interval_score_fines_what_is_outside():
    assert interval_score([0.5, -3.0], [1.0, 1.0], level=0.9) == pytest.approx((2 + 2 + 20 * 2) / 2)


def test_a_spread_is_followed_only_where_it_tells_much(rng):
    spreads = rng.uniform(0.2, 5, size=60)
    telling = rng.normal(size=60) * np.hypot(spreads, np.sqrt(np.mean(spreads**2)) / 10)
    silent = rng.normal(size=60)
    assert informative(telling.tolist(), spreads.tolist(), margin=0.0)
    assert not informative(silent.tolist(), spreads.tolist())
    assert not informative(silent.tolist(), [math.nan] * 60)
    assert not informative(silent.tolist(), [0.0] * 60)
    assert not informative([1.0, 2.0], [1.0, 2.0])
