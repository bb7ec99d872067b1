"""One study, long and short axis of the same simulated hearts, by real Snakemake."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from popscan.study.agreeing_visits import VISITS
from popscan.study.together import TOGETHER
from small_study import snakemake

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

CHECKS = ("frame_count", "slice_count", "apical_coverage_pct", "lv_open_pct", "snr")
CONFIG = {
    "protocol": ["cine_sax", "cine_lax"],
    "study": {"name": "two", "seed": 3},
    "source": {"kind": "simulated"},
    "simulate": {"n_subjects": 3, "kspace": False, "n_frames": 4, "matrix": 96, "spacing_mm": 2.6},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
    "atlas": {"enabled": False},
    "protocols": {"cine_sax": {"qc": {"thresholds": {c: {"fail": None} for c in CHECKS}}}},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    (place / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    snakemake(place)
    return place / "results" / "two"


def test_every_visit_that_both_analysed_is_judged(study):
    subjects = pd.read_parquet(study / "tables" / "subjects.parquet").set_index("unit")
    both = subjects.index[subjects["n_analysed"] == 2]
    assert len(both)
    visits = pd.read_parquet(study / "tables" / "agreement_visits.parquet")
    assert set(visits["unit"]) == set(both)
    assert set(visits["column"]) == {"lvedv_ml", "lvesv_ml", "lvef_pct"}
    assert subjects.loc[both, "agreement"].isin(["pass", "review"]).all()
    assert (subjects.drop(index=both)["agreement"] == "").all()
    flagged = set(visits.loc[visits["verdict"] == "review", "unit"])
    assert flagged == set(subjects.index[subjects["agreement"] == "review"])
    assert set(json.loads((study / "tables" / "agreement_visits.json").read_text())) == set(VISITS)
    page = (study / "report" / "index.html").read_text()
    assert "Visits to be looked at" in page
    assert all(unit in page for unit in flagged)


def test_the_stack_is_held_against_the_valve(study):
    table = pd.read_parquet(study / "tables" / "together.parquet").set_index("unit")
    assert set(TOGETHER) - {"unit"} <= set(table)
    assert (table["reason"] == "").all()
    known = table[["sax_beyond_base_ed_ml", "sax_short_of_base_ed_ml"]].dropna()
    assert len(known)
    assert (known >= 0).all(axis=None)
