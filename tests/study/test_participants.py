"""The cohort's table: what both the cohort and the scan say, and what only one of them says."""

from __future__ import annotations

import pandas as pd
import pytest

from popscan.config import Cohort, Fairness
from popscan.plan import Planned, write_plan
from popscan.records import Subject
from popscan.study.cohort import cohort_attributes
from popscan.study.participants import participants_table


@pytest.fixture
def people(tmp_path):
    """A study whose cohort table has columns that end in _scan."""
    rows = [
        {"weight_kg": "70", "weight_kg_scan": "90", "age_at_scan": "50", "manufacturer": ""},
        {"weight_kg": "", "weight_kg_scan": "91", "age_at_scan": "51", "manufacturer": "own"},
    ]
    planned = [Planned(subject=Subject(sub=f"sub-{i}", row=row)) for i, row in enumerate(rows)]
    write_plan(tmp_path, planned, shard_size=4)
    ingest = pd.DataFrame(
        {"unit": ["sub-0", "sub-1"], "weight_kg": [1.0, 2.0], "manufacturer": ["x", "y"],
         "n_slices": [9, 10]}
    )  # fmt: skip
    return participants_table(tmp_path, ["00000"], ingest).set_index("unit")


def test_columns_that_end_in_scan_stay_the_cohort_tables(people):
    assert list(people["age_at_scan"]) == [50, 51]
    assert list(people["weight_kg_scan"]) == [90, 91]


def test_gaps_of_the_cohort_table_are_filled_from_the_scan(people):
    assert list(people["weight_kg"]) == [70, 2]
    assert list(people["manufacturer"]) == ["x", "own"]
    assert list(people["n_slices"]) == [9, 10]
    assert len(people.columns) == 7


def test_only_a_simulated_study_hides_what_its_simulator_knows(tmp_path):
    row = {"truth_lvm_g": "100", "bias_field": "2", "fault": "none", "sex": "female"}
    write_plan(tmp_path, [Planned(subject=Subject(sub="sub-0", row=row))], shard_size=4)
    ingest = pd.DataFrame({"unit": ["sub-0"]})
    real = participants_table(tmp_path, ["00000"], ingest)
    assert real.loc[0, ["truth_lvm_g", "bias_field", "fault"]].tolist() == [100, 2, "none"]
    simulated = participants_table(tmp_path, ["00000"], ingest, simulated=True)
    assert list(simulated) == ["unit", "sub", "ses", "sex"]


def test_makers_of_scanners_are_spelled_by_scans_as_they_like():
    units = [f"sub-{i}" for i in range(5)]
    participants = pd.DataFrame(
        {"unit": units, "sub": units, "ses": "",
         "manufacturer": ["SIEMENS", "Siemens", "Siemens ", None, "Philips"]}
    )  # fmt: skip
    attributes, notes = cohort_attributes(participants, fairness=Fairness(), cohort=Cohort())
    makers = attributes["manufacturer"]
    assert makers.iloc[:3].nunique() == 1
    assert makers.isna().tolist() == [False, False, False, True, False]
    assert any(note.startswith("manufacturer: ") for note in notes)
