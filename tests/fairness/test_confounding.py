"""Associations of confounders are found and named; what it is cut from is no confounder."""

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.adjusted import adjusted_gaps
from popscan.fairness.attributes import confounders_of
from popscan.fairness.confounding import confounding, confounding_sentences


@pytest.fixture
def people(rng):
    n = 300
    older = np.arange(n) < 120
    return pd.DataFrame(
        {
            "g": np.where(older, "a", "b"),
            "age_years": rng.normal(55, 5, n) + 12 * older,
            "site": np.where(older & (np.arange(n) < 60), "s1", np.where(older, "s2", "s3")),
            "coin": rng.choice(["h", "t"], n),
        },
        index=pd.Index([f"u{i:03d}" for i in range(n)], name="unit"),
    )


def test_an_attribute_is_not_its_own_confounder():
    wanted = ["sex", "age_years", "bmi_kg_m2", "site"]
    assert confounders_of("sex x age_band", wanted) == ["bmi_kg_m2", "site"]
    assert confounders_of("bmi_class", wanted) == ["sex", "age_years", "site"]


def test_strong_ties_are_found_and_independent_columns_are_not(people):
    table = confounding(
        people, attributes_to_test=["g"], confounders=["age_years", "site", "coin", "absent"]
    ).set_index("confounder")
    assert set(table.index) == {"age_years", "site", "coin"}
    assert table.loc["site", "strength"] == pytest.approx(1.0)
    assert table.loc["age_years", "strength"] > 0.3
    assert table.loc["coin", "strength"] < 0.25
    assert "b: none at s1" in table.loc["site", "apart"]
    said = confounding_sentences(table.reset_index())
    assert any(line.startswith("site is associated with g (Cramer's V 1.00)") for line in said)


def test_groups_that_are_too_small_do_not_enter(people):
    tiny = people.assign(g=np.where(np.arange(len(people)) < 5, "tiny", people["g"]))
    table = confounding(tiny, attributes_to_test=["g"], confounders=["site"])
    assert table["n_groups"].tolist() == [2]
    assert "tiny" not in table["apart"].iloc[0]
    one = confounding(people.assign(g="all"), attributes_to_test=["g"], confounders=["site"])
    assert one.empty


def test_what_cannot_be_told_apart_has_no_adjusted_gap(people, rng):
    outcomes = pd.DataFrame(
        {"unit": people.index, "stage": "s", "outcome": "y", "better_is": "higher",
         "value": rng.normal(size=len(people))}
    )  # fmt: skip
    found = adjusted_gaps(outcomes, people, attributes_to_test=["g"], adjust_for=["site"])
    assert np.isnan(found["gap"].iloc[0])
    assert "cannot be distinguished" in found["note"].iloc[0]
    mixed = adjusted_gaps(
        outcomes, people, attributes_to_test=["site"], adjust_for=["age_years"],
        methods=["mixed"], block="site",
    )  # fmt: skip
    assert mixed["note"].str.contains("attribute itself").all()


@pytest.mark.parametrize("men_at_b", [0, 1, 3, 4, 5])
def test_the_strength_of_an_association_gives_no_small_cell_away(men_at_b):
    """From rounded margins, Cramer's V of three digits left one or two counts possible."""
    n = 60
    sex = np.repeat(["male", "female"], n)
    site = np.repeat(["B", "A", "B", "A"], [men_at_b, n - men_at_b, 20, n - 20])
    people = pd.DataFrame({"sex": sex, "site": site, "age_years": np.arange(2.0 * n)})
    options = {"attributes_to_test": ["sex"], "confounders": ["site", "age_years"]}
    assert list(confounding(people, **options)["confounder"]) == ["site", "age_years"]
    shared = list(confounding(people, min_cell=5, **options)["confounder"])
    assert ("site" in shared) == (men_at_b in (0, 5))
    assert "age_years" in shared
