"""One trial: crops and their way back, scores, group models, the cascade."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popscan.config import Experiment
from popscan.experiment.crops import crop, label_centres, uncrop
from popscan.experiment.design import Trial, trial_section
from popscan.experiment.trial import predict, restrict, run_trial, score, trial_recipe
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.records import PopscanError
from popscan.segment.networks import build_network
from popscan.train.packs import INTENSITY_SCALE, Pack

RECIPE = {
    "architecture": "unet",
    "architecture_arguments": {"channels": [4, 8], "residual_units": 0},
    "spacing_mm": 4.0,
    "patch": 32,
    "batch": 4,
    "steps": 3,
    "warmup_steps": 1,
    "autocast": False,
}


def hearts(units: dict[str, str], *, side: int = 32) -> Pack:
    """Two frames of two slices per subject; a bright disc somewhere, a frame around it."""
    rng = np.random.default_rng(5)
    n = 4 * len(units)
    labels, images = np.zeros((n, side, side), np.uint8), np.zeros((n, side, side))
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    for k, _ in enumerate(units):
        cx, cy = rng.uniform(11, side - 11, 2)
        radius = np.hypot(x - cx, y - cy)
        for j in range(4):
            labels[4 * k + j][radius < 7] = Label.MYO
            labels[4 * k + j][radius < 5 - j % 2] = Label.LV
            labels[4 * k + j][(radius < 7) & (x < cx - 4)] = Label.RV
    images = np.choose(labels, [0.3, 0.5, 0.1, 0.9]) + 0.02 * rng.normal(size=labels.shape)
    names = [unit for unit in units for _ in range(4)]
    return Pack(
        images=(images * INTENSITY_SCALE).astype(np.int16),
        labels=labels,
        unit=np.array(names),
        frame=np.tile(np.array([0, 0, 1, 1], np.int32), len(units)),
        slice_index=np.tile(np.array([0, 1, 0, 1], np.int32), len(units)),
        usable=np.ones(n, bool),
        spacing_mm=4.0,
        attributes={"sex": np.array([units[name] for name in names])},
    )


UNITS = {f"{group}{i}": group for group in "fm" for i in range(4)}


@pytest.fixture(scope="module")
def pack() -> Pack:
    return hearts(UNITS)


def given(**mitigation) -> tuple[dict, Trial]:
    section = Experiment.model_validate(
        {
            "attribute": "sex",
            "groups": ["f", "m"],
            "n_train": 4,
            "field_px": 32,
            "recipe": RECIPE,
            "mitigations": {"arm": mitigation},
        }
    ).model_dump()
    trial = Trial(architecture="recipe", mitigation="arm", share_pct=25, seed=1)
    return trial_section(section, trial), trial


def test_crops_come_back_to_where_they_were(pack):
    centres = label_centres(pack.labels, pack.unit)
    small = crop(pack, 20, centres)
    assert small.images.shape[1:] == (20, 20)
    assert np.array_equal(uncrop(small.labels, pack, centres), pack.labels)


def test_what_a_crop_leaves_out_is_missed(pack):
    centres = dict.fromkeys(pack.units, (2.0, 2.0))
    back = uncrop(crop(pack, 12, centres).labels, pack, centres)
    rows = score(pack, back, attribute="sex", structures=STRUCTURES)
    assert np.nanmean([row["dice"] for row in rows]) < 0.5


def test_brightness_outside_of_a_crop_has_no_say(pack):
    """The reason for cropping: fat around the body moves the normalisation of a whole image."""
    centres = label_centres(pack.labels, pack.unit)
    images = pack.images.copy()
    images[:, :, -1] = 20000
    bright = crop(Pack(**{**vars(pack), "images": images}), 18, centres)
    plain = crop(pack, 18, centres)
    same = [
        np.array_equal(bright.images[plain.unit == u], plain.images[plain.unit == u])
        for u in pack.units
        if centres[u][1] + 9 < 31
    ]
    assert same
    assert all(same)


def test_no_heart_found_means_the_middle_of_the_image():
    unit = np.array(["a"])
    assert label_centres(np.zeros((1, 10, 20), np.uint8), unit) == {"a": (4.5, 9.5)}


def test_perfect_labels_score_one_per_subject_structure_and_frame(pack):
    rows = score(pack, pack.labels, attribute="sex", structures=STRUCTURES)
    assert len(rows) == len(UNITS) * 2 * 3
    assert {row["dice"] for row in rows} == {1.0}
    assert {(row["subject"], row["group"]) for row in rows} == set(UNITS.items())


def test_predictions_do_not_depend_on_the_batch(pack):
    network = build_network("unet", 4, channels=[4, 8], residual_units=0, context=1)
    one = predict(network, pack, arguments={"context": 1}, batch=32)
    assert np.array_equal(one, predict(network, pack, arguments={"context": 1}, batch=5))


def test_a_trial_recipe_is_the_shared_one_with_its_own_seed_and_mitigation():
    section, trial = given(sampling="oversampling", crop_px=16)
    found = trial_recipe(section, trial)
    assert (found.seed, found.patch, found.steps) == (1, 16, 3)
    assert (found.mitigation.attribute, found.mitigation.sampling) == ("sex", "oversampling")
    plain = trial_recipe(*given())
    assert plain.mitigation.attribute == ""


def test_what_cannot_be_names_the_arm():
    with pytest.raises(PopscanError, match="arm arm"):
        trial_recipe(*given(adversary=0.1, classifier=0.1))


ARMS = [
    {},
    {"crop_px": 16, "crop_by": "cascade", "sampling": "stratified"},
    {"group_steps": 2, "adversary": 0.1},
]


@pytest.mark.parametrize("arm", ARMS, ids=["none", "cascade", "group models"])
def test_a_trial_tests_everybody_and_goes_on_where_it_was(arm, pack, tmp_path):
    section, trial = given(**arm)
    sets = {
        "training": {"f": ["f0"], "m": ["m0", "m1", "m2"]},
        "test": {"f": ["f2", "f3"], "m": ["m3"]},
    }
    first = run_trial(pack, section, trial, work=tmp_path, **sets)
    assert {row["subject"] for row in first.rows} == {"f2", "f3", "m3"}
    assert len(first.rows) == 3 * 2 * 3
    again = run_trial(pack, section, trial, work=tmp_path, **sets)
    assert again.rows == first.rows
    if arm.get("group_steps"):
        assert set(first.weights) == {"network", "group-0", "group-1"}
        kinds = [first.weights[name].values() for name in ("group-0", "group-1")]
        assert any(not torch.equal(a, b) for a, b in zip(*kinds, strict=True))
    if arm.get("crop_by"):
        assert first.values["locator_error_px"] >= 0


def test_a_group_without_training_subjects_keeps_the_common_network(pack, tmp_path):
    section, trial = given(group_steps=2)
    found = run_trial(
        pack,
        section,
        trial,
        training={"f": [], "m": ["m0", "m1"]},
        test={"f": ["f2"], "m": ["m3"]},
        work=tmp_path,
    )
    assert set(found.weights) == {"network", "group-1"}
    assert {row["group"] for row in found.rows} == {"f", "m"}


def test_restricting_keeps_all_columns_together(pack):
    part = restrict(pack, ["f1", "m2"])
    assert part.units == ["f1", "m2"]
    assert len(part) == len(part.images) == len(part.attributes["sex"]) == 8
