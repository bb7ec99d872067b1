"""Predicted against true Dice: agreement, and gaps that a prediction makes up."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.rca import DICTIONARY, _bootstrap, sentences, true_and_predicted, validity


def table(rng, n: int = 400, *, extra: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """True and predicted Dice; predictions are 0.05 too low, and for women by `extra` more."""
    units = [f"sub-{i:04d}" for i in range(n)]
    woman = np.arange(n) % 2 == 0
    true = np.clip(rng.normal(0.85, 0.1, n), 0, 1)
    predicted = true - 0.05 - extra * woman + rng.normal(0, 0.03, n)
    pairs = pd.DataFrame({"unit": units, "structure": "mean", "predicted": predicted, "true": true})
    people = pd.DataFrame(
        {"sex": np.where(woman, "female", "male")}, index=pd.Index(units, name="unit")
    )
    return pairs, people


def test_phases_and_structures_are_matched():
    predicted = pd.DataFrame(
        [("a", "ED", "rv", 0.8), ("a", "ED", "lv", 0.9), ("a", "ES", "lv", 0.7),
         ("b", "ED", "rv", 0.6)],
        columns=["unit", "phase", "structure", "predicted_dice"],
    )  # fmt: skip
    scores = pd.DataFrame(
        [("a", "ED", "rv", 0.9), ("a", "ED", "lv", 1.0), ("a", "ES", "lv", 0.8),
         ("b", "ED", "rv", math.nan), ("c", "ED", "rv", 0.5)],
        columns=["unit", "phase", "structure", "dice"],
    )  # fmt: skip
    pairs = true_and_predicted(predicted, scores).set_index(["unit", "structure"])
    assert pairs.loc[("a", "lv")].tolist() == pytest.approx([0.8, 0.9])
    assert pairs.loc[("a", "mean")].tolist() == pytest.approx([0.8, 0.9])
    assert "b" not in pairs.index.get_level_values("unit")
    assert true_and_predicted(pd.DataFrame(), scores).empty


def test_agreement_is_what_was_put_in(rng):
    pairs, people = table(rng)
    found = validity(
        pairs,
        people,
        attributes_to_test=["sex", "absent"],
        reference={"sex": "male"},
        n_boot=200,
    )
    assert list(found) == list(DICTIONARY)
    assert list(found["group"]) == ["all", "female", "male"]
    everybody = found.iloc[0]
    assert everybody["bias_low"] < everybody["bias"] < everybody["bias_high"]
    assert everybody["bias"] == pytest.approx(-0.05, abs=0.01)
    assert everybody["mae_low"] < everybody["mae"] < everybody["mae_high"]
    assert everybody["r"] > 0.9
    assert everybody["auc"] > 0.95
    assert everybody["n_low"] == (pairs["true"] < 0.7).sum()
    women = found.iloc[1]
    assert abs(women["gap_error"]) < 0.015
    assert women["gap_error"] == pytest.approx(women["predicted_gap"] - women["true_gap"])


def test_a_gap_that_the_prediction_makes_up_is_told(rng):
    pairs, people = table(rng, extra=0.04)
    found = validity(
        pairs, people, attributes_to_test=["sex"], reference={"sex": "male"}, n_boot=200
    )
    women = found[found["group"] == "female"].iloc[0]
    assert women["reference"] == "male"
    assert women["gap_error_low"] < women["gap_error"] < women["gap_error_high"] < 0
    assert women["gap_error"] == pytest.approx(-0.04, abs=0.015)
    assert women["p_gap_error"] < 1e-6
    first, second = sentences(found)
    assert "too low" in first
    assert "AUC" in first
    assert "misjudge the gap of female to male" in second


def test_subjects_that_the_network_was_trained_on_are_left_out():
    columns = ["unit", "phase", "structure"]
    rows = [(unit, "ED", "lv", 0.8) for unit in "abc"]
    predicted = pd.DataFrame(rows, columns=[*columns, "predicted_dice"])
    scores = pd.DataFrame(rows, columns=[*columns, "dice"])
    scores["seen_in_training"] = pd.Series([True, False, None], dtype=object)
    assert set(true_and_predicted(predicted, scores)["unit"]) == {"b", "c"}


def test_gap_errors_are_corrected_for_all_groups_and_attributes(rng):
    pairs, people = table(rng, extra=0.04)
    for name in "abcdefgh":
        people[name] = rng.permutation(people["sex"].to_numpy())
    both = pd.concat([pairs, pairs.assign(structure="lv")])
    found = validity(both, people, attributes_to_test=list(people), n_boot=50)
    tested = found[found["p_gap_error"].notna()]
    mean = tested[tested["structure"] == "mean"].sort_values("p_gap_error")
    assert len(mean) == 9
    expected = np.maximum.accumulate(mean["p_gap_error"] * np.arange(9, 0, -1)).clip(upper=1)
    assert mean["p_gap_error_adj"].to_numpy() == pytest.approx(expected.to_numpy())
    assert found.loc[found["structure"] == "lv", "p_gap_error_adj"].isna().all()
    told = [text for text in sentences(found) if "misjudge" in text]
    assert told[0].startswith("sex: ")


def test_a_gap_error_that_does_not_outlast_the_correction_is_not_told(rng):
    pairs, people = table(rng, extra=0.04)
    found = validity(pairs, people, attributes_to_test=["sex"], n_boot=50)
    assert "misjudge" in " ".join(sentences(found))
    found["p_gap_error_adj"] = found["p_gap_error"].where(found["p_gap_error"].isna(), 0.2)
    assert "misjudge" not in " ".join(sentences(found))


def test_all_or_none_below_the_threshold_is_said_as_it_is(rng):
    pairs, people = table(rng)
    for threshold, said in ((1.1, "All true Dice lie below 1.1"), (-0.1, "No true Dice lies")):
        found = validity(pairs, people, attributes_to_test=[], threshold=threshold, n_boot=50)
        assert said in sentences(found)[0]


def test_few_subjects_get_their_count_alone(rng):
    pairs, people = table(rng, n=6)
    found = validity(pairs, people, attributes_to_test=["sex"], min_group=5)
    assert found.loc[0, "n"] == 6
    assert found.loc[1, "n"] == 3
    assert math.isnan(found.loc[1, "r"])
    assert validity(pairs.iloc[:0], people, attributes_to_test=["sex"]).empty
    assert sentences(found.iloc[1:]) == []


def test_the_error_of_few_subjects_has_an_interval_that_covers():
    """By the percentile bootstrap alone 0.89 of the intervals of ten subjects did."""
    held, rng = [], np.random.default_rng(1)
    expected = 0.05 * np.sqrt(2 / np.pi)
    for k in range(400):
        low, high = _bootstrap(np.abs(rng.normal(0, 0.05, 10)), n_boot=300, alpha=0.05, seed=k)
        held.append(low <= expected <= high)
    assert np.mean(held) >= 0.905
