"""Attributes told from features: noise stays noise, signals are found, size can be taken out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from popscan.records import PopscanError
from popscan.visibility.chance import p_value, permutations_needed
from popscan.visibility.components import (
    components,
    logistic_slopes,
    make_folds,
    permutations,
)
from popscan.visibility.direction import activation_pattern, attribute_direction
from popscan.visibility.predict import MACRO, predict_attribute
from popscan.visibility.tables import DICTIONARY, confounder_matrix, sentences, visibility_table


def halves(n: int) -> np.ndarray:
    return np.where(np.arange(n) % 2 == 0, "a", "b")


def test_noise_is_chance_and_intervals_cover_it(rng):
    # Also with many more features than subjects: nothing may leak from test rows into training.
    covered, areas, found_by_chance = 0, [], 0
    for seed in range(60):
        (seen,) = predict_attribute(
            rng.normal(size=(50, 80)), halves(50), n_permutations=60, seed=seed
        )
        covered += seen.auc_low <= 0.5 <= seen.auc_high
        areas.append(seen.auc)
        found_by_chance += seen.p <= 0.05
    assert covered / 60 > 0.83
    assert abs(np.mean(areas) - 0.5) < 0.06
    assert found_by_chance / 60 < 0.17


def test_folds_that_share_rows_widen_the_interval(rng):
    inflations = [
        predict_attribute(rng.normal(size=(60, 10)), halves(60), seed=s)[0].inflation
        for s in range(15)
    ]
    # The square root of two for a kernel-mean classifier; between that and one here.
    assert 1.15 < np.mean(inflations) < 1.6


def test_a_planted_signal_is_found(rng):
    labels = halves(80)
    x = rng.normal(size=(80, 30))
    x[:, 7] += 3.0 * (labels == "a")
    (seen,) = predict_attribute(x, labels)
    assert (seen.group, seen.n, seen.n_group) == ("a", 80, 40)
    assert seen.auc_low > 0.6
    assert seen.p == pytest.approx(1 / 201)


def test_size_alone_is_told_and_taken_out(rng):
    # Sex goes with height, the heart with height alone: nothing of sex is left without it.
    n = 300
    woman = rng.random(n) < 0.5
    height = rng.normal(176, 7, n) - 13 * woman
    x = (height[:, np.newaxis] - 170) / 7 + rng.normal(0, 0.5, (n, 8))
    labels = np.where(woman, "female", "male")
    (plain,) = predict_attribute(x, labels)
    (adjusted,) = predict_attribute(x, labels, confounders=height[:, np.newaxis])
    # Wide of 0.5 and of 0.85, since each draw is another one.
    assert plain.auc_low > 0.7
    assert adjusted.auc_low < 0.58
    assert adjusted.auc_high > 0.42
    # A difference that is not size stays.
    x[:, 0] += 1.5 * woman
    (kept,) = predict_attribute(x, labels, confounders=height[:, np.newaxis])
    assert kept.auc_low > 0.6


def test_several_groups_one_against_the_rest(rng):
    labels = np.repeat(["x", "y", "z", "rare"], [40, 40, 40, 3])
    x = rng.normal(size=(123, 6))
    x[labels == "x", 0] += 3.0
    seen = {one.group: one for one in predict_attribute(x, labels)}
    assert set(seen) == {"x", "y", "z", MACRO}
    assert seen["x"].n == 120
    assert seen["x"].auc_low > 0.8
    means = np.mean([seen[g].auc for g in "xyz"])
    assert seen[MACRO].auc == pytest.approx(means)


def test_same_seed_same_numbers_whatever_the_order_of_permutation(rng):
    x, labels = rng.normal(size=(40, 5)), halves(40)
    assert predict_attribute(x, labels, seed=3) == predict_attribute(x, labels, seed=3)


def test_missing_values_and_unknown_labels(rng):
    x = rng.normal(size=(60, 4))
    x[::7, 1] = np.nan
    x[:, 3] = np.nan
    labels = [str(label) for label in halves(60)]
    labels[5] = "unknown"
    (seen,) = predict_attribute(x, labels)
    assert seen.n == 59
    x[4] = np.nan
    assert predict_attribute(x, labels)[0].n == 58


def test_one_group_is_nothing_to_tell_and_wrong_shapes_are_refused(rng):
    assert predict_attribute(rng.normal(size=(30, 3)), ["a"] * 30) == []
    with pytest.raises(PopscanError, match="one row per subject"):
        predict_attribute(rng.normal(size=(30, 3)), ["a"] * 29)
    with pytest.raises(PopscanError, match="folds"):
        predict_attribute(rng.normal(size=(30, 3)), halves(30), n_folds=1)


def test_many_regressions_at_once_are_those_of_scikit_learn(rng):
    x = rng.normal(size=(80, 6))
    y = rng.random((80, 4)) < 0.4
    y[:, 0] = x[:, 0] + rng.normal(size=80) > 0.3
    ours = logistic_slopes(x, y, penalty=1.0, tolerance=1e-9, n_steps=2000)
    theirs = [LogisticRegression(C=1.0, tol=1e-10).fit(x, y[:, k]).coef_[0] for k in range(4)]
    assert np.allclose(ours.T, theirs, atol=1e-4)


def test_permutations_keep_the_counts_of_every_fold(rng):
    labels = halves(30)
    folds = make_folds(labels, 5, rng)
    permuted = permutations(30, folds, 20, rng)
    for row in permuted:
        assert sorted(row) == list(range(30))
        assert all(
            (labels[row][folds == f] == "a").sum() == (labels[folds == f] == "a").sum()
            for f in range(5)
        )


def test_components_learn_from_training_rows_alone(rng):
    x = rng.normal(size=(20, 50))
    train, test = np.arange(15), np.arange(15, 20)
    before = components(x, None, train, test, 4)
    other = x.copy()
    other[test[0]] += 100.0
    after = components(other, None, train, test, 4)
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[1][1:], after[1][1:])
    assert np.mean(before[0].var(axis=0)) == pytest.approx(1.0)


def test_components_of_large_matrices_are_those_of_small_ones(rng):
    smooth = rng.normal(size=(500, 12)) @ (
        rng.normal(size=(12, 450)) * np.arange(12, 0, -1)[:, None]
    )
    x = smooth + 0.1 * rng.normal(size=(500, 450))
    train, test = np.arange(480), np.arange(480, 500)
    large = components(x, None, train, test, 8)
    u, s, _ = np.linalg.svd((x[train] - x[train].mean(0)) / x[train].std(0), full_matrices=False)
    exact = u[:, :8] * s[:8] / np.sqrt((s[:8] ** 2).mean() / 480)
    assert np.allclose(np.abs(large[0]), np.abs(exact), atol=1e-3)
    assert np.array_equal(large[1], components(x, None, train, test, 8)[1])


def test_direction_and_pattern_point_to_where_the_signal_is(rng):
    labels = halves(100)
    x = rng.normal(size=(100, 12))
    x[:, 3] += 2.5 * (labels == "a")
    x[:, 5] = 1.0
    weights = attribute_direction(x, labels, "a")
    assert np.argmax(np.abs(weights)) == 3
    assert weights[3] > 0
    assert weights[5] == 0
    pattern = activation_pattern(x, weights)
    assert np.argmax(pattern) == 3
    assert pattern[5] == 0


def test_table_with_and_without_body_size(rng):
    n = 120
    units = [f"sub-{i:03d}" for i in range(n)]
    woman = np.arange(n) % 2 == 0
    height = rng.normal(176, 7, n) - 13 * woman
    people = pd.DataFrame(
        {"sex": np.where(woman, "female", "male"), "height_cm": height, "site": "one"},
        index=pd.Index(units, name="unit"),
    )
    size = pd.DataFrame((height[:, None] - 170) / 7 + rng.normal(0, 0.4, (n, 4)), index=units)
    noise = pd.DataFrame(rng.normal(size=(n, 4)), index=units)
    table = visibility_table(
        {"biomarkers": size, "image": noise},
        people,
        attributes_to_test=["sex", "site", "absent"],
        adjust_for=["height_cm", "absent"],
        n_permutations=50,
    )
    assert list(table) == list(DICTIONARY)
    assert list(table["source"]) == ["biomarkers", "image"]
    seen = table.set_index("source").loc["biomarkers"]
    assert seen["auc_low"] > 0.6
    assert seen["auc_confounders"] > 0.7
    assert seen["auc_adjusted"] < seen["auc"] - 0.15
    assert seen["confounders"] == "height_cm"
    assert (table["p_adj"] >= table["p"]).all()
    first, second = sentences(table)
    assert first.startswith("Sex can be predicted from the biomarkers")
    assert "height_cm taken out" in first
    assert (
        "can be predicted from the whole image" in second
        or "is unclear" in second
        or "hardly" in second
    )


def size_alone(rng, *, unknown: float) -> pd.DataFrame:
    """Table of a study where sex goes with height alone, unknown for a share of the women."""
    n = 600
    woman = np.arange(n) % 2 == 0
    height = rng.normal(176, 7, n) - 13 * woman
    size = pd.DataFrame((height[:, np.newaxis] - 170) / 7 + rng.normal(0, 0.4, (n, 6)))
    height[np.flatnonzero(woman)[: round(unknown * n / 2)]] = np.nan
    people = pd.DataFrame(
        {"sex": np.where(woman, "female", "male"), "height_cm": height, "age_years": 60.0}
    )
    return visibility_table(
        {"biomarkers": size},
        people,
        attributes_to_test=["sex"],
        adjust_for=["height_cm", "age_years"],
        n_permutations=20,
    )


def test_whose_confounders_are_unknown_is_left_out_of_the_adjusted_area(rng):
    # Filled with the median, unknown heights would leave the women's size in the features.
    table = size_alone(rng, unknown=0.5)
    row = table.iloc[0]
    assert (row["n"], row["n_adjusted"]) == (600, 450)
    assert row["auc_low"] > 0.8
    assert row["auc_adjusted"] < 0.64
    assert row["auc_confounders"] > 0.8
    assert "n = 450 with all of it known" in sentences(table)[0]


def test_a_group_too_small_among_the_known_leaves_the_adjusted_area_empty(rng):
    table = size_alone(rng, unknown=1.0)
    row = table.iloc[0]
    assert row["n_adjusted"] == 0
    assert row[["auc_adjusted", "auc_adjusted_low", "p_adjusted", "auc_confounders"]].isna().all()
    assert "what is left without height_cm, age_years is not known" in sentences(table)[0]


def test_all_others_are_the_same_groups_with_confounders_taken_out(rng):
    # Of three groups one has no known height: told from 'all others' would be another question.
    people = pd.DataFrame({"site": np.repeat(["a", "b", "c"], 40), "height_cm": 170.0})
    people["height_cm"] += rng.normal(0, 7, 120)
    people.loc[people["site"] == "c", "height_cm"] = np.nan
    table = visibility_table(
        {"image": pd.DataFrame(rng.normal(size=(120, 5)))},
        people,
        attributes_to_test=["site"],
        adjust_for=["height_cm"],
        n_permutations=5,
    )
    assert list(table["group"]) == ["a", "b", "c", MACRO]
    assert table["auc_adjusted"].isna().all()


def test_a_strong_signal_outlasts_the_correction_for_many_comparisons(rng):
    # With 200 permutations alone no p value among 12 rows would be below 12 / 201.
    n = 80
    people = pd.DataFrame(
        {name: rng.permutation(halves(n)) for name in ("sex", "scanner", "site", "race")}
    )
    sources = {name: pd.DataFrame(rng.normal(size=(n, 6))) for name in ("labels", "heart", "image")}
    sources["heart"][0] += 4.0 * (people["sex"] == "a")
    table = visibility_table(sources, people, attributes_to_test=list(people))
    assert len(table) == 12
    seen = table.set_index(["attribute", "source"]).loc[("sex", "heart")]
    assert seen["p"] == pytest.approx(1 / (permutations_needed(12) + 1))
    assert seen["p_adj"] == pytest.approx(12 * seen["p"])
    assert seen["p_adj"] <= 0.05
    sentence = sentences(table[table["source"] == "heart"])[0]
    assert sentence.startswith("Sex can be predicted from the image in the heart's frame")


def test_what_does_not_outlast_the_correction_is_not_said_to_be_told():
    row = {"attribute": "sex", "group": "a", "source": "image", "n": 80, "n_group": 40}
    row |= {"auc": 0.63, "auc_low": 0.51, "auc_high": 0.74, "p": 0.02, "confounders": ""}
    for p_adj, said in ((0.24, False), (math.nan, False), (0.04, True)):
        (sentence,) = sentences(pd.DataFrame([row | {"p_adj": p_adj}]))
        assert ("can be predicted" in sentence) is said
        assert ("seems predictable" in sentence and "before correction" in sentence) is not said


def test_more_permutations_are_drawn_only_where_none_is_told_as_well(rng):
    labels = halves(60)
    x = rng.normal(size=(60, 5))
    (first,) = predict_attribute(x, labels, n_permutations=50)
    (noise,) = predict_attribute(x, labels, n_permutations=50, n_tests=20)
    # One noise in 51 is predicted better than all of its first permutations, and gets more.
    assert (noise == first) == (first.p > 1 / 51)
    x[:, 0] += 5.0 * (labels == "a")
    (strong,) = predict_attribute(x, labels, n_permutations=50, n_tests=20)
    assert strong.p == pytest.approx(1 / 801)
    (asked,) = predict_attribute(x, labels, n_permutations=0, n_tests=20)
    assert math.isnan(asked.p)


def test_the_first_round_decides_if_it_reaches_the_observed_area():
    null = np.array([0.4, 0.6, 0.5, 0.9, 0.4, 0.5, 0.5])
    assert p_value(0.55, null, first=3) == 2 / 4
    assert p_value(0.7, null, first=3) == 2 / 8
    assert math.isnan(p_value(0.7, null[:0], first=0))


def test_nothing_to_tell_is_an_empty_table_with_columns():
    people = pd.DataFrame({"sex": []}, index=pd.Index([], name="unit"))
    assert list(visibility_table({}, people, attributes_to_test=["sex"])) == list(DICTIONARY)


def test_words_are_taken_out_as_categories(rng):
    """A sex that the site alone gives away is seen, and not seen with the site taken out."""
    n = 240
    site = rng.choice(["11025", "11026", "11027"], n)
    woman = rng.random(n) < np.where(site == "11026", 0.85, 0.3)
    people = pd.DataFrame(
        {"sex": np.where(woman, "female", "male"), "site": site},
        index=[f"sub-{i:03d}" for i in range(n)],
    )
    people.loc["sub-007", "site"] = None
    matrix, names = confounder_matrix(people, ["site"])
    assert names == ["site", "site"]
    assert matrix.shape == (n, 2)
    assert np.isnan(matrix[7]).all()
    features = pd.DataFrame(
        (site == "11026")[:, None] + rng.normal(0, 0.5, (n, 3)), index=people.index
    )
    table = visibility_table(
        {"image": features}, people, attributes_to_test=["sex"], adjust_for=["site"],
        n_permutations=20,
    )  # fmt: skip
    row = table.iloc[0]
    assert row["auc"] > 0.65
    assert abs(row["auc_adjusted"] - 0.5) < 0.15
    assert row["confounders"] == "site"
    assert row["n_adjusted"] == n - 1
