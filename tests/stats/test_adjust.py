"""Adjustment against closed forms, and each way on data whose confounding is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from popscan.stats import several
from popscan.stats.adjust import METHODS
from popscan.stats.matching import matching
from popscan.stats.problem import Problem
from popscan.stats.resample import sum_draws


def confounded(rng, *, n=800, effect=0.0, binary=False):
    """Group members are older, and age (not group) lowers the outcome, but for `effect`."""
    group = rng.random(n) < 0.4
    age = rng.normal(55, 8, n) + 5 * group
    site = rng.integers(0, 6, n)
    y = 0.9 - 0.004 * (age - 55) + effect * group + 0.01 * site + rng.normal(0, 0.03, n)
    if binary:
        y = (rng.random(n) < 1 / (1 + np.exp(2 - 0.08 * (age - 55) - effect * group))).astype(float)
    return Problem(
        y=y, group=group, confounders=pd.DataFrame({"age": age}), binary=binary, blocks=site
    )


def test_regression_and_ancova_are_statsmodels(rng):
    problem = confounded(rng, effect=0.01)
    table = problem.confounders.assign(y=problem.y, g=problem.group.astype(float))
    plain = smf.ols("y ~ g + age", table).fit()
    robust = smf.ols("y ~ g + age", table).fit(cov_type="HC3", use_t=True)
    ours = METHODS["ancova"](problem)
    assert ours.gap == pytest.approx(plain.params["g"])
    assert ours.p == pytest.approx(plain.pvalues["g"])
    ours = METHODS["regression"](problem)
    assert ours.se == pytest.approx(robust.bse["g"])
    # The degrees of freedom are fewer than those of statsmodels
    low, high = robust.conf_int().loc["g"]
    assert (ours.ci_low, ours.ci_high) == pytest.approx((low, high), abs=1e-3 * (high - low))
    assert ours.ci_high > high


@pytest.mark.parametrize("method", ["regression", "ancova", "standardisation", "mixed", "matching"])
def test_confounding_is_removed_and_a_true_effect_kept(method):
    rng = np.random.default_rng(11)
    for effect in (0.0, -0.02):
        problem = confounded(rng, effect=effect)
        raw = METHODS["unadjusted"](problem)
        found = METHODS[method](problem)
        assert abs(raw.gap - effect) > 4 * raw.se
        assert abs(found.gap - effect) < 3.5 * found.se
        assert found.ci_low < found.gap < found.ci_high


def test_standardised_risk_difference_is_that_of_the_logistic_model(rng):
    problem = confounded(rng, n=1500, effect=1.0, binary=True)
    table = problem.confounders.assign(y=problem.y, g=problem.group.astype(float))
    fit = smf.logit("y ~ g * age", table).fit(disp=0)
    expected = (fit.predict(table.assign(g=1.0)) - fit.predict(table.assign(g=0.0))).mean()
    ours = METHODS["standardisation"](problem)
    assert ours.gap == pytest.approx(expected, abs=1e-5)
    assert ours.se > 0


def test_standardisation_without_interaction_is_unbiased_when_slopes_differ(rng):
    n = 4000
    group = rng.random(n) < 0.5
    x = rng.normal(size=n) + group
    y = np.where(group, 1.0 + 2 * x, x) + rng.normal(size=n)
    problem = Problem(y=y, group=group, confounders=pd.DataFrame({"x": x}))
    found = METHODS["standardisation"](problem)
    assert abs(found.gap - (1.0 + x.mean())) < 4 * found.se


def test_a_separated_logistic_model_is_said():
    y = np.repeat([0.0, 1.0], 30)
    group = np.tile([True, False], 30)
    problem = Problem(y=y, group=group, confounders=pd.DataFrame({"x": y}), binary=True)
    assert "separates" in METHODS["standardisation"](problem).note


def test_a_group_without_events_has_no_logistic_model():
    group = np.repeat([True, False], [12, 400])
    y = (np.arange(412) >= 392).astype(float)
    problem = Problem(
        y=y, group=group, confounders=pd.DataFrame({"x": np.arange(412) % 17}), binary=True
    )
    found = METHODS["standardisation"](problem)
    assert np.isnan(found.p)
    assert "separates" in found.note


def test_repeated_subjects_widen_the_interval(rng):
    one = confounded(rng, n=150)
    copies = Problem(
        y=np.tile(one.y, 4),
        group=np.tile(one.group, 4),
        confounders=pd.concat([one.confounders] * 4, ignore_index=True),
        clusters=np.tile(np.arange(150), 4),
    )
    naive = METHODS["regression"](Problem(y=copies.y, group=copies.group,
                                          confounders=copies.confounders))  # fmt: skip
    by_subject = METHODS["regression"](copies)
    assert by_subject.se == pytest.approx(METHODS["regression"](one).se, rel=0.1)
    assert naive.se < 0.6 * by_subject.se
    assert "repeat" in METHODS["ancova"](copies).note
    assert "repeat" in METHODS["matching"](copies).note
    assert "repeat" in METHODS["mixed"](replace(copies, blocks=copies.clusters % 3)).note


def test_mixed_needs_blocks_and_tells_their_share(rng):
    problem = confounded(rng)
    none = Problem(y=problem.y, group=problem.group, confounders=problem.confounders)
    assert "at least two" in METHODS["mixed"](none).note
    shift = np.array([-0.2, -0.1, 0.0, 0.05, 0.1, 0.15])[problem.blocks]
    shifted = Problem(
        y=problem.y + shift,
        group=problem.group,
        confounders=problem.confounders,
        blocks=problem.blocks,
    )
    assert METHODS["mixed"](shifted).extra["icc"] > 0.8


def sites(rng, *, between=0.0, n=60, blocks=5):
    """Two groups at a few sites, without a difference between them."""
    site = rng.integers(0, blocks, n)
    y = between * rng.normal(size=blocks)[site] + rng.normal(size=n)
    table = pd.DataFrame({"x": rng.normal(size=n)})
    return Problem(y=y, group=rng.random(n) < 0.4, confounders=table, blocks=site)


def least_squares(problem, ratio):
    """Gap and standard error by generalised least squares, from the whole covariance matrix."""
    table = problem.confounders.assign(one=1.0, group=problem.group.astype(float))
    x = table[["one", "group", "x"]].to_numpy()
    same = problem.blocks[:, None] == problem.blocks[None, :]
    inverse = np.linalg.inv(np.eye(len(x)) + ratio * same)
    bread = np.linalg.inv(x.T @ inverse @ x)
    weights = bread @ x.T @ inverse @ problem.y
    residual = problem.y - x @ weights
    scale = residual @ inverse @ residual / (len(x) - x.shape[1])
    return weights[1], np.sqrt(scale * bread[1, 1])


@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_the_error_of_a_mixed_model_is_that_of_generalised_least_squares(between):
    rng = np.random.default_rng(7)
    for _ in range(8):
        problem = sites(rng, between=between)
        found = METHODS["mixed"](problem)
        icc = found.extra["icc"]
        gap, se = least_squares(problem, icc / (1 - icc))
        assert found.gap == pytest.approx(gap, rel=1e-3, abs=1e-4)
        assert found.se == pytest.approx(se, rel=2e-3)
        if icc < 1e-4:  # no variance between sites: ordinary least squares
            assert found.se == pytest.approx(least_squares(problem, 0.0)[1], rel=2e-3)


def test_a_mixed_model_keeps_its_level_where_sites_do_not_differ():
    rng = np.random.default_rng(3)
    p = np.array([METHODS["mixed"](sites(rng)).p for _ in range(150)])
    assert np.isfinite(p).all()
    assert 0.01 < (p <= 0.05).mean() < 0.10


def test_one_subject_per_block_has_no_share_between_blocks(rng):
    problem = replace(sites(rng), blocks=np.arange(60))
    found = METHODS["mixed"](problem)
    assert np.isnan(found.extra["icc"])
    assert "one subject per block" in found.note
    assert found.se == pytest.approx(least_squares(problem, 0.0)[1], rel=2e-3)


def test_groups_that_are_whole_sites_are_compared_by_site(rng):
    site = np.repeat(np.arange(8), 50)
    y = np.array([0.0, 3.0, 1.0, 2.0, 5.0, 1.5, 4.0, 2.5])[site] + rng.normal(size=400)
    nested = Problem(y=y, group=site < 3, confounders=pd.DataFrame(index=range(400)), blocks=site)
    found = METHODS["mixed"](nested)
    means = [y[site == s].mean() for s in range(8)]
    by_site = stats.ttest_ind(means[:3], means[3:])
    assert found.p == pytest.approx(by_site.pvalue, rel=0.05)
    apart = replace(nested, blocks=(site < 3).astype(int))
    assert "cannot be distinguished" in METHODS["mixed"](apart).note


def test_the_variance_between_whole_sites_is_found():
    rng = np.random.default_rng(2)
    site = np.repeat(np.arange(8), 30)
    for _ in range(5):  # a search along the gradient ends at a variance of 0 in one draw of two
        y = rng.normal(size=8)[site] + rng.normal(size=240)
        nested = Problem(
            y=y, group=site < 3, confounders=pd.DataFrame(index=range(240)), blocks=site
        )
        means = [y[site == s].mean() for s in range(8)]
        found = METHODS["mixed"](nested)
        assert found.p == pytest.approx(stats.ttest_ind(means[:3], means[3:]).pvalue, abs=0.01)


def test_matching_balances_and_pairs_are_used_once(rng):
    found = matching(confounded(rng))
    assert found.extra["smd_after"] < 0.5 * found.extra["smd_before"]
    assert found.extra["pairs"] <= 800


def test_matching_says_when_groups_do_not_overlap():
    group = np.repeat([True, False], 40)
    problem = Problem(
        y=np.arange(80.0), group=group, confounders=pd.DataFrame({"x": np.where(group, 100.0, 0.0)})
    )
    assert "do not overlap" in matching(problem).note


def test_sum_draws_are_stratified_sums(rng):
    table = np.column_stack([np.ones(50), rng.normal(size=50)])
    codes = np.repeat([0, 1], [20, 30])
    draws = sum_draws(table, codes, n_boot=3000, seed=0)
    assert (draws[0][:, 0] == 20).all()
    assert draws[1][:, 1].mean() == pytest.approx(table[20:, 1].sum(), abs=0.5)


def test_dunn_of_two_groups_is_kruskal(rng):
    a, b = np.round(rng.normal(size=25), 1), np.round(rng.normal(0.3, 1, size=35), 1)
    p = several.dunn([a, b])
    assert p[0, 1] == pytest.approx(stats.kruskal(a, b).pvalue)
    assert p[0, 1] == p[1, 0]
    assert np.isnan(np.diag(p)).all()
    assert np.isnan(several.dunn([a, a[:0]])[0, 1])


def test_a_level_with_one_subject_of_a_group_leaves_the_slopes_untested(rng):
    group = np.arange(60) < 30
    level = (np.arange(60) == 3) | (np.arange(60) >= 45)  # one of the group, half of the others
    confounders = pd.DataFrame({"site[b vs a]": level.astype(float)})
    found = METHODS["regression"](
        Problem(y=rng.normal(size=60), group=group, confounders=confounders)
    )
    assert np.isfinite([found.gap, found.se, found.p]).all()
    assert np.isnan(found.extra["p_slopes"])


@pytest.mark.parametrize("repeated", [False, True])
def test_one_of_a_group_alone_at_a_level_is_named_and_has_no_gap(rng, repeated):
    group = np.arange(200) % 2 == 0
    level = rng.random(200) < 0.4
    level[group] = False
    level[0] = True
    problem = Problem(
        y=rng.normal(size=200), group=group, confounders=pd.DataFrame({"site": level * 1.0}),
        clusters=np.arange(200) if repeated else None,
    )  # fmt: skip
    found = METHODS["standardisation"](problem)
    assert np.isnan(found.gap)
    assert found.note.startswith("only one of a group has a level of a confounder")
    assert np.isfinite(METHODS["regression"](problem).p)
    level[2] = True
    two = replace(problem, confounders=pd.DataFrame({"site": level.astype(float)}))
    assert np.isfinite(METHODS["standardisation"](two).p)
