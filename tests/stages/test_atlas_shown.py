"""What reports and pages show of an atlas: what is there, of as many subjects, read once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import popscan.stages.atlas.subject_report as subject_report
from atlas_study import FIRST, GRID, SECOND, Study, options
from popscan.stages.atlas.cycle_report import cycle_section
from popscan.stages.atlas.differences import Compared
from popscan.stages.atlas.report import atlas_sections, differences_section
from popscan.stages.atlas.subject_report import UnusualPlaces


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Study:
    study = Study(tmp_path_factory.mktemp("shown"))
    study.subjects({"00000": FIRST, "00001": SECOND})
    study.build(effects=[], biomarkers=[])
    return study


def test_an_atlas_that_was_turned_off_is_not_shown(built):
    off = options(enabled=False)
    assert atlas_sections(built.root, off) == []
    assert UnusualPlaces(built.root, off).of("sub-13", "00001") == []
    assert UnusualPlaces(built.root, options()).of("sub-13", "00001") != []


def test_what_pages_share_is_read_once(built, monkeypatch):
    read: list[str] = []
    for name in ("read_npz", "read_table", "map_pictures"):
        real = getattr(subject_report, name)
        monkeypatch.setattr(
            subject_report,
            name,
            lambda *args, name=name, real=real: read.append(name) or real(*args),
        )
    places = UnusualPlaces(built.root, options())
    assert all(places.of(unit, "00000") for unit in FIRST)
    assert sorted(read) == ["map_pictures", "read_npz", "read_table"]


def test_volumes_are_read_without_displacements(built, monkeypatch):
    compared = Compared.of_round(built.root, built.work / "template-1.npz", GRID, options())
    whole = list(compared.shards())
    read: list[str] = []
    real = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(
        np.lib.npyio.NpzFile, "__getitem__", lambda self, key: read.append(key) or real(self, key)
    )
    found = list(compared.volumes())
    assert list(compared.units()) == FIRST + SECOND
    assert "differences_displacement_mm" not in read
    for (units, logs, organ), (_, names, one) in zip(found, whole, strict=True):
        assert units == names
        np.testing.assert_array_equal(logs, one.log_jacobian)
        np.testing.assert_array_equal(organ, one.organ)


def test_a_cycle_of_too_few_is_no_average(tmp_path):
    """Four subjects, of whom one has no cycle: an average of four needs four."""
    study = Study(tmp_path / "few")
    study.subjects({"00000": FIRST[:4]})
    study.build(effects=[], biomarkers=[])
    whole = study.summary["groups"]["all"]
    assert (whole["n_subjects"], whole["n_cycle"]) == (4, 3)
    assert "cycle_volumes_ml" not in whole
    assert not list((study.root / "atlas").glob("*cycle*"))
    extra = cycle_section(study.root, options())
    assert extra.figures == []
    assert extra.lead.startswith("Images over the cycle of 3 subjects of 4; ")
    assert "all: no average over the cycle (n = 3, at least 4 are needed)." in extra.sentences


def test_a_reason_is_promised_only_where_somebody_is_left_out(tmp_path):
    study = Study(tmp_path / "whole")
    study.subjects({"00000": [unit for unit in FIRST if unit != "sub-03"]})
    study.build(effects=[], biomarkers=[])
    assert cycle_section(study.root, options()).lead == "Average of 9 subjects over the cycle."
    study.build(effects=[], biomarkers=[], n_phases=0)
    assert "n_cycle" not in study.summary["groups"]["all"]
    assert cycle_section(study.root, options()) is None


@pytest.mark.parametrize(("shares", "named"), [([0.0] * 20, 0), ([0.0] * 19 + [2.0], 1)])
def test_only_subjects_with_unusual_voxels_are_named(built, shares, named):
    path = built.root / "tables" / "atlas_distances.parquet"
    before = path.read_bytes()
    try:
        pd.read_parquet(path).assign(atlas_z_beyond_pct=shares).to_parquet(path)
        sentences = " ".join(differences_section(built.root, options()).sentences)
    finally:
        path.write_bytes(before)
    assert "(0%)" not in sentences
    assert sentences.count("sub-") == named
    assert ("No voxel of 20 subjects" in sentences) == (named == 0)


def test_the_summary_is_plain_json(built):
    rounds = json.loads((built.root / "atlas" / "atlas.json").read_text())["rounds"]
    assert [one["n_subjects"] for one in rounds] == [20, 20]
    assert len({one["subjects_digest"] for one in rounds}) == 1
