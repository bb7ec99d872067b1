"""Classification and regression: the trainer's promises hold, and bundles say what they predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from popscan.records import PopscanError, Scan
from popscan.segment import load_bundle
from popscan.segment.predictor import load_predictor, predict
from popscan.train.augmentation import Augmentation
from popscan.train.loop import fit
from popscan.train.packs import build_pack
from popscan.train.predictor import (
    predict_cases,
    score_predictions,
    train_predictor,
    unlabelled_case,
)
from popscan.train.recipe import Recipe, parse_recipe
from popscan.train.targets import find_target, slice_targets

RECIPE = Recipe(
    name="tiny",
    task="classify",
    target="sex",
    architecture_arguments={"channels": [4, 8, 8]},
    spacing_mm=2.0,
    patch=24,
    batch=8,
    steps=40,
    warmup_steps=5,
    learning_rate=1e-2,
    ema_decay=0.8,
    autocast=False,
    augmentation=Augmentation(
        turn_any=0.0,
        turn_deg=0.0,
        scale=(1.0, 1.0),
        stretch=0.0,
        shear=0.0,
        shift_px=1.0,
        elastic=0.0,
        gamma=0.0,
        contrast=0.0,
        bias=0.0,
        noise=0.0,
        blur=0.0,
        low_resolution=0.0,
        ghost=0.0,
        invert=0.0,
        random_convolution=0.0,
    ),
    checkpoint_every=20,
)


def _cases(n: int, *, seed: int = 0):
    """Scans whose texture says the sex and whose disc says the age."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    cases = []
    for i in range(n):
        sex, age = ("F", "M")[i % 2], 40 + 40 * rng.random()
        disc = np.hypot(x - 16, y - 16) < 4 + (age - 40) / 5
        stripes = 0.9 * (x % 4 < 2) * (sex == "F")
        image = (disc + stripes + 0.05 * rng.normal(size=(3, 1, 32, 32))).transpose(2, 3, 0, 1)
        scan = Scan(
            array=image.astype(np.float32), affine=np.diag([2.0, 2.0, 8.0, 1.0]),
            spacing_mm=(2.0, 2.0, 8.0),
        )  # fmt: skip
        attributes = {"sex": sex, "age_years": f"{age:.1f}", "site": "AB"[i % 4 < 2]}
        cases.append(unlabelled_case(f"s{seed}{i:03d}", scan, attributes))
    return cases


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a trained classifier, and its predictions of the validation subjects."""
    folder = tmp_path_factory.mktemp("sex")
    table = train_predictor(
        RECIPE, cases=_cases(24), validation=_cases(16, seed=1), work=folder / "work",
        out=folder / "bundle", name="sex_tiny", quiet=True,
    )  # fmt: skip
    return folder / "bundle", table


def test_a_class_that_images_show_is_learnt(trained):
    bundle, table = trained
    np.testing.assert_allclose(table["p_F"] + table["p_M"], 1, atol=1e-6)
    about = yaml.safe_load((bundle / "model.yaml").read_text())
    assert about["task"] == {"task": "classify", "attribute": "sex", "classes": ["F", "M"]}
    scores = about["validation"]
    assert scores["auc"]["value"] > 0.85
    assert scores["auc"]["ci_low"] <= scores["auc"]["value"] <= scores["auc"]["ci_high"]
    assert {"balanced_accuracy", "calibration_error"} <= set(scores)
    assert "Not a diagnostic device" in (bundle / "card.md").read_text()


def test_a_number_that_images_show_is_learnt(tmp_path):
    recipe = replace(RECIPE, task="regress", target="age_years", steps=40)
    table = train_predictor(
        recipe, cases=_cases(24), validation=_cases(16, seed=1), work=tmp_path / "work",
        out=tmp_path / "bundle", name="age_tiny", quiet=True,
    )  # fmt: skip
    truth = table["truth"].astype(float)
    assert np.corrcoef(truth, table["predicted"])[0, 1] > 0.7
    assert 40 < table["predicted"].mean() < 80
    scores = yaml.safe_load((tmp_path / "bundle" / "model.yaml").read_text())["validation"]
    assert {"rmse", "slope_on_truth"} <= set(scores)


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    cases = _cases(8)
    target = find_target("classify", "sex", {c.subject: c.attributes["sex"] for c in cases})
    packs = {"a": build_pack(cases, spacing_mm=2.0, size=32, around_labels=False)}
    short = replace(RECIPE, steps=12, checkpoint_every=4)
    whole = fit(short, packs, tmp_path / "one", target=target, quiet=True)
    fit(short, packs, tmp_path / "two", target=target, stop_after=5, quiet=True)
    again = fit(short, packs, tmp_path / "two", target=target, quiet=True)
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(value, again.averaged.state_dict()[name]), name


def test_other_targets_are_other_data(tmp_path):
    cases = _cases(8)
    target = find_target("classify", "sex", {c.subject: c.attributes["sex"] for c in cases})
    short = replace(RECIPE, steps=2)
    packs = {"a": build_pack(cases, spacing_mm=2.0, size=32, around_labels=False)}
    fit(short, packs, tmp_path, target=target, quiet=True)
    swapped = [replace(c, attributes=c.attributes | {"sex": "M"}) for c in cases[:2]] + cases[2:]
    packs = {"a": build_pack(swapped, spacing_mm=2.0, size=32, around_labels=False)}
    with pytest.raises(PopscanError, match="other training data"):
        fit(short, packs, tmp_path, target=target, quiet=True)


def test_brightness_and_repeated_frames_change_no_prediction(trained):
    predictor = load_predictor(trained[0], "cpu")
    scan = _cases(1, seed=5)[0].scan
    one = predict(scan, predictor)
    brighter = predict(replace(scan, array=3 * scan.array + 7), predictor)
    twice = predict(replace(scan, array=np.repeat(scan.array, 2, axis=3)), predictor)
    for other in (brighter, twice):
        assert one == pytest.approx(other, abs=1e-4)


def test_subjects_of_the_training_are_known(trained):
    predictor = load_predictor(trained[0], "cpu")
    assert predictor.was_trained_on("sub-s0000_ses-2")
    assert not predictor.was_trained_on("sub-s1000")


def test_bundles_of_one_task_are_refused_by_the_other(trained, repo_root):
    with pytest.raises(PopscanError, match="labels"):
        load_bundle(trained[0], "cpu")
    with pytest.raises(PopscanError, match="this bundle segments"):
        load_predictor(repo_root / "resources" / "models" / "cine_sax", "cpu")


def test_altered_bundles_are_refused(trained, tmp_path):
    model = (trained[0] / "model.yaml").read_text()
    weights = (trained[0] / "weights.safetensors").read_bytes()
    changes = {
        "different names": (model.replace("- M\n", "- F\n"), weights),
        "SHA-256": (model, weights[:-1] + b"\0\0"),
        "shape": (model.replace("  - M\n", "  - M\n  - X\n"), weights),
        "format": (model.replace("format: 1", "format: 9"), weights),
    }
    for message, (text, content) in changes.items():
        folder = tmp_path / message.replace(" ", "")
        folder.mkdir()
        (folder / "model.yaml").write_text(text)
        (folder / "weights.safetensors").write_bytes(content)
        (folder / "card.md").write_text("")
        with pytest.raises(PopscanError, match=message):
            load_predictor(folder, "cpu")


def test_targets_say_what_cannot_be_trained_on():
    assert find_target("regress", "age", {"a": "50", "b": "70", "c": "n/a"}).mean == 60
    with pytest.raises(PopscanError, match="at least two classes"):
        find_target("classify", "sex", {"a": "F", "b": "F"})
    with pytest.raises(PopscanError, match="a number is expected"):
        find_target("regress", "age", {"a": "old", "b": "60"})
    target = find_target("classify", "sex", {"a": "F", "b": "M"})
    codes = slice_targets(target, ["M", "unknown", "F"])
    assert codes[[0, 2]].tolist() == [1.0, 0.0]
    assert torch.isnan(codes[1])
    with pytest.raises(PopscanError, match="class 'X'"):
        slice_targets(target, ["X"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "guess", "target": "sex"}, "known are segment, probabilistic, classify, regress"),
        ({"task": "classify"}, "target goes with task"),
        ({"target": "sex"}, "target goes with task"),
        ({"task": "regress", "target": "age", "adversarial": 0.5}, "does not go with adversarial"),
        ({"task": "classify", "target": "sex", "init_from": "cine_sax"}, "init_from"),
    ],
)
def test_recipes_that_fit_no_task_are_refused(change, message):
    with pytest.raises(PopscanError, match=message):
        parse_recipe({"name": "x", "architecture_arguments": {"channels": [4, 8, 8]}, **change})


def test_scores_of_three_classes_are_each_against_the_others():
    import pandas as pd

    rng = np.random.default_rng(0)
    truth = rng.choice(["A", "B", "C"], 90)
    scores = rng.dirichlet([1, 1, 1], 90)
    for i, name in enumerate("ABC"):
        scores[truth == name, i] += 1
    table = pd.DataFrame(scores / scores.sum(axis=1, keepdims=True), columns=["p_A", "p_B", "p_C"])
    table = table.assign(unit=[f"u{i}" for i in range(90)], truth=truth)
    target = find_target("classify", "group", dict(zip(table["unit"], truth, strict=True)))
    found = score_predictions(table, target, n_boot=50)
    assert {"A_auc", "B_auc", "C_auc"} <= set(found)
    assert found["A_auc"]["value"] > 0.9


def test_predictions_are_a_table_for_the_audit(trained):
    table = predict_cases(_cases(3, seed=2), predictor=load_predictor(trained[0], "cpu"))
    assert list(table) == ["unit", "truth", "p_F", "p_M", "age_years", "site"]
