"""Predicted Dice and visible attributes on a small study: real files, the real runner."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from plain_table import plain_table
from popscan.commands.check import check_study
from popscan.config import Config
from popscan.plan import Planned, read_shard, write_plan
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import LabelMap, NotApplicable, Outcome, PopscanError, Subject
from popscan.run import run_shard
from popscan.segment.bundle import save_bundle
from popscan.segment.networks import build_network
from popscan.stages.rca.tables import write_validity
from popscan.stages.rca.task import make_references, references_path
from popscan.stages.report.extras import extra_sections
from popscan.stages.tasks import run_stage
from popscan.stages.visibility.job import features_shard, sampled, write_visibility
from popscan.stages.visibility.maps import write_maps
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.files import FileNames
from popscan.study.tables import read_records, read_table, rows_table, values_table
from popscan.task import Task

NAMES = FileNames(get_protocol("cine_sax"))

N = 8
SHARD = "00000"


def model(folder, torch, seed=1):
    """A bundle of an untrained network: features of it are features."""
    torch.manual_seed(seed)
    arguments = {"channels": [4, 8, 8]}
    network = build_network("dynunet", 4, **arguments)
    about = {
        "name": "small", "members": [{"architecture": "dynunet", "arguments": arguments}],
        "labels": {"rv": 1, "myo": 2, "lv": 3},
        "spacing_mm": 3.2, "patch": 48, "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": {"inplane_mm": [1, 4], "slice_distance_mm": [5, 12]},
        "trained_on": {"salt": "", "sha256": []}, "training": {}, "validation": {},
    }  # fmt: skip
    save_bundle(folder, about=about, weights=[network.state_dict()], card="small")
    return str(folder)


def scripted(stage, outcomes, upstream=()):
    """A stage whose outcomes are given, run by the real runner: files and records are real."""

    def work(subject, _):
        found = outcomes[subject.unit]
        if isinstance(found, Exception):
            raise found
        return found

    return Task(
        stage=stage, version="1", options={}, reads=lambda s: {}, load=lambda s: None, work=work,
        write=NAMES.write, upstream=upstream,
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Eight hearts as a study of images whose segmentations are the truth, one of them shifted."""
    torch = pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("study")
    people = sample_population(N, seed=2, allocation="quota")
    rows = {str(r["participant_id"]): {str(k): str(v) for k, v in r.items()}
            for r in people.to_dict("records")}  # fmt: skip
    planned = [Planned(subject=Subject(sub=unit, row=row)) for unit, row in rows.items()]
    write_plan(root, planned, shard_size=64)
    planned = read_shard(root, SHARD)
    ingested, segmented, scores = {}, {}, []
    for item, row in zip(planned, people.to_dict("records"), strict=True):
        subject = item.subject
        made = simulate_subject(row, seed=2, kspace=False, matrix=(64, 64), spacing_mm=(3.8, 3.8),
                                frames=2, fine=(1, 1))  # fmt: skip
        reference = made.labels
        labels = reference.array.copy()
        if subject.unit == "sub-0003":
            labels = np.roll(labels, 4, axis=0)
        frames = tuple(range(labels.shape[3]))
        scan = made.scan
        ingested[subject.unit] = Outcome(
            files={NAMES.image(subject): scan,
                   NAMES.labels(subject, desc="reference"): (reference, scan)},
            values={"height_cm": 171.0, "weight_kg": 70.0},
        )  # fmt: skip
        segmented[subject.unit] = Outcome(
            files={NAMES.labels(subject): (LabelMap(array=labels, frames=frames), scan)}
        )
        overlap = (
            2
            * ((labels > 0) & (reference.array > 0)).sum()
            / ((labels > 0).sum() + (reference.array > 0).sum())
        )
        scores += [
            {"unit": subject.unit, "phase": "ED", "structure": s, "dice": overlap}
            for s in ("rv", "myo", "lv")
        ]
    store = Store(root)
    nothing = dict.fromkeys(ingested, NotApplicable("image_study", "images"))
    for stage, outcomes, upstream in (
        ("ingest", ingested, ()),
        ("reconstruct", nothing, ("ingest",)),
        ("segment", segmented, ("reconstruct",)),
    ):
        run_shard(store, scripted(stage, outcomes, upstream), SHARD, planned)
    plain_table(root, "scores", pd.DataFrame(scores))
    table = people.rename(columns={"participant_id": "unit"})
    table = table[[c for c in table if not c.startswith("truth_")]].assign(sub=table["unit"])
    plain_table(root, "participants", table)
    rng = np.random.default_rng(0)
    measured = pd.DataFrame(
        {"unit": list(ingested), "lvedv_ml": rng.normal(150, 20, N), "analysed": True}
    )
    plain_table(root, "biomarkers", measured)
    config = Config.model_validate(
        {
            "rca": {"enabled": True, "n_references": 3, "n_registered": 2},
            "visibility": {"enabled": True, "n_permutations": 20, "n_maps": 3},
            "fairness": {"min_group": 3, "n_boot": 100, "attributes": ["sex"]},
            "segment": {"model": model(tmp_path_factory.mktemp("model"), torch), "device": "cpu"},
        }
    ).model_dump()
    return store, {**config, "version": "1"}


