"""What is registered to what while a study grows, shrinks or changes."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

import popscan.atlas.mapping as mapping
from atlas_study import FIRST, SECOND, Study
from popscan.npzfile import read_npz
from popscan.protocols import get_protocol
from popscan.report.context import StudyContext
from popscan.report.sections.atlas import section
from popscan.report.sections.common import Options
from popscan.stages.atlas.results import atlas_pictures


@pytest.fixture
def registrations(monkeypatch) -> list[int]:
    """How many times something was registered: one entry each."""
    done: list[int] = []
    real = mapping.register

    def counted(*args: Any, **kwargs: Any) -> Any:
        done.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(mapping, "register", counted)
    return done


def test_a_study_that_grows_by_a_few_registers_the_new_ones_alone(tmp_path, registrations):
    study = Study(tmp_path / "growing")
    study.subjects({"00000": FIRST, "00001": SECOND})
    study.build(iterations=3, max_growth_pct=10)
    assert len(registrations) == 2 * 20
    registrations.clear()
    study.subjects({"00000": FIRST, "00001": SECOND, "00002": ["sub-20", "sub-21"]})
    study.build(iterations=3, max_growth_pct=10)
    assert len(registrations) == 2 * 2
    assert study.summary["groups"]["all"]["n_subjects"] == 22
    assert len(study.table("atlas_distances")) == 22
    grown = nib.load(study.root / "atlas" / "all_lv.nii.gz").dataobj
    volume = study.summary["groups"]["all"]["volumes_ml"]["lv"]
    # From nothing, with the same subjects: as good as the same average.
    registrations.clear()
    study.build(iterations=3, max_growth_pct=0)
    assert len(registrations) == 2 * 22
    again = nib.load(study.root / "atlas" / "all_lv.nii.gz").dataobj
    assert study.summary["groups"]["all"]["volumes_ml"]["lv"] == pytest.approx(volume, rel=0.01)
    assert np.abs(np.asarray(grown) - np.asarray(again)).max() < 0.1


def test_who_left_or_changed_is_in_no_target(tmp_path, registrations):
    study = Study(tmp_path / "leaving")
    study.subjects({"00000": FIRST, "00001": SECOND})
    study.build()
    registrations.clear()
    study.subjects({"00000": FIRST, "00001": SECOND[:-1]})
    study.build()
    assert len(registrations) == 19
    registrations.clear()
    study.subjects({"00000": [*FIRST[:-1], "sub-31"], "00001": SECOND[:-1]})
    study.build()
    assert len(registrations) == 19


@pytest.mark.parametrize("growth", [0, 100])
def test_a_study_that_grows_into_an_atlas_is_registered(tmp_path, registrations, growth):
    study = Study(tmp_path / "ten")
    study.subjects({"00000": FIRST})
    study.build(min_group=11, max_growth_pct=growth)
    assert study.summary["groups"] == {}
    assert (study.table("atlas_subjects")["reason"] == "too_few_subjects").all()
    assert registrations == []
    study.subjects({"00000": [*FIRST, "sub-10"]})
    study.build(min_group=11, max_growth_pct=growth)
    assert len(registrations) == 11
    assert len(study.table("atlas_distances")) == 11
    assert study.summary["groups"]["all"]["n_subjects"] == 11


def test_further_visits_are_no_growth(tmp_path, registrations):
    """Four subjects of three visits have no atlas of five; a fifth makes all be registered."""
    visits = [f"sub-{n:02d}_ses-{visit}" for n in range(4) for visit in (1, 2, 3)]
    study = Study(tmp_path / "visits")
    study.subjects({"00000": visits})
    study.build(min_group=5, max_growth_pct=10)
    assert study.summary["groups"] == {}
    study.subjects({"00000": visits, "00001": ["sub-04_ses-1"]})
    study.build(min_group=5, max_growth_pct=10)
    assert len(registrations) == 13
    assert study.summary["groups"]["all"]["n_subjects"] == 5
    registrations.clear()
    study.subjects({"00000": visits, "00001": ["sub-04_ses-1", "sub-04_ses-2"]})
    study.build(min_group=5, max_growth_pct=10)
    assert len(registrations) == 2  # the shard with the new visit, and the same averages


def test_nothing_is_summed_without_an_average_to_register_to(tmp_path, registrations):
    study = Study(tmp_path / "empty")
    study.subjects({"00000": FIRST})
    study.build(min_group=11)
    sums = read_npz(study.work / "sums-1" / "00000.npz")
    assert sums["units"].size == 0
    assert sums["groups"].size == 0
    assert study.table("atlas_distances").empty


def test_by_default_the_bytes_do_not_depend_on_how_a_study_grew(tmp_path):
    grown, at_once = Study(tmp_path / "grown"), Study(tmp_path / "at_once")
    grown.subjects({"00000": FIRST + SECOND})
    grown.build()
    for study in (grown, at_once):
        study.subjects({"00000": FIRST + SECOND, "00001": ["sub-20"]})
        study.build()
    for name in ("atlas/atlas.json", "tables/atlas_distances.parquet", "atlas/maps/00000.npz"):
        assert (grown.root / name).read_bytes() == (at_once.root / name).read_bytes(), name


def test_averages_from_before_a_study_grew_are_counted_and_reported(tmp_path):
    study = Study(tmp_path / "counted")
    study.subjects({"00000": FIRST + SECOND})
    study.build(max_growth_pct=10)
    pictures = atlas_pictures(study.root, get_protocol("cine_sax").atlas)
    assert "registered_to" not in pictures["all"]
    study.subjects({"00000": FIRST + SECOND, "00001": ["sub-20", "sub-21"]})
    study.build(max_growth_pct=10)
    first, last = study.summary["rounds"]
    assert (first["n_subjects"], last["n_subjects"]) == (20, 22)
    assert first["subjects_digest"] != last["subjects_digest"]
    protocol = get_protocol("cine_sax")
    context = StudyContext(protocol=protocol, atlas=atlas_pictures(study.root, protocol.atlas))
    assert "averages of 20 of 22 subjects, made before the study grew" in (
        section(context, Options()).lead
    )
    assert "made before the study grew" in section(context, Options(share=True)).lead
    assert "20 of 22" not in section(context, Options(share=True)).lead
