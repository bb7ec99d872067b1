"""Numbers of the motion enter the analyses that name them, and no other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.config import Config
from popscan.stages.associate.job import analysed_table
from popscan.stages.fairness.inputs import audit_inputs
from popscan.study.columns import study_columns
from popscan.study.study import Study

UNITS = ["sub-1", "sub-2", "sub-3"]


def config(**sections):
    return {"source": {"kind": "bids"}, "atlas": {"enabled": False}, **sections}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "tables").mkdir()
    tables = {
        "participants": {"unit": UNITS, "sub": UNITS, "sex": ["female", "male", "female"]},
        "biomarkers": {"unit": UNITS, "analysed": [True, True, False], "lvef_pct": [60.0, 55, 50]},
        "qc": {"unit": UNITS, "verdict": ["pass", "pass", "fail"]},
        "motion": {"unit": ["sub-3", "sub-1"], "gcs_peak_pct": [-9.0, -17.0], "slices": [8, 8]},
        "ledger": {"unit": UNITS, "stage": "biomarkers", "status": "ok", "reason": "",
                   "message": ""},
    }  # fmt: skip
    for name, columns in tables.items():
        path = tmp_path / "tables" / f"{name}.parquet"
        pd.DataFrame(columns).to_parquet(path, index=False)
    return tmp_path


def test_named_columns_are_those_of_the_analysed_subjects(root):
    options = Config.model_validate(config(associate={"outcomes": ["gcs_peak_pct"]})).model_dump()
    table = analysed_table(root, options).set_index("unit")
    assert table.index.tolist() == ["sub-1", "sub-2"]
    assert table.loc["sub-1", "gcs_peak_pct"] == -17.0
    assert np.isnan(table.loc["sub-2", "gcs_peak_pct"])  # not tracked


def test_the_audit_compares_them_and_nothing_is_added_unasked(root):
    given = config(fairness={"biomarkers": ["lvef_pct", "gcs_peak_pct"]})
    options = Config.model_validate(given).model_dump()
    outcomes = audit_inputs(Study.of_tables(root, options)).outcomes
    moved = outcomes[outcomes["outcome"] == "gcs_peak_pct"]
    assert dict(zip(moved["unit"], moved["value"], strict=True))["sub-1"] == -17.0
    plain = Study.of_tables(root, Config.model_validate(config()).model_dump())
    assert "gcs_peak_pct" not in plain.biomarkers


def test_check_knows_them_where_the_stage_runs():
    asked = {"associate": {"outcomes": ["gcs_peak_pct"]}}
    rows = pd.DataFrame({"participant_id": UNITS, "sex": ["female", "male", "female"]})
    stages = {"motion": {"enabled": True}}
    without = study_columns(Config.model_validate(config(**asked)), rows)[0]
    assert any("gcs_peak_pct" in problem for problem in without)
    problems = study_columns(Config.model_validate(config(**asked, stages=stages)), rows)[0]
    assert not any("gcs_peak_pct" in problem for problem in problems)