@pytest.fixture(scope="module")
def predicted(study):
    """Reference cases and records of the stage."""
    store, config = study
    units = make_references(store, config, references_path(store.root))
    result = run_stage(store, "rca", SHARD, config)
    return units, result


def test_an_empty_cell_does_not_hide_what_the_source_told(study):
    store, config = study
    context = ShardContext(store=store, shard=SHARD, options=config)
    row = {"height_cm": " ", "weight_kg": "80", "site": "n/a"}
    told = context.facts(Subject(sub="sub-0001", row=row))
    assert (told["height_cm"], told["weight_kg"]) == (171.0, "80")
    assert "site" not in told


def test_references_are_of_the_study_and_balanced(study, predicted):
    store, config = study
    units, _ = predicted
    assert len(units) == 3
    sexes = read_table(store.root, "participants").set_index("unit")["sex"][units]
    assert set(sexes) == {"female", "male"}
    # Chosen again, they are the same, and so are the bytes.
    before = references_path(store.root).read_bytes()
    again = make_references(store, config, references_path(store.root))
    assert again == units
    assert references_path(store.root).read_bytes() == before


def test_references_need_no_attribute_that_the_study_lacks(study, tmp_path):
    """ACDC records no sex, by which references are balanced by default."""
    store, config = study
    shutil.copytree(store.root, tmp_path / "study")
    copy = Store(tmp_path / "study")
    options = {**config, "rca": {**config["rca"], "balance_by": ["hand_dominance"]}}
    assert len(make_references(copy, options, references_path(copy.root))) == 3


def test_every_subject_has_a_prediction_and_the_shifted_one_the_lowest(study, predicted):
    store, config = study
    units, result = predicted
    assert len(result.records) == N
    values = {r.unit: r.values for r in result.records}
    dice = {unit: v["predicted_dice"] for unit, v in values.items()}
    assert min(dice, key=dice.__getitem__) == "sub-0003"
    # Nobody is judged by itself.
    assert all(values[unit]["best_reference"] != unit for unit in units)
    kept = run_stage(store, "rca", SHARD, config)
    assert (kept.n_done, kept.n_kept) == (0, N)


def test_validity_stands_beside(study, predicted):
    store, config = study
    records = read_records(store, "rca", [SHARD])
    plain_table(store.root, "predicted_dice", values_table(records))
    plain_table(store.root, "predicted_dice_structures", rows_table(records))
    assert len(read_table(store.root, "predicted_dice")) == N
    validity = write_validity(store.root, config)
    everybody = validity[(validity["group"] == "all") & (validity["structure"] == "mean")].iloc[0]
    assert everybody["n"] == N
    assert everybody["r"] > 0.5
    told = json.loads((store.root / "tables" / "rca_validity.json").read_text())
    assert all(entry["meaning"] for entry in told.values())


