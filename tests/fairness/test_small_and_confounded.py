"""Sentences on groups that are tiny, or that a confounder determines; adjustment for nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.adjusted import NOTHING_LEFT, adjusted_gaps
from popscan.fairness.audit import audit
from popscan.fairness.comparison import INSEPARABLE
from popscan.fairness.findings import sentences
from popscan.fairness.gap_words import FEW
from popscan.fairness.story import adjusted_sentences

OUTCOMES = [f"v{k}_ml" for k in range(12)]


def made(n: int, *, gap: float = 0.0, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Outcomes of n subjects, half of them men, whose values are higher by `gap`."""
    rng = np.random.default_rng(seed)
    units = [f"u{i:03d}" for i in range(n)]
    men = np.arange(n) % 2 == 0
    people = pd.DataFrame(
        {
            "sex": np.where(men, "male", "female"),
            "site": np.where(men, "A", "B"),
            "age_years": rng.uniform(45, 80, n),
            "age_band": np.where(np.arange(n) < n // 2, "45-59", "60+"),
        },
        index=units,
    )
    parts = [
        pd.DataFrame(
            {"unit": units, "stage": "table", "outcome": name, "better_is": "neither",
             "kind": "continuous", "value": rng.normal(100, 10, n) + gap * men}
        )
        for name in OUTCOMES
    ]  # fmt: skip
    return pd.concat(parts), people


def single(lines: list[str]) -> list[str]:
    """Sentences on one gap each."""
    return [line for line in lines if "(n = " in line]


def test_gaps_of_tiny_groups_are_summed_up_in_one_sentence():
    outcomes, people = made(8)
    found = audit(outcomes, people, attributes_to_test=["sex", "age_band"], min_group=2, n_boot=50)
    assert found.gaps["p"].notna().sum() == 24
    lines = sentences(found.gaps)
    assert single(lines) == []
    said = [line for line in lines if f"fewer than {FEW} subjects" in line]
    assert len(said) == 1
    assert said[0].startswith("24 comparisons are between groups")
    assert "(sex, age_band)" in said[0]
    assert not any("would have been found" in line for line in lines)
    assert not any("further comparisons" in line for line in lines)


def test_a_clear_gap_of_a_small_group_is_still_said():
    outcomes, people = made(16, gap=200.0)
    gaps = audit(outcomes, people, attributes_to_test=["sex"], min_group=2, n_boot=50).gaps
    assert (gaps["p_adj"] <= 0.05).all()
    assert len(single(sentences(gaps))) == 12


def test_larger_groups_are_listed_as_before():
    outcomes, people = made(60)
    gaps = audit(outcomes, people, attributes_to_test=["sex"], n_boot=50).gaps
    lines = sentences(gaps)
    assert len(single(lines)) == 12
    assert not any("fewer than" in line for line in lines)


def test_a_gap_that_is_one_of_sites_as_well_says_so_in_its_own_sentence():
    outcomes, people = made(60, gap=50.0)
    options = {"attributes_to_test": ["sex"]}
    gaps = audit(outcomes, people, n_boot=50, **options).gaps
    adjusted = adjusted_gaps(outcomes, people, adjust_for=["age_years", "site"], **options)
    assert set(adjusted["note"]) == {f"{INSEPARABLE} (site)"}
    single_lines = single(sentences(gaps, adjusted=adjusted))
    assert len(single_lines) == 12
    assert all("Group and site cannot be separated in these data" in line for line in single_lines)
    apart = people.assign(site=np.where(np.arange(60) % 3, "A", "B"))
    adjusted = adjusted_gaps(outcomes, apart, adjust_for=["age_years", "site"], **options)
    assert not any("separated" in line for line in sentences(gaps, adjusted=adjusted))


@pytest.mark.parametrize("constant", [False, True])
def test_a_gap_that_is_adjusted_for_nothing_is_not_called_adjusted(constant):
    outcomes, people = made(60, gap=50.0)
    if constant:
        people = people.assign(age_years=50.0, age_band=people["sex"])
    found = adjusted_gaps(
        outcomes, people, attributes_to_test=["age_band"], adjust_for=["age_years"],
        methods=["unadjusted", "regression", "ancova", "standardisation", "matching"],
    )  # fmt: skip
    own = found["method"] == "unadjusted"
    assert np.isfinite(found.loc[own, "gap"]).all()
    assert found.loc[~own, "gap"].isna().all()
    assert found.loc[~own, "note"].str.startswith(NOTHING_LEFT).all()
    by_regression = found[found["method"] == "regression"]
    assert adjusted_sentences(by_regression) == [f"12 gaps could not be adjusted: {NOTHING_LEFT}."]


def test_sentences_on_adjustment_name_what_each_gap_is_adjusted_for():
    outcomes, people = made(80)
    people = people.assign(site=np.where(np.arange(80) % 3, "A", "B"))
    found = adjusted_gaps(
        outcomes, people, attributes_to_test=["sex", "age_band"], adjust_for=["age_years", "site"]
    )
    first = adjusted_sentences(found)[0]
    assert first.startswith("Adjusted for age and site in 12, for site in 12 (regression), ")


def test_a_group_of_few_subjects_with_many_visits_is_too_small_in_both_tables(rng):
    subjects = np.repeat([f"s{i:02d}" for i in range(60)], 6)
    units = [f"{sub}_ses-{k % 6}" for k, sub in enumerate(subjects)]
    rare = np.isin(subjects, ["s00", "s01"])
    people = pd.DataFrame(
        {"sub": subjects, "sex": np.where(rare, "female", "male"), "age_years":
         np.repeat(rng.uniform(45, 80, 60), 6)}, index=units,
    )  # fmt: skip
    outcomes = pd.DataFrame(
        {"unit": units, "stage": "table", "outcome": "v_ml", "better_is": "neither",
         "kind": "continuous", "value": rng.normal(100, 10, 360)}
    )  # fmt: skip
    options = {"attributes_to_test": ["sex"], "cluster": "sub"}
    gap = audit(outcomes, people, n_boot=50, **options).gaps.iloc[0]
    assert gap["note"] == "too few: 2 and 58, 10 needed"
    methods = ["regression", "standardisation"]
    found = adjusted_gaps(outcomes, people, adjust_for=["age_years"], methods=methods, **options)
    assert set(found["note"]) == {"too few: 2 with complete rows in the smaller group, 10 needed"}
    assert (found["n"].tolist(), found["n_reference"].tolist()) == ([2, 2], [58, 58])
    assert found[["gap", "gap_raw", "p"]].isna().all(axis=None)
    few = adjusted_gaps(
        outcomes, people, adjust_for=["age_years"], methods=methods, min_group=2, **options
    ).set_index("method")
    assert np.isfinite(few.loc["regression", "p"])
    assert np.isnan(few.loc["standardisation", "gap"])
    assert "too small" in few.loc["standardisation", "note"]


def test_confounders_are_counted_against_subjects(rng):
    outcomes, people = made(60)
    people = people.assign(sub=[f"s{k // 6:02d}" for k in range(60)])
    for k in range(5):
        people[f"x{k}"] = rng.normal(size=60)
    found = adjusted_gaps(
        outcomes, people, attributes_to_test=["sex"], cluster="sub", min_group=2,
        adjust_for=[f"x{k}" for k in range(5)],
    )  # fmt: skip
    assert set(found["note"]) == {"too few subjects for so many confounders"}


def test_only_confounders_that_determine_a_group_together_are_named():
    outcomes, people = made(60, gap=50.0)
    sex = people["sex"] == "male"
    x, z = (np.arange(60) % k * 1.0 for k in (7, 5))
    people = people.assign(x=x, y=sex - x, z=z)  # x and y add up to the sex
    options = {"attributes_to_test": ["sex"]}
    for order in (["age_years", "x", "y", "z"], ["x", "z", "y", "age_years"]):
        found = adjusted_gaps(outcomes, people, adjust_for=order, **options)
        assert set(found["note"]) == {f"{INSEPARABLE} (x, y)"}


def test_a_mixed_model_without_confounders_says_that_only_the_random_effect_is_held(tmp_path):
    outcomes, people = made(60, gap=50.0)
    people = people.assign(site=[f"s{k // 2 % 6}" for k in range(60)], age_years=50.0)
    options = {"attributes_to_test": ["sex"]}
    found = adjusted_gaps(
        outcomes, people, adjust_for=["age_years"], methods=["mixed"], block="site", **options
    )
    assert found["gap"].notna().all()
    assert set(found["adjusted_for"]) == {""}
    found.to_csv(tmp_path / "adjusted.csv", index=False)
    read = pd.read_csv(tmp_path / "adjusted.csv")
    gaps = audit(outcomes, people, n_boot=50, **options).gaps.assign(p_adj=1.0)
    for table in (found, read.assign(note=read["note"].fillna(""))):
        lines = [*adjusted_sentences(table), *sentences(gaps, adjusted=table)]
        assert not any("Adjusted for  " in line or "for nan" in line for line in lines)
        held = [line for line in lines if "Adjusted for the random effect alone (mixed)" in line]
        assert len(held) == 1 + len(OUTCOMES)


def test_the_gap_without_adjustment_is_no_evidence_of_adjustment():
    """Age explains the whole gap: with `unadjusted` among the methods that is still said."""
    outcomes, people = made(120)
    outcomes = outcomes[outcomes["outcome"] == OUTCOMES[0]]
    men = (people["sex"] == "male").to_numpy()
    rng = np.random.default_rng(3)
    people["age_years"] = 60 + 6 * men + rng.normal(0, 4, 120)
    outcomes = outcomes.assign(value=2 * people["age_years"].to_numpy() + rng.normal(0, 3, 120))
    options = {"attributes_to_test": ["sex"]}
    gaps = audit(outcomes, people, **options).gaps
    every = {}
    for methods in (["regression"], ["unadjusted", "regression"], ["unadjusted"]):
        found = adjusted_gaps(
            outcomes, people, adjust_for=["age_years"], methods=methods, **options
        )
        every[len(methods), methods[0]] = (
            single(sentences(gaps, adjusted=found)), adjusted_sentences(found)
        )  # fmt: skip
    alone, both, neither = every.values()
    assert alone[0][0].endswith("no longer significant.")
    assert both == alone
    assert neither[1] == []
    assert "djusted for" not in neither[0][0]
    assert found["adjusted_for"].eq("").all()
    assert found["not_adjusted_for"].eq("age_years").all()
