"""What enters the models of local volume, which rows, and where each map goes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError

from atlas_study import FIRST, SECOND, Study, options
from popscan.npzfile import read_npz
from popscan.stages.atlas.effects import write_effects
from popscan.stages.atlas.report import differences_section


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Study:
    """A fifth of the subjects is of a rare site, and one without height."""
    study = Study(tmp_path_factory.mktemp("terms"))
    study.subjects(
        {"00000": FIRST, "00001": SECOND},
        centre=["x"] * 8 + ["y"] * 9 + ["z"] * 3,
        weight_kg=[np.nan, *(60.0 + n % 5 for n in range(19))],
    )
    study.build(effects=["lvef_pct", "centre", "weight_kg"], biomarkers=[], n_phases=0)
    return study


def test_a_biomarker_among_the_effects_enters_the_model(built):
    effects = built.table("atlas_effects").set_index("term")
    assert effects.loc["lvef_pct", "n"] == 16
    assert np.isfinite(effects.loc["lvef_pct", "largest_t"])
    assert "lvef_pct" in effects.loc["weight_kg", "adjusted_for"]


def test_rows_that_are_left_out_are_named(built):
    for note in built.table("atlas_effects")["note"]:
        assert "centre: left out for fewer than 5 (z)" in note
        assert "left out without a value: weight_kg (1)" in note


def test_every_map_has_a_file_of_its_own(built):
    effects = built.table("atlas_effects")
    maps = read_npz(built.root / "atlas" / "maps" / "effects.npz")
    assert effects["files"].is_unique
    for row in effects.to_dict("records"):
        path = built.root / "atlas" / row["files"].replace("*", "t")
        found = np.asarray(nib.load(path).dataobj).squeeze()[maps["organ"]]
        np.testing.assert_allclose(found, np.nan_to_num(maps[f"{row['term']}|t"]), atol=1e-3)


def test_a_biomarker_cannot_be_adjusted_for_itself():
    with pytest.raises(ValidationError, match="lvef_pct is among effects"):
        options(effects=["lvef_pct"], biomarkers=["lvef_pct"])


def test_that_maps_are_of_values_as_measured_is_reported(built):
    section = {**options(), "harmonise": {"by": "site", "preserve": []}}
    assert any("not harmonised" in note for note in differences_section(built.root, section).notes)
    assert not any("harmon" in note for note in differences_section(built.root, options()).notes)
    assert write_effects.__module__.endswith("effects")
