"""Laws of what says where a subject differs from people like it."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import fdrcorrection

from popscan.atlas import AtlasGrid, Prepared, map_subjects, reduce
from popscan.atlas.differences import (
    Differences,
    Moments,
    normal_scores,
    of_field,
    organ_of,
    shape_distance_mm,
)
from popscan.atlas.effects import voxel_effect
from popscan.spaces import Region
from popscan.stats.linear import LeastSquares

GRID = AtlasGrid.covering((96.0, 96.0, 96.0), spacing_mm=4.0)
REGIONS = (Region(name="ball", structures=("ball",), words="the ball", colour="#000", level=1.0),)


def ball(radius_mm: float) -> Prepared:
    where = (np.indices(GRID.shape) * 4.0) - np.reshape(GRID.centre_mm, (3, 1, 1, 1))
    soft = 1 / (1 + np.exp((np.linalg.norm(where, axis=0) - radius_mm) / 1.5))
    return Prepared(
        grid=GRID, image=soft.astype(np.float32), inside=np.ones(GRID.shape, bool),
        labels=soft[np.newaxis].astype(np.float32), to_world=np.eye(4), coverage=1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def balls():
    """Twelve balls of 22 to 30 mm, of which the larger ones are one group."""
    radii = 22.0 + 8.0 * np.arange(12) / 11
    groups = [["size=large"] if radius > 26 else ["size=small"] for radius in radii]
    return radii, [(f"sub-{i:02d}", groups[i], ball(r)) for i, r in enumerate(radii)]


@pytest.fixture(scope="module")
def registered(balls):
    first = reduce([map_subjects(balls[1], None, regions=REGIONS)])["all"]
    return first, map_subjects(balls[1], first, regions=REGIONS, smoothing_mm=3.0)


def test_local_volume_is_that_of_the_ball(balls, registered):
    """The mean Jacobian over the average's ball is the ratio of the volumes."""
    radii, _ = balls
    template, partial = registered
    found = partial.differences
    inside = template.probabilities[0][found.organ] > 0.5
    volume = np.exp(found.log_jacobian.astype(float))[:, inside].mean(axis=1)
    expected = (radii / np.cbrt(np.mean(radii**3))) ** 3
    assert np.corrcoef(volume, expected)[0, 1] > 0.98
    assert np.abs(volume - expected).max() < 0.15
    assert found.log_jacobian.dtype == found.displacement_mm.dtype == np.float16


def test_no_displacement_is_no_difference():
    organ = np.zeros((6, 6, 6), bool)
    organ[2:4, 2:4, 2:4] = True
    logs, moved = of_field(np.zeros((6, 6, 6, 3)), organ, spacing_mm=(2.0, 2.0, 2.0))
    assert logs.shape == (8,)
    assert not logs.any()
    assert not moved.any()


def test_a_field_that_folds_counts_as_the_least_volume():
    field = np.zeros((8, 8, 8, 3))
    field[..., 0] = -3.0 * np.arange(8)[:, None, None]
    logs, _ = of_field(field, np.ones((8, 8, 8), bool), spacing_mm=(1.0, 1.0, 1.0))
    assert np.allclose(logs, np.log(0.05), atol=1e-3)


def test_nobody_is_compared_with_itself():
    """The scores of a subject do not depend on how far off it is itself among the others."""
    rng = np.random.default_rng(3)
    logs = rng.normal(0, 0.2, (9, 50)).astype(np.float16)
    moved = rng.normal(0, 2.0, (9, 50, 3)).astype(np.float16)
    others = Moments.of(logs[1:], moved[1:])
    without = Moments.of(logs, moved).without(logs[0], moved[0])
    for name in ("log_jacobian", "squares", "displacement_mm", "power_mm2"):
        np.testing.assert_array_equal(getattr(others, name), getattr(without, name))
    assert without.n == 8
    assert np.array_equal(normal_scores(logs[0], others), normal_scores(logs[0], without))


@pytest.mark.parametrize("n", [4, 8, 30])
def test_scores_of_normal_values_are_standard_normal_whatever_the_number(n):
    rng = np.random.default_rng(n)
    logs = rng.normal(0.3, 0.2, (n + 1, 20000)).astype(np.float16)
    moved = np.zeros((*logs.shape, 3), np.float16)
    scores = normal_scores(logs[0], Moments.of(logs[1:], moved[1:])).astype(float)
    assert stats.kstest(scores, "norm").pvalue > 1e-3
    assert np.mean(np.abs(scores) > 2) == pytest.approx(0.0455, abs=0.006)


def test_too_few_others_and_constant_voxels_have_no_score():
    logs = np.array([[0.5, 0.1], [0.5, 0.2], [0.5, 0.0], [0.5, 0.3], [0.5, 0.1]], np.float16)
    moved = np.zeros((5, 2, 3), np.float16)
    assert np.isnan(normal_scores(logs[0], Moments.of(logs[1:4], moved[1:4]))).all()
    scores = normal_scores(logs[0], Moments.of(logs[1:], moved[1:]))
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1])


