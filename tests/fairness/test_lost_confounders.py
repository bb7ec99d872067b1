"""A confounder that a comparison goes without is named in the table and in every sentence on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.adjusted import adjusted_gaps
from popscan.fairness.story import adjusted_sentences


@pytest.fixture
def tables(rng):
    """Outcomes and attributes; nobody of group C has another site than 1."""
    n = 240
    group = np.repeat(["A", "B", "C"], n // 3)
    people = pd.DataFrame(
        {
            "group": group,
            "age_years": rng.normal(60, 8, n),
            "site": np.where(group == "B", rng.choice(["1", "2"], n), "1"),
            "vendor": "Siemens",
        },
        index=pd.Index([f"sub-{i:03d}" for i in range(n)], name="unit"),
    )
    outcomes = pd.DataFrame(
        {"unit": people.index, "stage": "table", "outcome": "dice_mean", "better_is": "higher",
         "value": 0.9 - 0.05 * (group != "A") + rng.normal(0, 0.02, n)}
    )  # fmt: skip
    return outcomes, people


def adjusted(tables, **options) -> pd.DataFrame:
    outcomes, people = tables
    return adjusted_gaps(
        outcomes, people, attributes_to_test=["group"], reference={"group": "A"},
        adjust_for=["age_years", "site", "vendor"], **options,
    )  # fmt: skip


def test_what_a_comparison_goes_without_is_a_column(tables):
    table = adjusted(tables, unavailable=["bsa_m2"]).set_index("group")
    assert table["adjusted_for"].to_dict() == {"B": "age_years, site", "C": "age_years"}
    assert table["not_adjusted_for"].to_dict() == {
        "B": "vendor, bsa_m2",
        "C": "site, vendor, bsa_m2",
    }


def test_what_a_comparison_goes_without_is_in_its_sentence(tables):
    said = adjusted_sentences(adjusted(tables))
    assert "no adjustment for vendor; no adjustment for site in 1 of 2" in said[0]
    assert len(said) == 3
    lost = {"B minus A": "vendor.", "C minus A": "site, vendor."}
    for groups, names in lost.items():
        sentence = next(s for s in said if groups in s)
        assert sentence.endswith(f"; not adjusted for {names}")


def test_a_confounder_that_follows_from_others_is_held_equal(tables):
    outcomes, people = tables
    vendor = np.where(np.arange(len(people)) % 2, "GE", "Siemens")
    people = people.assign(site=vendor, vendor=vendor)
    table = adjusted((outcomes, people))
    assert table["not_adjusted_for"].eq("").all()
    assert not any("adjusted for" in sentence for sentence in adjusted_sentences(table))


def test_outcomes_that_lack_other_units_are_adjusted_as_each_alone(tables, rng):
    outcomes, people = tables
    parts = [outcomes.assign(outcome=f"dice_{i}", value=rng.permutation(outcomes["value"]))
             for i in range(4)]  # fmt: skip
    parts[1].loc[::7, "value"] = np.nan
    parts[2].loc[::5, "value"] = np.nan
    together = adjusted((pd.concat(parts, ignore_index=True), people), correction="none")
    alone = [adjusted((part, people), correction="none") for part in parts]
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))
    assert together["n"].nunique() > 1
