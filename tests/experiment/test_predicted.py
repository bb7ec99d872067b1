"""Experiments that classify or reconstruct, on tiny digital brains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from popscan.commands.check import check_study
from popscan.config import Config
from popscan.experiment import design
from popscan.experiment.occlusion import occlude
from popscan.experiment.predicted import anomaly_scores
from popscan.experiment.predicted_results import outcome_table
from popscan.records import Status
from popscan.stages.experiment import data
from popscan.stages.experiment.data import prepare_part, split, subjects
from popscan.stages.experiment.job import run_trial_job, write_results
from popscan.train.cubes import back_turned, cube_case, turned
from popscan.train.packs import INTENSITY_SCALE, Case, Pack, build_pack
from popscan.train.targets import Target

CONFIGS = Path(__file__).resolve().parents[2] / "config" / "experiments"


def shrunk(name: str, **keys) -> dict:
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    config["simulate"]["spacing_mm"] = 8.0
    config["experiment"] |= {"field_px": 24, "seeds": [1], "n_test": 5, **keys}
    config["experiment"]["recipe"] |= {"spacing_mm": 8.0, "patch": 24, "steps": 3, "batch": 2}
    config["experiment"]["recipe"] |= {"warmup_steps": 1}
    return Config.model_validate(config).model_dump()


def run(study: Path, options: dict):
    assert {r.status for r in prepare_part(study, 0, options)} == {Status.OK}
    sets = split(study, options)
    section = options["experiment"]
    records = [
        run_trial_job(
            study,
            trial.name,
            {"experiment": design.trial_section(section, trial), "device": "cpu"},
        )
        for trial in design.trials(section)
    ]
    page = write_results(study, {"experiment": section, "study": options["study"]})
    tables = {p.stem: pd.read_parquet(p) for p in page.parent.glob("tables/*.parquet")}
    return sets, records, tables, page.read_text()


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("brain_imbalance", 6),
        ("brain_imbalance_cluster", 60),
        ("brain_anomaly", 6),
        ("brain_shortcut", 2),
    ],
)
def test_shipped_brain_experiments_are_checked(name, n):
    problems, notes = check_study(CONFIGS / f"{name}.yaml")
    assert problems == []
    assert f"experiment: {n} trainings" in " ".join(notes)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"n_held_out": 0}, "n_held_out: 0; task reconstruct needs"),
        ({"occlusion": True}, "it goes with task classify alone"),
        ({"train_on": {"diagnosis": "gout"}}, "too few simulated participants"),
        ({"audit": ["race"]}, "no column 'race'"),
        ({"mitigations": {"arm": {"crop_px": 16}}}, "crop_px does not go with task reconstruct"),
    ],
)
def test_what_cannot_be_is_said_before_it_runs(keys, message, tmp_path):
    config = yaml.safe_load((CONFIGS / "brain_anomaly.yaml").read_text())
    config["experiment"] |= keys
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    problems, _ = check_study(path)
    assert any(message in text for text in problems), problems


def test_a_normative_model_trains_on_the_healthy_and_is_tested_on_all(tmp_path):
    options = shrunk("brain_anomaly", shares_pct=[50], n_train=4, n_held_out=4)
    chosen = {p.subject.unit: p.subject.row for p in subjects(options)}
    sets, records, tables, page = run(tmp_path / "s", options)
    assert [r.status for r in records] == [Status.OK]
    pool = {u for units in sets["pool"].values() for u in units}
    assert {chosen[u]["diagnosis"] for u in pool} == {"healthy"}
    scores = tables["scores"]
    assert len(scores) == 10
    ill = [float(chosen[u]["diagnosis"] != "healthy") for u in scores["subject"]]
    assert scores["truth"].tolist() == ill
    threshold = tables["trials"]["threshold"].iloc[0]
    assert (scores["flagged"] == (scores["score"] > threshold)).all()
    assert {"group", "sex", "age_group"} == set(tables["outcomes"]["attribute"])
    assert "mean score of the negatives" in page


def test_records_of_before_copies_were_known_are_made_again(tmp_path, monkeypatch):
    """They hold no digest of the images: a study of before took copies for subjects."""
    options = shrunk("brain_anomaly", shares_pct=[50], n_train=4, n_held_out=4)
    monkeypatch.setattr(data, "subjects", lambda options: subjects(options)[:1])
    with monkeypatch.context() as before:
        before.setattr(data, "VERSION", "1")
        (old,) = prepare_part(tmp_path, 0, options)
    (new,) = prepare_part(tmp_path, 0, options)
    assert new.fingerprint != old.fingerprint
    assert new.values["images"]


def test_a_classifier_says_what_images_and_volumes_say_and_where_it_looks(tmp_path):
    options = shrunk("brain_shortcut", n_train=6)
    _, records, tables, page = run(tmp_path / "s", options)
    assert [r.status for r in records] == [Status.OK], records[0].message
    scores = tables["scores"]
    assert scores.groupby("input").size().to_dict() == {"images": 10, "volumes": 10}
    assert scores["score"].between(0, 1).all()
    assert tables["occlusion"]["structure"].nunique() == 21
    auc = tables["predictions"].query("measure == 'auc' and attribute == ''")
    assert auc["value"].between(0, 1).all()
    assert "Where the model looks" in page


def test_a_segmentation_of_three_planes_scores_every_structure(tmp_path):
    options = shrunk("brain_imbalance", shares_pct=[50], n_train=2, n_test=2)
    _, records, tables, page = run(tmp_path / "s", options)
    assert [r.status for r in records] == [Status.OK], records[0].message
    assert tables["structures"]["structure"].nunique() == 21
    assert (tables["structures"]["shown"] == "not shown").all()
    assert "Gaps by structure" in page


def cubes(seed: int = 0) -> Pack:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (12, 6, 6)).astype(np.uint8)
    return Pack(
        images=(labels.astype(np.int16) * (INTENSITY_SCALE // 4)),
        labels=labels,
        unit=np.repeat(["a", "b"], 6),
        frame=np.zeros(12, np.int32),
        slice_index=np.tile(np.arange(6, dtype=np.int32), 2),
        usable=np.ones(12, bool),
        spacing_mm=4.0,
        attributes={"site": np.repeat(["A", "B"], 6)},
    )


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_slices_of_a_plane_find_their_place_in_the_cube(plane):
    import torch

    pack = cubes()
    cut = turned(pack, plane)
    volume = np.moveaxis(pack.labels[6:], 0, 2)
    back = back_turned(torch.from_numpy(cut.labels[6:][:, None]), plane)
    np.testing.assert_array_equal(back[0].numpy(), volume)


def test_a_cube_keeps_places_and_pads_with_nothing():
    from popscan.records import LabelMap, Scan

    array = np.zeros((10, 8, 6, 1), np.float32)
    array[4:8, 3:6, 2:5] = 1
    labels = (array > 0).astype(np.uint8)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    scan = Scan(array=array, affine=affine, spacing_mm=(2.0, 2.0, 2.0))
    case = Case(unit="a", scan=scan, labels=LabelMap(array=labels, frames=(0,)))
    table = np.arange(256, dtype=np.uint8)
    found = cube_case(case, spacing_mm=2.0, size=8, table=table)
    assert found.scan.array.shape == (8, 8, 8, 1)
    assert found.labels.array.sum() == labels.sum()
    np.testing.assert_array_equal(found.scan.array > 0, found.labels.array > 0)
    first = np.argwhere(found.labels.array)[0]
    where = found.scan.affine @ [*first[:3], 1]
    np.testing.assert_allclose(where[:3], [8.0, 6.0, 4.0])
    assert len(build_pack([found], spacing_mm=2.0, size=8, around_labels=False)) == 8


def test_occlusion_finds_the_structure_that_decides():
    """A network that reads the intensity of structure 2 alone loses it there and nowhere else."""
    import torch

    class Reads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, images):
            bright = (images[:, 0] > 0.45).float().mean(dim=(1, 2)) * self.scale
            return torch.stack([-bright, bright], dim=1)

    pack = cubes()
    images = pack.images.copy()
    images[:6][pack.labels[:6] == 2] = 0  # site A: dark where B is bright
    pack = Pack(**{**vars(pack), "images": images})
    rows = occlude(
        Reads(),
        pack,
        pack,
        target=Target(task="classify", attribute="site", classes=("A", "B")),
        structures={1: "one", 2: "two"},
        context=0,
    )
    drops = pd.DataFrame(rows).groupby("structure")["drop"].max()
    assert drops["two"] > 0.1
    assert drops["one"] == 0


def test_rates_by_group_by_hand_and_none_in_few_is_not_never():
    rows = [
        {"architecture": "n", "mitigation": "none", "share_pct": 50.0, "seed": seed,
         "subject": f"{g}{i}", "input": "images", "group": g, "truth": float(i >= 6),
         "score": i / 10, "flagged": float(g == "A" and i < 3)}
        for seed in (1, 2) for g in "AB" for i in range(10)
    ]  # fmt: skip
    table = outcome_table(pd.DataFrame(rows), groups=["A", "B"], audited=[])
    found = table[table["outcome"] == "false_positive"].set_index("level")
    assert found.loc["A", "mean"] == pytest.approx(0.5)
    assert (found.loc["B", "mean"], found.loc["B", "n"]) == (0.0, 6)
    assert (found.loc["B", "mean_low"], found.loc["B", "mean_high"] > 0.2) == (0, True)
    assert table.query("outcome != 'score_of_negatives'")["mean_high"].max() <= 1
    assert found.loc["A", "gap"] == pytest.approx(0.5)
    assert found.loc["A", "gap_low"] < 0.5 < found.loc["A", "gap_high"]
    sensitivity = table[table["outcome"] == "sensitivity"]
    assert (sensitivity["n"] == 4).all()


class Nothing(torch.nn.Module):
    """Reconstructs darkness."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x[:, :1] * self.weight


