"""What is registered to what while a study grows, shrinks or changes."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

import popscan.atlas.mapping as mapping
from atlas_study import FIRST, SECOND, Study


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
    study.build(iterations=3)
    assert len(registrations) == 2 * 20
    registrations.clear()
    study.subjects({"00000": FIRST, "00001": SECOND, "00002": ["sub-20", "sub-21"]})
    study.build(iterations=3)
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
