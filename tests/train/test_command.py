"""``popscan train`` as people type it: from labelled scans in folders to a bundle that loads."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.cli import main
from popscan.commands.training import labelled_cases, train_model
from popscan.io.nifti import write_labels, write_scan
from popscan.protocols.cine_sax.labels import Label
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment import load_bundle
from popscan.train.packs import build_pack
from popscan.train.sampler import stacks

RECIPE = {
    "name": "tiny",
    "architecture_arguments": {"channels": [4, 8, 8]},
    "patch": 32,
    "batch": 2,
    "steps": 3,
    "warmup_steps": 1,
    "autocast": False,
}


def write_visit(root: Path, visit: str, *, seed: int) -> None:
    """Write a labelled scan of two frames; `visit` is ``sub-*`` or ``sub-*/ses-*``."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    labels = np.zeros((40, 40, 2, 2), np.uint8)
    for t, radius in enumerate((9, 7)):
        r = np.hypot(x - rng.uniform(18, 22), y - rng.uniform(18, 22))
        labels[r < radius + 4, :, t] = Label.MYO
        labels[r < radius, :, t] = Label.LV
        labels[:4, :4, :, t] = Label.RV
    array = np.choose(labels, [40.0, 70.0, 10.0, 90.0]) + rng.normal(size=labels.shape)
    scan = Scan(
        array=array.astype(np.float32),
        affine=np.diag([-1.5, -1.5, 8.0, 1.0]),
        spacing_mm=(1.5, 1.5, 8.0),
        meta={"frame_labels": ["ED", "ES"]},
    )
    folder = root / visit / "anat"
    folder.mkdir(parents=True)
    stem = visit.replace("/", "_")
    write_scan(folder / f"{stem}_acq-sax_cine.nii.gz", scan)
    write_labels(
        folder / f"{stem}_acq-sax_dseg.nii.gz", LabelMap(array=labels, frames=(0, 1)), scan
    )


