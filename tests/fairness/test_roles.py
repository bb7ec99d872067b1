"""Roles of attributes: protected first, technical summed up, adjustment in the same sentence."""

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.adjusted import adjusted_gaps
from popscan.fairness.audit import audit
from popscan.fairness.findings import sentences
from popscan.fairness.roles import role_of


@pytest.fixture(scope="module")
def ratings():
    """1,100 ratings of image quality from 17 sites; women are rated 7 lower at equal age."""
    rng = np.random.default_rng(12)
    n = 1100
    female = rng.random(n) < 0.45
    age = rng.normal(50, 12, n) + 6.0 * female
    site = rng.integers(0, 17, n)
    rating = 70 + 0.9 * (age - 50) - 7 * female + rng.normal(0, 6, 17)[site]
    people = pd.DataFrame(
        {"sex": np.where(female, "female", "male"), "age_years": age,
         "site": [f"site {s:02d}" for s in site]},
        index=[f"sub-{i:04d}" for i in range(n)],
    )  # fmt: skip
    outcome = pd.DataFrame(
        {"unit": people.index, "stage": "table", "outcome": "rating",
         "value": rating + rng.normal(0, 15, n), "better_is": "higher"}
    )  # fmt: skip
    return outcome, people


OPTIONS = {"attributes_to_test": ["sex", "site"], "alpha": 0.05}


def test_roles_go_by_name_unless_given():
    technical = ["site", "scanner", "manufacturer", "field_strength_t", "sex x site", "centre"]
    assert {role_of(name) for name in technical} == {"technical"}
    assert {role_of(n) for n in ["sex", "race", "age_band", "sex x race", "bmi_class"]} == {
        "protected"
    }
    assert role_of("site", {"site": "protected"}) == "protected"
    assert role_of("visit", {"visit": "technical"}) == "technical"


def test_sites_do_not_use_up_the_correction_of_a_gap_by_sex(ratings):
    outcome, people = ratings
    by_role = audit(outcome, people, family="role", n_boot=200, **OPTIONS)
    at_once = audit(outcome, people, family="all", n_boot=200, **OPTIONS)
    sex = by_role.gaps["attribute"] == "sex"
    assert by_role.gaps.loc[sex, "p_adj"].iloc[0] == by_role.gaps.loc[sex, "p"].iloc[0]
    assert at_once.gaps.loc[sex, "p_adj"].iloc[0] > at_once.gaps.loc[sex, "p"].iloc[0]
    assert set(by_role.gaps["role"]) == {"protected", "technical"}
    sites = by_role.gaps[~sex].set_index("group")["p_adj"]
    one_family = at_once.gaps[~sex].set_index("group")["p_adj"]
    assert (sites <= one_family + 1e-12).all()


@pytest.mark.parametrize("method", ["standardisation", "regression"])
def test_a_gap_that_adjustment_reveals_is_said_first_and_in_one_sentence(ratings, method):
    outcome, people = ratings
    result = audit(outcome, people, family="role", n_boot=200, **OPTIONS)
    adjusted = adjusted_gaps(
        outcome, people, adjust_for=["age_years"], methods=[method], family="role", **OPTIONS
    )
    by_sex = adjusted[adjusted["attribute"] == "sex"].iloc[0]
    raw = result.gaps[result.gaps["attribute"] == "sex"].iloc[0]
    assert raw["p_adj"] > 0.05 >= by_sex["p_adj"]
    assert by_sex["p_change"] < 0.001
    said = sentences(result.gaps, adjusted=adjusted, summary=result.summary)
    first = next(s for s in said if s.startswith("Rating"))
    assert "women" in first
    assert "men" in first
    assert f"Adjusted for age ({method}) it is {by_sex['gap']:+.1f}" in first
    assert "only adjustment shows" in first
    place = said.index(first)
    assert not any("site" in s for s in said[1:place] if not s.startswith("16 comparisons"))


def test_a_gap_that_adjustment_removes_is_said_so():
    rng = np.random.default_rng(4)
    n = 600
    female = rng.random(n) < 0.5
    age = rng.normal(50, 8, n) + 8.0 * female
    people = pd.DataFrame(
        {"sex": np.where(female, "female", "male"), "age_years": age},
        index=[f"sub-{i:03d}" for i in range(n)],
    )
    outcome = pd.DataFrame(
        {"unit": people.index, "stage": "table", "outcome": "rating",
         "value": -age + rng.normal(0, 5, n), "better_is": "higher"}
    )  # fmt: skip
    only = {"attributes_to_test": ["sex"]}
    result = audit(outcome, people, n_boot=200, **only)
    adjusted = adjusted_gaps(outcome, people, adjust_for=["age_years"], **only)
    said = sentences(result.gaps, adjusted=adjusted, summary=result.summary)[1]
    assert "to their disadvantage" in said
    assert said.endswith("no longer significant.")


def test_sites_are_summed_up_in_one_sentence(ratings):
    outcome, people = ratings
    result = audit(outcome, people, family="role", n_boot=200, **OPTIONS)
    said = sentences(result.gaps, summary=result.summary)
    about = [s for s in said if s.startswith("By site")]
    assert len(about) == 1
    row = result.summary[result.summary["attribute"] == "site"].iloc[0]
    assert f"({row['worst_group']}, worst)" in about[0]
    assert "17 groups, the Kruskal-Wallis test" in about[0]
    assert not any(s.startswith("Rating is") and "site" in s for s in said)
    assert sum("comparisons by" in s for s in said) == 2


def test_hidden_rows_still_count_as_tests(ratings):
    outcome, people = ratings
    gaps = audit(outcome, people, family="role", n_boot=100, **OPTIONS).gaps
    assert set(gaps.loc[gaps["role"] == "technical", "n_tests"]) == {16}
    shown = gaps[gaps["role"] == "technical"].head(5)
    said = sentences(shown)
    assert said[0].startswith("16 comparisons were tested, 5 of them shown here;")


def test_one_method_of_three_that_finds_something_is_no_finding(ratings):
    outcome, people = ratings
    result = audit(outcome, people, family="role", n_boot=100, **OPTIONS)
    adjusted = adjusted_gaps(
        outcome, people, adjust_for=["age_years"], family="role",
        methods=["regression", "ancova", "standardisation"], **OPTIONS
    )  # fmt: skip
    of_sex = adjusted["attribute"] == "sex"
    others = of_sex & (adjusted["method"] != "regression")
    adjusted.loc[others, "p_adj"] = 0.4
    told = " ".join(sentences(result.gaps, adjusted=adjusted, summary=result.summary))
    assert "only adjustment shows" not in told
    adjusted.loc[of_sex & (adjusted["method"] == "ancova"), "p_adj"] = 0.01
    told = " ".join(sentences(result.gaps, adjusted=adjusted, summary=result.summary))
    assert "only adjustment shows (2 of 3 methods)" in told
