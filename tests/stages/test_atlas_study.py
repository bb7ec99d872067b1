"""The atlas of a study from prepared subjects on: groups, maps and tables."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from atlas_study import FIRST, GRID, SECOND, Study, options
from popscan.npzfile import read_npz
from popscan.stages.atlas.members import read_members
from popscan.stages.atlas.report import atlas_sections, differences_section
from popscan.stages.atlas.subject_report import UnusualPlaces


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Study:
    study = Study(tmp_path_factory.mktemp("atlas"))
    study.subjects({"00000": FIRST, "00001": SECOND})
    study.build()
    return study


def test_groups_and_their_combinations_get_an_average(built):
    groups = built.summary["groups"]
    assert groups["all"]["n_subjects"] == 20
    assert groups["sex=female"]["n_subjects"] == 10
    assert groups["sex=female, site=north"]["n_subjects"] == 5
    assert len(groups) == 9
    assert (built.root / "atlas" / "sex-female_site-north_mean.nii.gz").exists()


def test_a_combination_with_a_part_that_is_not_recorded_has_no_member(tmp_path):
    pd.DataFrame({"unit": ["a", "b"], "sex": ["female", "male"], "site": ["", "south"]}).to_parquet(
        tmp_path / "members.parquet"
    )
    groups = read_members(tmp_path / "members.parquet", options())
    assert groups == {
        "a": ["sex=female"],
        "b": ["sex=male", "site=south", "sex=male, site=south"],
    }


def test_every_subject_is_compared_with_the_narrowest_group_and_the_others(built):
    table = built.table("atlas_distances").set_index("unit")
    assert len(table) == 20
    assert (table["atlas_z_n"] == 4).all()  # four others of five
    assert table.loc["sub-01", "atlas_z_group"] == "sex=female, site=north"
    assert table["atlas_z_beyond_pct"].between(0, 60).all()
    assert table["atlas_own_distance_mm"].gt(0).all()
    assert table["atlas_others_distance_mm"].gt(0).all()


def test_maps_are_in_files_that_viewers_open(built):
    maps = read_npz(built.root / "atlas" / "maps" / "00000.npz")
    assert maps["units"].tolist() == FIRST
    n_voxels = int(maps["organ"].sum())
    assert maps["z"].shape == (10, n_voxels)
    image = nib.load(built.root / "atlas" / "maps" / "sub-00_z.nii.gz")
    found = np.asarray(image.dataobj).squeeze()[maps["organ"]]
    np.testing.assert_allclose(found, np.nan_to_num(maps["z"][0]), atol=1e-3)
    logs = nib.load(built.root / "atlas" / "maps" / "sub-19_log-jacobian.nii.gz").dataobj
    assert np.asarray(logs).sum() > 0  # the largest


def test_size_goes_with_height_and_not_with_what_is_unrelated(built):
    effects = built.table("atlas_effects").set_index("term")
    assert list(effects.index) == ["height_cm", "sex[male vs female]", "lvef_pct"]
    assert effects.loc["height_cm", "significant_pct"] > 50
    assert effects.loc["height_cm", "mean_effect_pct"] > 0
    assert effects.loc["lvef_pct", "significant_pct"] < 20
    assert effects.loc["lvef_pct", "adjusted_for"] == "height_cm, sex"
    assert (effects["n"] == 20).all()
    assert (built.root / "atlas" / "effect-01_t.nii.gz").exists()


def test_the_average_over_the_cycle_is_written_and_shown(built):
    whole = built.summary["groups"]["all"]
    assert whole["n_cycle"] == 19  # one has none
    volumes = whole["cycle_volumes_ml"]["lv"]
    assert volumes[1] / volumes[0] == pytest.approx((18 / 24) ** 3, abs=0.06)
    image = nib.load(built.root / "atlas" / "all_cycle-lv.nii.gz")
    assert image.shape == (*GRID.shape, 3)
    cycle, differences = atlas_sections(built.root, options())
    assert cycle.ident == "atlas-cycle"
    assert "19 subjects of 20" in cycle.lead
    assert any(one.startswith("all, lv: ") for one in cycle.sentences)
    assert differences.ident == "atlas-differences"


def test_shards_make_no_difference(built, tmp_path):
    one = Study(tmp_path / "one")
    one.subjects({"00000": FIRST + SECOND})
    one.build()
    for name in ("atlas_distances", "atlas_effects"):
        pd.testing.assert_frame_equal(built.table(name), one.table(name))
    apart = [read_npz(built.root / "atlas" / "maps" / f"{s}.npz")["z"] for s in built.shards]
    whole = read_npz(one.root / "atlas" / "maps" / "00000.npz")["z"]
    np.testing.assert_array_equal(np.concatenate(apart), whole)


def test_too_few_subjects_have_no_map_and_a_note(tmp_path):
    study = Study(tmp_path / "few")
    study.subjects({"00000": FIRST})
    study.build(biomarkers=["lvef_pct", "no_such_ml"])
    effects = study.table("atlas_effects").set_index("term")
    assert effects["significant_pct"].isna().all()
    assert "10 subjects: a map needs 12 or more" in effects.loc["height_cm", "note"]
    assert effects.loc["no_such_ml", "note"] == "no subject has a value"
    sentences = differences_section(study.root, options()).sentences
    assert any("no map (10 subjects" in sentence for sentence in sentences)


def test_without_a_deformed_round_there_are_no_differences(tmp_path):
    study = Study(tmp_path / "rigid")
    study.subjects({"00000": FIRST})
    study.build(iterations=1)
    assert study.table("atlas_distances").empty
    assert study.table("atlas_effects").empty
    assert differences_section(study.root, options()) is None
    assert UnusualPlaces(study.root, options()).of("sub-00", "00000") == []


def test_the_report_and_a_subjects_page_show_the_maps(built):
    extra = differences_section(built.root, options())
    assert not extra.shared
    assert len(extra.figures) == 1
    assert any("Height" in sentence and "significantly" in sentence for sentence in extra.sentences)
    places = UnusualPlaces(built.root, options())
    ((figure, caption),) = places.of("sub-13", "00001")
    assert "<img" in figure
    assert "sex=female, site=north" in caption or "sex=" in caption
    assert places.of("sub-99", "00001") == []
    assert places.of("sub-13", "") == []