def test_simulated_references_and_another_studys(study, tmp_path):
    store, config = study
    rca = {**config["rca"], "references": "simulated", "n_references": 2}
    units = make_references(store, {**config, "rca": rca}, tmp_path / "simulated.npz")
    assert units == ["simulated:sub-0001", "simulated:sub-0002"]
    rca = {**rca, "references": str(tmp_path / "simulated.npz")}
    foreign = make_references(store, {**config, "rca": rca}, tmp_path / "foreign.npz")
    assert len(foreign) == 2
    other = {**config, "rca": rca, "protocol": "brain_t1"}
    with pytest.raises(PopscanError, match="brain_t1 expected"):
        make_references(store, other, tmp_path / "none.npz")
    rca = {**rca, "references": str(tmp_path / "nowhere.npz")}
    with pytest.raises(PopscanError, match=r"rca\.references"):
        make_references(store, {**config, "rca": rca}, tmp_path / "none.npz")


def test_attributes_are_looked_for_in_every_source(study):
    store, config = study
    path = store.root / "visibility" / "features" / f"{SHARD}.npz"
    assert features_shard(store, SHARD, config, path) == N
    table = write_visibility(store.root, [path], config)
    assert list(table["source"]) == ["biomarkers", "labels", "heart", "image", "latent"]
    assert set(table["attribute"]) == {"sex"}
    assert table["auc"].between(0, 1).all()
    assert (table["auc_low"] <= table["auc"]).all()
    told = json.loads((store.root / "tables" / "visibility.json").read_text())
    assert all(entry["meaning"] for entry in told.values())
    maps = write_maps(store, [path], config)
    assert len(maps) == 1
    row = maps.iloc[0]
    assert row["n"] == 3
    assert -1 <= row["r"] <= 1
    assert 0 < row["task_in_heart"] <= 1
    assert (store.root / "visibility" / "maps.npz").exists()


def test_a_balanced_model_is_held_constant_instead_of_edges(study, tmp_path):
    torch = pytest.importorskip("torch")
    store, config = study
    path = store.root / "visibility" / "features" / f"{SHARD}.npz"
    features_shard(store, SHARD, config, path)
    edges = write_maps(store, [path], config).iloc[0]
    found = {}
    for seed in (1, 7):  # 1: the study's own model
        folder = model(tmp_path / f"balanced-{seed}", torch, seed=seed)
        visibility = {**config["visibility"], "baseline_model": folder}
        found[seed] = write_maps(store, [path], {**config, "visibility": visibility}).iloc[0]
        assert found[seed]["baseline"] == f"balanced-{seed}"
        # What is held constant changes the partial correlation, not the correlation.
        assert found[seed]["r"] == pytest.approx(edges["r"])
        assert -1 <= found[seed]["partial_r"] <= 1 or np.isnan(found[seed]["partial_r"])
    assert edges["baseline"] == "edges"
    assert found[7]["partial_r"] != pytest.approx(edges["partial_r"], abs=1e-6)
    write_maps(store, [path], config)


def test_the_report_gets_two_sections(study, predicted):
    store, config = study
    sections = extra_sections(store.root, config)
    assert {"predicted-dice", "seen-attributes"} <= {one.ident for one in sections}
    for one in sections:
        assert one.sentences
        assert all("<svg" in str(markup) for markup, _ in one.figures)
    off = {**config, "rca": {"enabled": False}, "visibility": {"enabled": False}}
    idents = {one.ident for one in extra_sections(store.root, off)}
    assert not idents & {"predicted-dice", "seen-attributes"}


def test_check_names_files_that_are_not_there(tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(
        "rca: {enabled: true, references: nowhere.npz}\n"
        "visibility: {enabled: true, baseline_model: nix}\n"
    )
    problems, _ = check_study(config)
    assert any("rca.references: nowhere.npz" in problem for problem in problems)
    assert any("visibility.baseline_model: no bundle 'nix'" in problem for problem in problems)


def test_samples_are_by_name_and_of_the_share_asked_for():
    units = [f"sub-{i}" for i in range(3000)]
    taken = [u for u in units if sampled(u, share=0.2, seed=1)]
    assert 500 < len(taken) < 700
    assert set(taken) <= {u for u in units if sampled(u, share=0.5, seed=1)}
    assert all(sampled(u, share=1.0, seed=1) for u in units)