def test_sums_of_shards_are_those_of_one_process(registered):
    found = registered[1].differences
    whole = Moments.of(found.log_jacobian, found.displacement_mm)
    for cut in (1, 5, 11):
        parts = [Moments.of(found.log_jacobian[rows], found.displacement_mm[rows])
                 for rows in (slice(cut, None), slice(0, cut))]  # fmt: skip
        both = parts[0] + parts[1]
        for name in ("n", "log_jacobian", "squares", "displacement_mm", "power_mm2"):
            np.testing.assert_array_equal(getattr(both, name), getattr(whole, name))


def test_own_anatomy_is_nearer_than_that_of_others(balls, registered):
    found = registered[1].differences
    large = np.array([names == ["size=large"] for _, names, _ in balls[1]])
    for rows, others in ((large, ~large), (~large, large)):
        own = Moments.of(found.log_jacobian[rows], found.displacement_mm[rows])
        theirs = Moments.of(found.log_jacobian[others], found.displacement_mm[others])
        extreme = np.flatnonzero(rows)[[0, -1][int(rows is large)]]
        mine = found.log_jacobian[extreme], found.displacement_mm[extreme]
        assert shape_distance_mm(mine[1], own.without(*mine)) < shape_distance_mm(mine[1], theirs)
    assert np.isnan(shape_distance_mm(mine[1], Moments.of(found.log_jacobian[:0],
                                                          found.displacement_mm[:0])))  # fmt: skip


def test_small_groups_are_not_further_away_for_being_small():
    """The squared distance to groups of the same people is the same for any number of them."""
    rng = np.random.default_rng(5)
    logs = np.zeros((400, 30), np.float16)
    people = rng.normal(0, 3.0, (400, 30, 3)).astype(np.float16)
    found = {}
    for n in (4, 5, 50):
        squared = []
        for subject in range(150):
            rows = rng.choice(np.arange(200, 400), n, replace=False)
            group = Moments.of(logs[rows], people[rows])
            squared.append(shape_distance_mm(people[subject], group) ** 2)
        found[n] = np.mean(squared)
    for n in (4, 5):
        assert found[n] == pytest.approx(found[50], rel=0.05)
    assert np.isnan(shape_distance_mm(people[0], Moments.of(logs[1:2], people[1:2])))


def test_a_mean_of_few_gives_no_distance_rather_than_none_of_it():
    """Of two or three others, chance alone exceeds the distance of many subjects: 0.000 mm."""
    rng = np.random.default_rng(3)
    logs = np.zeros((9, 4), np.float16)
    for _ in range(50):
        people = rng.normal(0, 2.0, (9, 4, 3)).astype(np.float16)
        for n in (2, 3):
            few = Moments.of(logs[1 : 1 + n], people[1 : 1 + n])
            assert np.isnan(shape_distance_mm(people[0], few))
        assert np.isfinite(shape_distance_mm(people[0], Moments.of(logs[1:5], people[1:5])))


def test_differences_survive_a_file_and_an_empty_shard(registered):
    template, partial = registered
    again = Differences.from_arrays(partial.to_arrays())
    assert np.array_equal(again.log_jacobian, partial.differences.log_jacobian)
    empty = map_subjects([], template, regions=REGIONS).differences
    assert empty.log_jacobian.shape == (0, int(organ_of(template).sum()))
    assert map_subjects([], None, regions=REGIONS, grid=GRID).differences is None


def test_effects_are_those_of_statsmodels():
    rng = np.random.default_rng(7)
    x = np.column_stack([np.ones(40), rng.normal(50, 10, 40), rng.integers(0, 2, 40)])
    values = 0.01 * x[:, [1]] * (np.arange(30) > 20) + rng.normal(0, 0.3, (40, 30))
    values[:, 4] = 0.25
    effect = voxel_effect(values, LeastSquares(x), 1)
    assert np.isnan(effect.t[4])
    assert np.isnan(effect.q[4])
    known = [v for v in range(30) if v != 4]
    for v in known:
        fit = sm.OLS(values[:, v], x).fit(cov_type="HC3")
        assert effect.estimate[v] == pytest.approx(fit.params[1], rel=1e-8)
        assert effect.t[v] == pytest.approx(fit.tvalues[1], rel=1e-8)
    p = 2 * stats.t.sf(np.abs(effect.t[known]), effect.freedom)
    np.testing.assert_allclose(effect.q[known], fdrcorrection(p)[1], rtol=1e-10)


def test_effects_find_size_where_it_is(balls, registered):
    """The balls' radius explains local volume within them, and noise does not."""
    found = registered[1].differences
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(12), balls[0], rng.normal(0, 1, 12)])
    inside = registered[0].probabilities[0][found.organ] > 0.9
    size = voxel_effect(found.log_jacobian, LeastSquares(x), 1)
    noise = voxel_effect(found.log_jacobian, LeastSquares(x), 2)
    assert (size.q[inside] < 0.05).mean() > 0.9
    assert (size.estimate[inside] > 0).mean() > 0.95
    assert np.nanmean(noise.q < 0.05) < 0.1


def test_a_row_that_alone_decides_a_term_gives_no_map():
    x = np.column_stack([np.ones(8), np.eye(8)[0]])
    effect = voxel_effect(np.random.default_rng(0).normal(size=(8, 5)), LeastSquares(x), 1)
    assert np.isnan(effect.t).all()
    assert np.isnan(effect.q).all()
