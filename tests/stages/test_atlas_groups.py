"""Groups whose levels hold the characters that names are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atlas_study import FIRST, SECOND, Study, options
from popscan.records import PopscanError
from popscan.stages.atlas.members import read_levels, read_members
from popscan.stages.atlas.results import file_names


def built(root, a: str, b: str) -> Study:
    study = Study(root)
    study.subjects({"00000": FIRST + SECOND}, dose=[a, b] * 10)
    study.build(groups=["dose"], intersections=[["dose", "site"]], effects=[], biomarkers=[])
    return study


def test_levels_may_hold_any_character(tmp_path):
    plain = built(tmp_path / "plain", "low", "high").table("atlas_distances")
    odd = built(tmp_path / "odd", "dose=1, 2", "dose>=3").table("atlas_distances")
    numbers = ["atlas_own_distance_mm", "atlas_others_distance_mm", "atlas_z_n"]
    pd.testing.assert_frame_equal(odd[numbers], plain[numbers])
    assert np.isfinite(odd["atlas_others_distance_mm"]).all()
    assert odd["atlas_z_group"].str.contains("site=").all()


def test_groups_have_files_of_their_own(tmp_path):
    study = built(tmp_path / "files", "A/B", "A_B")
    groups = study.summary["groups"]
    stems = [one["file_stem"] for one in groups.values()]
    assert len(set(stems)) == len(groups)
    means = {path.name for path in (study.root / "atlas").glob("*_mean.nii.gz")}
    assert means == {f"{stem}_mean.nii.gz" for stem in stems}
    assert file_names(["a=B", "a=b"]) == {"a=B": "a-B", "a=b": "a-b~2"}
    assert file_names(["a=x/y", "a=x_y", "a=x_y~2"])["a=x_y~2"] == "a-x_y~2~2"


def test_two_groups_of_one_name_are_refused(tmp_path):
    table = pd.DataFrame({"unit": ["u", "v"], "sex": ["f, site=n", "f"], "site": ["n", "n"]})
    table.to_parquet(tmp_path / "members.parquet")
    with pytest.raises(PopscanError, match="two groups of the atlas"):
        read_levels(tmp_path / "members.parquet", options())
    assert read_members(tmp_path / "members.parquet", options())["u"][0] == "sex=f, site=n"
