"""Numbers that are none: answer codes, numbers of sites, weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.stats.codes import (
    as_categories,
    blank_codes,
    few_whole_numbers,
    slope_notes,
    suspected_codes,
    two_value_notes,
    weight_notes,
)
from popscan.stats.design import build

DAYS = [0.5, 1, 2, 3, 4, 5, 6, 7, 2.5, 3.5]


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([*DAYS, -1, -3, -3], [-3, -1]),
        ([*DAYS, -10, -1], [-10, -1]),
        ([*DAYS, -9, 999, 999], [-9, 999]),
        ([*DAYS, 99], [99]),
        ([*DAYS, -1.5, -1], []),  # a quantity that may be negative
        ([*DAYS, -2, -1], []),
        ([*DAYS, 15], []),
        ([60, 70, 80, 90, 99, 65, 75, 85, 95, 62, 64], []),  # 99 is a value among others
        ([1, 2, 3, -1], []),  # too few to say
        ([], []),
    ],
)
def test_codes_among_values_are_suspected(values, codes):
    assert suspected_codes(pd.Series(values, dtype=float)) == codes


def test_codes_count_as_missing_and_are_named_unless_the_config_keeps_them():
    table = pd.DataFrame(
        {"walk_days": [*DAYS, -1, -3, -3], "race": [*range(1001, 1011), -1, -3, 5]}
    )
    clean, notes = blank_codes(table, leave=["race"])
    assert clean["walk_days"].isna().sum() == 3
    assert notes == [
        "walk_days: -3 (2), -1 (1) are codes among values from 0 and count as missing; "
        "cohort.special_codes can say otherwise."
    ]
    pd.testing.assert_series_equal(clean["race"], table["race"])
    kept, notes = blank_codes(table, codes={"walk_days": []}, leave=["race"])
    assert notes == []
    pd.testing.assert_frame_equal(kept, table)
    given, notes = blank_codes(table, codes={"walk_days": [7, -3]}, leave=["race"])
    assert given["walk_days"].isna().sum() == 3
    assert notes == ["walk_days: -3 (2), 7 (1) are codes that count as missing."]


@pytest.mark.parametrize("name", ["site", "site_id", "centre", "imaging_center", "scanner_no"])
def test_numbers_of_sites_are_categories(name):
    table = pd.DataFrame({name: [11025.0, 11026.0, np.nan] * 8, "age_years": np.arange(24.0)})
    found, notes = as_categories(table)
    assert notes == [f"{name}: its 2 whole numbers are read as categories."]
    complete = pd.Series(True, index=table.index)
    design = build(found, terms=[name], categorical=(), complete=complete)
    assert list(design.matrix) == ["intercept", f"{name}[11026 vs 11025]"]


@pytest.mark.parametrize(
    ("name", "values"), [("site_distance_km", [1, 2]), ("site", [1.5, 2.5]), ("parasite", [1, 2])]
)
def test_other_numbers_stay_numbers(name, values):
    table = pd.DataFrame({name: values})
    assert as_categories(table)[0] is table
    assert as_categories(table, categorical=[name])[0][name].tolist() == list(map(str, values))


def test_few_whole_numbers_as_a_slope_are_named():
    table = pd.DataFrame(
        {"ward": [1, 2, 3, 4] * 6, "age": range(24), "yes": [0, 1] * 12, "dose": [0.5, 1.0, 2] * 8}
    )
    assert [name for name in table if few_whole_numbers(table[name])] == ["ward"]
    assert "cohort.categorical" in slope_notes(table, ["ward", "age", "absent"])[0]
    complete = pd.Series(True, index=table.index)
    design = build(table, terms=["ward", "age"], categorical=(), complete=complete)
    assert design.notes == {"ward": "few different whole numbers are used as a quantity"}


@pytest.mark.parametrize("name", ["sampling_weight", "ipw", "iptw_trimmed", "survey_wt", "pweight"])
def test_weights_of_subjects_are_named(name):
    assert "popscan has no weighted estimates" in weight_notes(pd.DataFrame({name: [1.5, 0.5]}))[0]


@pytest.mark.parametrize("name", ["weight_kg", "birth_weight_g", "lvm_weight", "response", "wt_mm"])
def test_weights_of_bodies_are_not(name):
    assert weight_notes(pd.DataFrame({name: [1.5, 0.5]})) == []


@pytest.mark.parametrize("kept_as", ["words", "categorical", "site", "coding", "numbers"])
def test_listed_codes_count_as_missing_in_columns_of_every_kind(kept_as):
    from popscan.config import Cohort, Fairness
    from popscan.fairness.groups import MISSING, labels
    from popscan.study.cohort import cohort_attributes

    values = {"words": ["never", "ever", "99", "never"]}.get(kept_as, [1, 2, 99, 1])
    name = "site" if kept_as == "site" else "answer"
    people = pd.DataFrame({"unit": [f"sub-{i:02d}" for i in range(40)], name: values * 10})
    coding = {name: {"1": "one", "2": "two", "99": "ninety-nine"}} if kept_as == "coding" else {}
    cohort = Cohort(
        special_codes={name: [99]}, categorical=[name] if kept_as == "categorical" else []
    )
    found, notes = cohort_attributes(people, fairness=Fairness(codings=coding), cohort=cohort)
    groups = labels(found[name])
    assert groups.nunique() == 3
    assert (groups == MISSING).sum() == 10
    assert f"{name}: 99 (10) are codes that count as missing." in notes


@pytest.mark.parametrize(
    ("values", "named"),
    [([1, 2], True), ([0, 2], True), ([0, 1], False), ([1, 2, 3], False), ([0.5, 1.5], False)],
)
def test_outcomes_of_two_values_that_may_be_yes_and_no_are_named(values, named):
    table = pd.DataFrame({"ill": values * 4})
    assert bool(two_value_notes(table, ["ill", "absent"])) is named
