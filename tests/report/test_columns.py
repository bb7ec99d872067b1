"""Columns that point to single subjects are recognised by their names or by their values."""

from __future__ import annotations

import pandas as pd
import pytest

from popscan.report.columns import personal, shared_columns


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a", ["2019-03-04", "2019-11-23"]),
        ("a", ["20190304", "20191123"]),
        ("a", [20190304, 20191123]),
        ("a", ["04.03.2019", "23/11/19"]),
        ("a", ["2019-03-04T10:11:12Z", "2020-01-02 09:30"]),
        ("a", ["4 Mar 2019", "March 2020"]),
        ("date_of_scan", ["x", "y"]),
        ("ScanDate", ["x", "y"]),
        ("birth_year", [1950, 1961]),
        ("a", ["sub-0001", "sub-0002"]),
        ("a", [7316402, 7316499]),
        ("a", ["MR0012345", "MR0012346"]),
        ("a", ["jo@example.org", "al@example.org"]),
        ("a", ["1.2.840.113619.2.1", "1.2.840.113619.2.2"]),
        ("a", ["OX3 9DU", "SW1A 1AA"]),
        ("a", ["Dr Miles", "Prof. Quist"]),
        ("patient_no", [str(i) for i in range(20)]),
        ("operator", ["A", "B"]),
        ("comment", ["ok", "bad"]),
        ("a", ["the subject moved all the time", "ok"]),
        ("a", [f"word{i}" for i in range(40)]),
    ],
)
def test_personal_columns_are_recognised(name, values):
    assert personal(name, pd.Series(values))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sex", ["female", "male", ""]),
        ("age_band", ["0-45", "45-55", "75+"] * 9),
        ("age_years", [float(v) for v in range(40, 80)]),
        ("height_cm", [150.0 + v for v in range(40)]),
        ("race", ["White", "Black or Black British", "South Asian"] * 5),
        ("ethnic_id", [1, 2, 3] * 9),
        ("site_id", ["A1", "B2"] * 9),
        ("scanner", ["Siemens 1.5 T", "Philips Ingenia 3 T"] * 4),
        ("acquisition_time_ms", [1.5, 2.5, 3.5]),
        ("field_strength_t", [1.5, 3.0]),
        ("empty", [None, None]),
    ],
)
def test_categories_and_measurements_are_not(name, values):
    assert personal(name, pd.Series(values)) == ""


def test_only_listed_columns_are_shared_and_personal_ones_need_to_be_listed_twice():
    table = pd.DataFrame({"sex": ["f"], "race": ["b"], "odd": ["x"], "operator": ["y"]})
    chosen = shared_columns(table, attributes=["sex x race"])
    assert {"sex", "race"} <= set(chosen.columns)
    assert not {"odd", "operator"} & set(chosen.columns)
    assert chosen.allows("sex x race")
    assert not chosen.allows("sex x odd")
    listed = shared_columns(table, columns=["operator", "odd"], attributes=["sex"])
    assert listed.columns == ("odd",)
    assert list(listed.refused) == ["operator"]
    # Confirmed alone is not listed.
    assert shared_columns(table, columns=["odd"], confirmed=["operator"]).columns == ("odd",)
    both = shared_columns(table, columns=["operator"], confirmed=["operator"])
    assert both.columns == ("operator",)
    assert shared_columns(table, columns=["participant_id"], confirmed=["participant_id"]).refused
