"""The atlas of a study from prepared subjects on: groups, maps, tables, and how it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

import popscan.atlas.mapping as mapping
from popscan.atlas import Prepared
from popscan.atlas.cycle import Cycle
from popscan.config import Config
from popscan.npzfile import read_npz
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.atlas import heart_grid
from popscan.records import Status
from popscan.stages.atlas.job import map_shard, reduce_round
from popscan.stages.atlas.members import read_members, write_members
from popscan.stages.atlas.report import atlas_sections, differences_section, unusual_places
from popscan.stages.atlas.results import write_atlas
from popscan.stages.atlas.stored import joined_arrays, save_arrays
from popscan.study.accounts import Account
from popscan.study.tables import read_table

GRID = heart_grid(spacing_mm=8.0)
PROTOCOL = get_protocol("cine_sax")
#: Units of two shards; women and men alternate, sizes grow.
FIRST, SECOND = [f"sub-{i:02d}" for i in range(10)], [f"sub-{i:02d}" for i in range(10, 20)]
ATLAS = {
    "groups": ["sex", "site"], "intersections": [["sex", "site"]], "iterations": 2,
    "min_group": 4, "spacing_mm": 8.0, "effects": ["height_cm", "sex"], "biomarkers": ["lvef_pct"],
    "min_n": 12, "subject_maps": True, "n_phases": 3,
}  # fmt: skip


def options(**atlas: Any) -> dict[str, Any]:
    config = {"source": {"kind": "bids"}, "atlas": {**ATLAS, **atlas}}
    return {**Config.model_validate(config).model_dump(), "version": "1"}


def heart(number: int) -> Prepared:
    """Two shells and a ball beside them, larger in the later numbers."""
    size = 1.0 + 0.012 * number + 0.02 * (number % 3)
    where = (np.indices(GRID.shape) * 8.0 - np.reshape(GRID.centre_mm, (3, 1, 1, 1))) / size
    radius = np.linalg.norm(where, axis=0)
    beside = np.linalg.norm(where + np.reshape([48.0, 0, 0], (3, 1, 1, 1)), axis=0)

    def soft(distance: Any, edge: float) -> Any:
        return 1 / (1 + np.exp((distance - edge) / 3.0))

    lv, outer = soft(radius, 24.0), soft(radius, 34.0)
    rv = np.minimum(soft(beside, 22.0), 1 - outer)
    labels = np.stack([rv, outer - lv, lv]).astype(np.float32)
    image = (lv + 0.8 * rv).astype(np.float32)
    smaller = soft(radius, 18.0)
    systole = np.stack([rv, outer - smaller, smaller])
    cycle = Cycle.of_maps(np.stack([labels, systole, labels]), np.stack([image] * 3))
    return Prepared(
        grid=GRID, image=image, inside=np.ones(GRID.shape, bool), labels=labels,
        to_world=np.eye(4), coverage=1.0, cycle=cycle if number != 3 else None,
    )  # fmt: skip


class Study:
    """A study whose subjects are measured, and prepared for the atlas."""

    def __init__(self, root: Path) -> None:
        self.root, self.work = root, root / "atlas" / "work"
        (root / "tables").mkdir(parents=True)
        (root / "plan").mkdir()

    def subjects(self, shards: dict[str, list[str]]) -> None:
        units = [unit for several in shards.values() for unit in several]
        number = [int(unit[-2:]) for unit in units]
        people = pd.DataFrame({
            "unit": units, "sub": units,
            "sex": ["female" if n % 2 else "male" for n in number],
            "site": ["north" if n % 4 < 2 else "south" for n in number],
            "height_cm": [160.0 + 2 * n + 3 * (n % 3) for n in number],
        })  # fmt: skip
        measured = pd.DataFrame(
            {"unit": units, "analysed": True, "lvef_pct": [55.0 + (7 * n) % 11 for n in number]}
        )
        verdicts = pd.DataFrame({"unit": units, "verdict": "pass", "failed": "", "review": ""})
        for name, table in (("participants", people), ("biomarkers", measured), ("qc", verdicts)):
            table.to_parquet(self.root / "tables" / f"{name}.parquet", index=False)
        ledger = pd.DataFrame({
            "unit": units, "stage": "biomarkers", "status": "ok", "reason": "", "message": "",
        })  # fmt: skip
        ledger.to_parquet(self.root / "tables" / "ledger.parquet", index=False)
        for old in self.work.glob("prepared/*.npz"):
            old.unlink()
        for shard, several in shards.items():
            account = Account()
            for unit in several:
                account.add(unit, Status.OK)
            parts = [("|grid", GRID.to_arrays())]
            parts += [(unit, heart(int(unit[-2:])).to_arrays()) for unit in several]
            save_arrays(
                self.work / "prepared" / f"{shard}.npz",
                joined_arrays(parts) | account.to_arrays(),
            )
        self.shards = list(shards)

    def build(self, **atlas: Any) -> None:
        given = options(**atlas)
        members = self.work / "members.parquet"
        write_members(self.root, given, members)
        template = None
        for iteration in range(given["atlas"]["iterations"]):
            folder = self.work / f"sums-{iteration}"
            for old in folder.glob("*.npz"):
                old.unlink()
            for shard in self.shards:
                prepared = self.work / "prepared" / f"{shard}.npz"
                map_shard(prepared, members, template, given, folder / f"{shard}.npz")
            following = self.work / f"template-{iteration}.npz"
            following.unlink(missing_ok=True)
            reduce_round(self.root, iteration, template, given, following)
            template = following
        write_atlas(self.root, template, given)

    def table(self, name: str) -> pd.DataFrame:
        return read_table(self.root, name)

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.root / "atlas" / "atlas.json").read_text())


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
    assert unusual_places(study.root, PROTOCOL, "sub-00", "00000") == []


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


def test_the_report_and_a_subjects_page_show_the_maps(built):
    extra = differences_section(built.root, options())
    assert not extra.shared
    assert len(extra.figures) == 1
    assert any("Height" in sentence and "significantly" in sentence for sentence in extra.sentences)
    ((figure, caption),) = unusual_places(built.root, PROTOCOL, "sub-13", "00001")
    assert "<img" in figure
    assert "sex=female, site=north" in caption or "sex=" in caption
    assert unusual_places(built.root, PROTOCOL, "sub-99", "00001") == []
    assert unusual_places(built.root, PROTOCOL, "sub-13", "") == []