@pytest.fixture
def train(tmp_path):
    """Train on what lies in ``data``, with one subject kept out; return the bundle."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))

    def run(*options: str):
        folders = {name: str(tmp_path / name) for name in ("work", "out")}
        status = main(
            ["train", str(recipe), "--root", str(tmp_path / "data"), "--validation", "1"]
            + ["--work", folders["work"], "--out", folders["out"], *options]
        )
        assert status == 0
        return load_bundle(folders["out"], "cpu")

    return run


def test_without_strata_the_bundle_has_its_scores_and_its_card(tmp_path, train):
    for k in range(2):
        write_visit(tmp_path / "data", f"sub-0{k}", seed=k)
    about = train().about
    assert about["validation"]["by_stratum"] == []
    assert len(about["validation"]["by_structure"]) == 6
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert "Validated on" in card
    assert "| lvef_pct |" in card
    assert "|  |" not in card


def test_a_private_bundle_states_epsilon_and_holds_neither_its_seed_nor_who_was_trained_on(
    tmp_path, capsys
):
    pytest.importorskip("opacus")
    for k in range(3):
        write_visit(tmp_path / "data", f"sub-0{k}", seed=k)
    recipe, out = tmp_path / "secret.yaml", tmp_path / "out"
    private = {"noise": 4.0, "sampling_rate": 0.5, "delta": 0.1, "slices": 1}
    recipe.write_text(yaml.safe_dump(RECIPE | {"seed": 2**60 + 1, "private": private}))
    where = ["--root", str(tmp_path / "data"), "--work", str(tmp_path / "work")]
    assert main(["train", str(recipe), *where, "--validation", "1", "--out", str(out)]) == 0
    about = load_bundle(out, "cpu").about
    stated = about["training"]["private"]
    assert stated["unit"] == "subject"
    assert 0 < stated["epsilon"] < 1
    assert stated["trainings"] == [private | {"clip": 1.0, "bias_aware": 0.0, "steps": 3}]
    assert about["trained_on"]["sha256"] == []
    assert not (out / "training.safetensors").exists()
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "differentially private" in card
    assert not any(str(2**60 + 1) in text for text in (card, (out / "model.yaml").read_text()))


@pytest.mark.parametrize("recipe", ["t1_map", "cine_lax_1"])
def test_recipes_of_another_protocol_are_refused(tmp_path, recipe):
    with pytest.raises(PopscanError, match="models of cine_sax alone are trained here"):
        train_model(
            [recipe], kind="bids", root=tmp_path, work=tmp_path / "w", out=tmp_path / "o",
            n_validation=1,
        )  # fmt: skip


def test_suspicious_labels_of_a_source_are_listed(tmp_path, capsys):
    for k in range(2):
        write_visit(tmp_path / "data", f"sub-0{k}", seed=k)
    recipe, out = tmp_path / "tiny.yaml", tmp_path / "suspects.tsv"
    recipe.write_text(yaml.safe_dump(RECIPE | {"learning": {"snapshots": 1}}))
    where = ["--root", str(tmp_path / "data"), "--work", str(tmp_path / "work")]
    command = ["suspects", str(recipe), *where, "--out", str(out)]
    assert main(command) == 1
    assert "0 snapshots after step 0" in capsys.readouterr().err
    trained = main(
        ["train", str(recipe), *where, "--validation", "1", "--out", str(tmp_path / "b")]
    )
    assert trained == 0
    assert main(command) == 0
    table = pd.read_csv(out, sep="\t", dtype={"unit": str})
    assert sorted(table["unit"]) == ["00", "01"]
    assert table["visit_median"].is_monotonic_decreasing
    assert main([*command, "--over", "slice"]) == 0
    assert pd.read_csv(out, sep="\t")["loss"].is_monotonic_decreasing
    assert main([*command, "--by", "gradients"]) == 0
    assert "gradients" in pd.read_csv(out, sep="\t").columns


def test_unlabelled_scans_are_suggested(tmp_path, train, capsys):
    for k in range(5):
        write_visit(tmp_path / "data", f"sub-0{k}", seed=k)
    train()
    for k in range(1, 5):  # 01 to 04: new, 03 a copy of 02.
        shutil.rmtree(tmp_path / "data" / f"sub-0{k}")
        write_visit(tmp_path / "data", f"sub-1{k}", seed=12 if k == 3 else 10 + k)
        for path in (tmp_path / "data").glob(f"sub-1{k}/anat/*dseg*"):
            path.unlink()
    out = tmp_path / "suggest.tsv"
    command = ["suggest", str(tmp_path / "out"), "--root", str(tmp_path / "data"), "--n", "2"]
    capsys.readouterr()
    assert main([*command, "--out", str(out), "--among", "1"]) == 0
    assert "2 of 4 unlabelled scans suggested, 1 have labels" in capsys.readouterr().out
    table = pd.read_csv(out, sep="\t", dtype={"unit": str})
    assert sorted(table["unit"]) == ["11", "12", "13", "14"]
    assert table["chosen"].sum() == 2
    assert len({"12", "13"} & set(table["unit"][:2])) < 2
    first = out.read_bytes()
    assert main([*command, "--out", str(out), "--among", "1"]) == 0
    assert out.read_bytes() == first
    assert main([*command, "--out", str(out), "--among", "2"]) == 1
    assert "a share above 0" in capsys.readouterr().err


def test_visits_are_told_apart_and_a_person_stays_on_one_side(tmp_path, train):
    visits = [f"sub-0{k}/ses-{s}" for k in range(3) for s in "ab"]
    for seed, visit in enumerate(visits):
        write_visit(tmp_path / "data", visit, seed=seed)
    cases, _ = labelled_cases("bids", tmp_path / "data")
    assert [case.unit for case in cases] == [v.replace("/", "_")[4:] for v in visits]
    pack = build_pack(cases, size=48)
    assert len(stacks(pack)) == 12  # two frames of each of six visits
    assert pack.subjects == ["00", "01", "02"]
    bundle = train()
    known = [bundle.was_trained_on(case.unit) for case in cases]
    assert sorted(known[::2]) == [False, True, True]
    assert known[::2] == known[1::2]
    (told,) = bundle.about["training"]["data"]
    assert (told["subjects"], told["slices"]) == (2, 16)
    assert len(bundle.about["trained_on"]["sha256"]) == 2
    assert len(bundle.about["validation"]["by_structure"]) == 6


def test_visits_do_not_count_as_persons(tmp_path, train, capsys):
    for seed, session in enumerate("ab"):
        write_visit(tmp_path / "data", f"sub-00/ses-{session}", seed=seed)
    with pytest.raises(AssertionError):
        train()
    assert "1 labelled subjects, more than 1 are needed" in capsys.readouterr().err


def test_a_recipe_that_classifies_writes_its_predictions_for_the_audit(tmp_path, monkeypatch):
    from popscan.commands import training
    from popscan.segment.predictor import load_predictor

    for k in range(6):
        for session in "ab":
            write_visit(tmp_path / "data", f"sub-0{k}/ses-{session}", seed=k)
    real = training.labelled_cases

    def with_groups(kind, root, *, stratify=""):
        cases, left_out = real(kind, root)
        groups = [replace(c, attributes={"group": "AB"[int(c.subject) % 2]}) for c in cases]
        return groups, left_out

    monkeypatch.setattr(training, "labelled_cases", with_groups)
    recipe = tmp_path / "task.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE | {"task": "classify", "target": "group"}))
    training.train_model(
        [str(recipe)], kind="bids", root=tmp_path / "data", work=tmp_path / "work",
        out=tmp_path / "out", n_validation=2, stratify="group",
    )  # fmt: skip
    assert load_predictor(tmp_path / "out", "cpu").facts.task.classes == ["A", "B"]
    table = pd.read_csv(tmp_path / "work" / "validation.tsv", sep="\t", dtype=str)
    assert list(table)[:3] == ["participant_id", "session_id", "truth"]
    assert {"p_A", "p_B"} <= set(table)
    assert table["participant_id"].str.startswith("sub-0").all()
    assert len(table) == 4
