"""Volumes of any label set, trained and segmented in three planes by the one trainer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.arrays.cuts import PLANES, axis_codes, to_ras
from popscan.records import LabelMap, PopscanError, Scan, SubjectError
from popscan.segment.planes import on_scan, predict_volume, sums_of
from popscan.train.augmentation import Augmentation
from popscan.train.evaluate import draft_bundle
from popscan.train.loop import fit
from popscan.train.packs import Case
from popscan.train.planes import mirrored, plane_packs, stacks_of
from popscan.train.recipe import Recipe, parse_recipe

RECIPE = Recipe(
    name="blocks",
    architecture="dynunet",
    architecture_arguments={"channels": [8, 8, 16], "context": 1},
    spacing_mm=2.0,
    patch=32,
    batch=4,
    steps=150,
    warmup_steps=5,
    learning_rate=1e-2,
    ema_decay=0.9,
    labels=("shell", "left_block", "core"),
    planes=("axial", "coronal", "sagittal"),
    mirror=True,
    autocast=False,
    augmentation=Augmentation(
        **dict.fromkeys(("turn_any", "flip", "elastic", "gamma", "contrast", "bias"), 0.0),
        **dict.fromkeys(("noise", "blur", "low_resolution", "ghost", "invert"), 0.0),
        **dict.fromkeys(("random_convolution", "context_flip", "context_drop"), 0.0),
        turn_deg=5.0,
        scale=(0.9, 1.1),
        shift_px=3.0,
        context_shift_px=0.0,
    ),
)


def blocks(seed: int) -> Case:
    """A bright core in a grey shell, and a black block to one side of it."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((30, 34, 28, 1), np.uint8)
    labels[5:25, 6:28, 5:23] = 1
    labels[6:12, 8:26, 8:20] = 2
    x, y, z = rng.integers(13, 16), rng.integers(9, 14), rng.integers(8, 12)
    labels[x : x + 8, y : y + 10, z : z + 8] = 3
    grey = np.array([0.0, 0.35, 0.7, 1.0])[labels] * 300
    scan = Scan(
        array=(grey + rng.normal(0, 5, labels.shape)).astype(np.float32),
        affine=np.diag([2.0, 2.0, 2.0, 1.0]),
        spacing_mm=(2.0, 2.0, 2.0),
        view="volume",
    )
    return Case(unit=f"sub-{seed}", scan=scan, labels=LabelMap(array=labels, frames=(0,)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    packs = plane_packs(RECIPE, [blocks(seed) for seed in range(4)])
    state = fit(RECIPE, packs, tmp_path_factory.mktemp("blocks"), quiet=True)
    return draft_bundle(RECIPE, state.averaged)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_each_plane_shows_the_same_voxels():
    case = blocks(1)
    for plane, axes in PLANES.items():
        (stack,) = stacks_of([case], plane=plane, spacing_mm=2.0)
        assert stack.scan.array.shape[:3] == tuple(case.scan.array.shape[a] for a in axes)
        voxel = np.array([7, 9, 11])
        there = stack.scan.affine[:3, :3] @ voxel[list(axes)]
        np.testing.assert_allclose(there, case.scan.affine[:3, :3] @ voxel)
        assert stack.labels.array[(*voxel[list(axes)], 0)] == case.labels.array[(*voxel, 0)]


def test_mirror_image_is_a_second_frame():
    both = mirrored(blocks(2))
    np.testing.assert_array_equal(both.labels.array[..., 1], both.labels.array[::-1, ..., 0])
    packs = plane_packs(RECIPE, [blocks(2)])
    assert {name: set(pack.frame.tolist()) for name, pack in packs.items()} == {
        plane: {0, 1} for plane in PLANES
    }


def test_other_spacing_is_refused():
    case = blocks(3)
    case = replace(case, scan=replace(case.scan, spacing_mm=(1.0, 1.0, 1.0)))
    with pytest.raises(PopscanError, match="resample volumes first"):
        plane_packs(RECIPE, [case])


def test_learns_and_labels_an_unseen_volume(bundle):
    case = blocks(11)
    labels, entropy = on_scan(predict_volume(case.scan, bundle=bundle), case.scan.array.shape[:3])
    for code in (1, 2, 3):
        assert dice(labels == code, case.labels.array[..., 0] == code) > 0.85
    assert entropy.min() >= 0
    assert entropy.max() <= np.log(4) + 1e-5


def test_finer_grid_and_mirror_image_give_the_same(bundle):
    case = blocks(12)
    fine = replace(
        case.scan,
        array=case.scan.array.repeat(2, 0).repeat(2, 1).repeat(2, 2),
        spacing_mm=(1.0, 1.0, 1.0),
    )
    volume = predict_volume(fine, bundle=bundle, flips=True)
    labels, _ = on_scan(volume, fine.array.shape[:3])
    truth = case.labels.array[..., 0].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert dice(labels == 3, truth == 3) > 0.8
    values = sums_of(volume, RECIPE.labels)
    assert set(values) == {f"implied_dice_{name}" for name in RECIPE.labels}
    assert all(0.5 < value <= 1 for value in values.values())


def test_features_are_taken_of_every_slice_of_three_planes_and_change_nothing(bundle):
    scan = blocks(3).scan
    plain, tapped = (
        predict_volume(scan, bundle=bundle),
        predict_volume(scan, bundle=bundle, features=True),
    )
    assert plain.features is None
    assert (plain.probabilities == tapped.probabilities).all()
    assert tapped.features.shape[0] == sum(b.stop - b.start for b in tapped.box)
    assert np.isfinite(tapped.features).all()
    assert tapped.black < tapped.white


def test_what_is_no_patient_is_refused(bundle):
    scan = blocks(1).scan
    with pytest.raises(SubjectError) as caught:
        predict_volume(replace(scan, spacing_mm=(90.0, 90.0, 90.0)), bundle=bundle)
    assert caught.value.reason == "bad_spacing"


def test_turned_to_ras_and_no_voxel_moves():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 5, 6, 1)).astype(np.float32)
    affine = np.array([[0, 0, 2.0, -7], [-2, 0, 0, 3], [0, 2, 0, 5], [0, 0, 0, 1]])
    assert axis_codes(affine) == "PSR"
    turned, moved = to_ras(array, affine)
    assert axis_codes(moved) == "RAS"
    place = affine @ [1, 2, 3, 1]
    voxel = np.rint(np.linalg.solve(moved, place)).astype(int)
    assert turned[tuple(voxel[:3])] == array[1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planes": ["oblique"]}, "known are axial"),
        ({"labels": ["a", "a"]}, "each once"),
        ({"labels": []}, "each once"),
    ],
)
def test_recipes_that_cannot_be(changes, message):
    with pytest.raises(PopscanError, match=message):
        parse_recipe({"name": "x", **changes})


def test_recipe_and_checkpoint_of_stacks_stay_as_they_were():
    plain = Recipe(name="x").as_dict()
    assert not {"labels", "planes", "mirror"} & set(plain)
    assert parse_recipe(RECIPE.as_dict()) == RECIPE
    assert torch.tensor(RECIPE.n_labels).item() == 4
