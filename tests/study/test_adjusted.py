"""Biomarkers adjusted for head size over a study: in the read-model, in tables, as outcomes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from popscan.protocols import get_protocol
from popscan.records import PopscanError
from popscan.stages.associate.job import associate_study
from popscan.stages.fairness.inputs import audit_inputs
from popscan.stats.residual import size_slope
from popscan.study.adjusted import adjusted_columns
from popscan.study.study import Study
from popscan.study.tables import read_table

BRAIN = get_protocol("brain_t1")
OPTIONS = {
    "protocol": "brain_t1",
    "study": {"seed": 1},
    "associate": {"outcomes": ["hippocampus_icv_adjusted_ml"], "terms": ["age_years"]},
    "fairness": {"biomarkers": ["hippocampus_ml", "hippocampus_icv_adjusted_ml"]},
    "cohort": {},
    "atlas": {"enabled": False},
    "source": {"kind": "bids"},
}


@pytest.fixture
def study_root(tmp_path, rng):
    """Forty people, of whom one failed QC and ten are patients with a smaller hippocampus."""
    units = [f"sub-{i:02d}" for i in range(40)]
    patient = np.arange(40) >= 30
    icv = rng.normal(1500, 130, 40)
    people = pd.DataFrame(
        {
            "unit": units, "sub": units, "sex": ["female", "male"] * 20,
            "age_years": np.linspace(40.0, 80.0, 40), "group": np.where(patient, "AD", "NOR"),
        }
    )  # fmt: skip
    numbers = pd.DataFrame(
        {
            "unit": units, "analysed": [True] * 39 + [False], "icv_ml": icv,
            "hippocampus_ml": 2 + 0.004 * icv + rng.normal(0, 0.2, 40) - 1.0 * patient,
        }
    )  # fmt: skip
    verdicts = pd.DataFrame({"unit": units, "verdict": ["pass"] * 39 + ["fail"]})
    for name, table in (("participants", people), ("biomarkers", numbers), ("qc", verdicts)):
        folder = tmp_path / "tables"
        folder.mkdir(exist_ok=True)
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return tmp_path


def test_who_is_analysed_makes_the_slope_and_has_the_column(study_root):
    study = Study.of_tables(study_root, OPTIONS)
    kept = read_table(study_root, "biomarkers").iloc[:39]
    line = size_slope(kept["hippocampus_ml"], kept["icv_ml"])
    expected = kept["hippocampus_ml"] - line.slope * (kept["icv_ml"] - kept["icv_ml"].mean())
    np.testing.assert_allclose(study.biomarkers["hippocampus_icv_adjusted_ml"], expected)
    assert list(study.size_slopes) == ["hippocampus_icv_adjusted_ml"]


def test_a_reference_group_gives_the_slope_for_all(study_root):
    options = {**OPTIONS, "cohort": {"reference_group": {"group": "nor"}}}
    study = Study.of_tables(study_root, options)
    line = study.size_slopes["hippocampus_icv_adjusted_ml"]
    assert line.n == 30
    adjusted = study.biomarkers.set_index("unit")["hippocampus_icv_adjusted_ml"]
    lost = adjusted.iloc[30:].mean() - adjusted.iloc[:30].mean()
    assert lost == pytest.approx(-1.0, abs=0.25)
    options = {**OPTIONS, "cohort": {"reference_group": {"grupp": "NOR"}}}
    with pytest.raises(PopscanError, match="grupp: the study has no such column"):
        _ = Study.of_tables(study_root, options).biomarkers


def test_tables_hold_the_numbers_the_slopes_and_their_meaning(study_root):
    associate_study(study_root, OPTIONS)
    table = read_table(study_root, "biomarkers_adjusted")
    assert list(table) == ["unit", "hippocampus_icv_adjusted_ml"]
    assert len(table) == 39
    slopes = read_table(study_root, "size_slopes")
    row = slopes.iloc[0]
    assert (row["of"], row["by"], row["n"]) == ("hippocampus_ml", "icv_ml", 39)
    assert row["ci_low"] < row["slope"] < row["ci_high"]
    assert row["reference"] == "all analysed"
    told = json.loads((study_root / "tables" / "biomarkers_adjusted.json").read_text())
    assert told["hippocampus_icv_adjusted_ml"]["unit"] == "mL"
    assert "Jack et al. 1989" in told["hippocampus_icv_adjusted_ml"]["source"]
    found = read_table(study_root, "associations")
    assert set(found["outcome"]) == {"hippocampus_icv_adjusted_ml"}


def test_too_few_people_say_so(study_root):
    options = {**OPTIONS, "cohort": {"reference_group": {"group": "AD"}}}
    associate_study(study_root, options)
    row = read_table(study_root, "size_slopes").iloc[0]
    assert "fewer than 10" in row["note"]
    assert read_table(study_root, "biomarkers_adjusted").iloc[:, 1].isna().all()


def test_the_audit_compares_it(study_root):
    pd.DataFrame(
        {"unit": ["sub-00"], "stage": ["segment"], "status": ["ok"], "reason": [""],
         "message": [""]}
    ).to_parquet(study_root / "tables" / "ledger.parquet", index=False)  # fmt: skip
    outcomes = audit_inputs(Study.of_tables(study_root, OPTIONS)).outcomes
    assert "hippocampus_icv_adjusted_ml" in set(outcomes["outcome"])


def test_names_and_dictionary_are_those_of_the_protocol():
    made = adjusted_columns(BRAIN)
    assert {"hippocampus_icv_adjusted_ml", "brain_icv_adjusted_ml"} <= set(made)
    assert adjusted_columns(get_protocol("cine_sax")) == {}
