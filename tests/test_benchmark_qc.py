"""What `benchmarks/qc_truth.py` calls a true failure: wrong, passed, outside of its interval."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("qc_silent")
    sys.modules.pop("qc_silent", None)


ABOUT = {
    "intervals": [
        {
            "flips": False,
            "dropout_samples": 0,
            "quantities": {
                "lvef_pct": {"errors": [-4.0, 4.0] * 10, "spreads": [float("nan")] * 20},
                "lvedv_ml": {"errors": [-0.1, 0.1] * 10, "spreads": [float("nan")] * 20},
            },
        }
    ]
}


def values(**given: float) -> dict[str, float]:
    names = ("lvedv_ml", "lvesv_ml", "lvsv_ml", "lvef_pct", "lvm_g")
    right = ("rvedv_ml", "rvesv_ml", "rvsv_ml", "rvef_pct")
    return {"ed_frame": 0.0, "es_frame": 1.0, **dict.fromkeys((*names, *right), 50.0), **given}


def test_an_interval_that_excludes_the_truth_is_noticed(silent):
    record = {"ood_score": 0.5, "base": {}}
    near = silent.outside(values(lvef_pct=50.0), values(lvef_pct=54.0), record, ABOUT)
    far = silent.outside(values(lvef_pct=50.0), values(lvef_pct=70.0), record, ABOUT)
    assert (near["lvef_points"], far["lvef_points"]) == (False, True)
    assert not far["rvesv_pct"]  # Not calibrated: there is no interval that could mislead.


def test_a_result_without_a_number_misleads_nobody(silent):
    record = {"ood_score": float("nan"), "base": {}}
    found = silent.outside(values(lvef_pct=np.nan), values(lvef_pct=60.0), record, ABOUT)
    assert not found["lvef_points"]


def test_flagged_results_are_no_true_failures(silent):
    rows = pd.DataFrame({"unit": list("aabc"), "misled lvef_points": [True, True, False, np.nan]})
    hidden = silent.silent(rows, np.array([True, False, False, False]))
    assert hidden.tolist() == [False, True, False, False]
    assert silent.share_by_patient(rows, hidden).startswith("1 of 4 (25.0%, 0.0 to ")


def test_no_failure_among_few_patients_leaves_much_open(silent):
    rows = pd.DataFrame({"unit": list("aabbcc")})
    assert silent.share_by_patient(rows, np.zeros(6, dtype=bool)) == "0 of 6 (0.0%, 0.0 to 56.1)"
    assert silent.share_by_patient(rows[:0], np.zeros(0, dtype=bool)) == "none"
