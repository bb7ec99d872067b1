"""``derivatives/`` says as a BIDS data set who made it."""

import json
from pathlib import Path

import pytest

from popscan.stages.report.bids_files import write_bids_files
from popscan.stages.report.provenance import Provenance


@pytest.fixture
def facts() -> Provenance:
    return {
        "popscan": "0.1.0",
        "packages": {"numpy": "2.1"},
        "python": "3.11.7",
        "machine": {"system": "Linux", "processor": "x86_64"},
        "seed": 1,
        "config": {"source": {"root": "/secret/folder"}},
        "model": {"name": "net", "digest": "abc"},
        "stages": {"ingest": "5", "segment": "6", "motion": "2"},
        "cohort": {
            "n_subjects": 1, "removed": 0, "withdrawn": {}, "unlisted": 0, "problems": ["sub-0007"],
        },
    }  # fmt: skip


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_only_what_the_study_did_is_named(tmp_path: Path, facts: Provenance) -> None:
    root = tmp_path / "derivatives"
    root.mkdir()
    write_bids_files(tmp_path, facts, name="A study", stages=["ingest", "segment"])
    what = read(root / "dataset_description.json")
    assert (what["Name"], what["DatasetType"]) == ("A study", "derivative")
    assert [one["Name"] for one in what["GeneratedBy"]] == ["popscan", "net"]
    assert what["GeneratedBy"][0]["Description"] == "Stages: ingest 5, segment 6"
    activities = read(root / "prov" / "prov-popscan_act.json")["Activities"]
    software = {one["Id"] for one in read(root / "prov" / "prov-popscan_soft.json")["Software"]}
    assert [one["Id"] for one in activities] == ["bids::prov#ingest-5", "bids::prov#segment-6"]
    assert {one["AssociatedWith"] for one in activities} <= software
    environments = read(root / "prov" / "prov-popscan_env.json")["Environments"]
    assert {used for one in activities for used in one["Used"]} == {e["Id"] for e in environments}
    text = "".join(p.read_text() for p in root.rglob("*.json"))
    assert "secret" not in text
    assert "sub-0007" not in text


def test_a_study_without_derivatives_gets_none(tmp_path: Path, facts: Provenance) -> None:
    write_bids_files(tmp_path, facts, name="A study", stages=["ingest"])
    assert not list(tmp_path.iterdir())


def test_without_a_model_none_is_named(tmp_path: Path, facts: Provenance) -> None:
    (tmp_path / "derivatives").mkdir()
    facts["model"] = {"name": "no model", "digest": ""}
    write_bids_files(tmp_path, facts, name="A study", stages=["ingest"])
    what = read(tmp_path / "derivatives" / "dataset_description.json")
    assert [one["Name"] for one in what["GeneratedBy"]] == ["popscan"]