def test_a_subject_without_a_voxel_has_no_anomaly_score():
    """Not 0, the best score there is."""
    images = np.zeros((4, 8, 8), np.int16)
    images[2:] = INTENSITY_SCALE // 2
    pack = Pack(
        images=images, labels=np.zeros((4, 8, 8), np.uint8), spacing_mm=8.0,
        unit=np.array(["sub-1"] * 2 + ["sub-2"] * 2), frame=np.zeros(4, np.int32),
        slice_index=np.array([0, 1, 0, 1], np.int32), usable=np.ones(4, bool),
    )  # fmt: skip
    scores = anomaly_scores(Nothing(), pack, context=0)
    assert np.isnan(scores["sub-1"])
    assert scores["sub-2"] == pytest.approx(0.5)


def test_a_subject_without_a_score_is_neither_right_nor_wrong():
    rows = [
        {"architecture": "a", "mitigation": "none", "share_pct": 50.0, "seed": 1, "input": "images",
         "subject": f"sub-{k}", "group": "few" if k % 2 else "many", "truth": 0.0,
         "score": np.nan if k < 2 else 0.1, "flagged": np.nan if k < 2 else 0.0}
        for k in range(10)
    ]  # fmt: skip
    table = outcome_table(pd.DataFrame(rows), groups=["few", "many"], audited=[])
    correct = table[(table["outcome"] == "correct") & (table["attribute"] == "group")]
    assert correct["n"].tolist() == [4, 4]
    assert correct["mean"].tolist() == [1.0, 1.0]
