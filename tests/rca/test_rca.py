"""Predicted Dice: of simulated hearts, good and spoilt segmentations of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from popscan.arrays.metrics import dice
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.crops import covering_heart, fallback_frame, heart_crop
from popscan.protocols.cine_sax.frame import heart_frame
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.rca.atlas import predict_dice
from popscan.rca.references import Pose, choose, from_arrays, make_reference, to_arrays
from popscan.records import SubjectError
from popscan.register.crops import block_means, crop_values

GRID = covering_heart()
POSE = Pose.of(get_protocol("cine_sax"))


@pytest.fixture(scope="module")
def hearts():
    """Six simulated subjects: image and labels at end-diastole, spacing."""
    people = sample_population(6, seed=5, allocation="quota")
    found = []
    for row in people.to_dict("records"):
        made = simulate_subject(row, seed=5, kspace=False, matrix=(80, 80), spacing_mm=(3.2, 3.2),
                                frames=2, fine=(2, 2))  # fmt: skip
        labels = made.labels.array[..., 0]
        found.append((made.scan.array[..., 0], labels, made.scan.spacing_mm))
    return found


@pytest.fixture(scope="module")
def references(hearts):
    return [
        make_reference(f"ref-{i}", "ED", image, labels, spacing_mm=spacing, grid=GRID, pose=POSE)
        for i, (image, labels, spacing) in enumerate(hearts[:3])
    ]


def predicted(subject, labels, references, **options):
    image, _, spacing = subject
    found = predict_dice(
        image, labels, references, spacing_mm=spacing, grid=GRID, pose=POSE, **options
    )
    return found.values()


def spoil(labels, how, amount):
    if how == "shift":
        return np.roll(labels, amount, axis=0)
    if how == "erode":
        heart = ndimage.binary_erosion(labels > 0, np.ones((3, 3, 1)), iterations=amount)
        return labels * heart
    kept = labels.copy()
    held = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    kept[..., held[: amount * 2]] = 0
    return kept


def test_a_reference_judges_itself_to_be_perfect(hearts, references):
    values = predicted(hearts[0], hearts[0][1], references[:1])
    assert values["predicted_dice"] > 0.97
    assert values["best_reference"] == "ref-0"
    assert values["similarity"] > 0.99


def test_worse_segmentations_are_predicted_to_be_worse(hearts, references):
    ways = (("shift", 2), ("erode", 1), ("drop", 2))
    for subject in hearts[3:]:
        labels = subject[1]
        tried = [labels] + [spoil(labels, how, amount) for how, amount in ways]
        true = [np.mean([dice(one, labels, s) for s in STRUCTURES]) for one in tried]
        found = [
            predicted(subject, one, references, n_registered=1)["predicted_dice"] for one in tried
        ]
        assert found[0] > np.mean(found[1:])
        # Hearts differ, so that even the truth does not fit another heart.
        assert found[0] < true[0]
        assert min(found) > 0


def test_an_absurd_segmentation_is_found(hearts, references, rng):
    subject = hearts[3]
    good = predicted(subject, subject[1], references[:1])["predicted_dice"]
    moved = np.roll(subject[1], 12, axis=(0, 1))
    swapped = np.choose(subject[1], [0, Label.LV, Label.RV, Label.MYO]).astype(np.uint8)
    for labels in (moved, swapped):
        assert predicted(subject, labels, references[:1])["predicted_dice"] < good - 0.15


def test_nothing_labelled_is_zero_and_a_missing_structure_is_judged(hearts, references):
    subject = hearts[3]
    nothing = predicted(subject, np.zeros_like(subject[1]), references)
    assert nothing["predicted_dice"] == 0
    assert nothing["n_references"] == 0
    without_rv = np.where(subject[1] == Label.RV, 0, subject[1]).astype(np.uint8)
    values = predicted(subject, without_rv, references)
    assert values["predicted_dice_rv"] == 0
    assert values["predicted_dice_lv"] > 0.3


def test_no_reference_is_said(hearts):
    with pytest.raises(SubjectError, match="no other reference"):
        predicted(hearts[0], hearts[0][1], [])


def test_affine_start(hearts, references):
    values = predicted(hearts[3], hearts[3][1], references, n_registered=1, affine=True)
    assert 0.4 < values["predicted_dice"] <= 1


def test_references_survive_a_file(references, tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, **to_arrays(references, GRID))
    with np.load(path, allow_pickle=False) as stored:
        again, grid = from_arrays(dict(stored))
    assert grid == GRID
    assert [r.unit for r in again] == ["ref-0", "ref-1", "ref-2"]
    assert np.array_equal(again[1].crop.labels, references[1].crop.labels)
    assert np.allclose(again[1].frame.axes, references[1].frame.axes)
    none, grid = from_arrays(to_arrays([], GRID))
    assert none == []
    assert grid == GRID


def test_references_are_balanced_and_stay():
    candidates = {f"sub-{i:02d}": "female" if i < 4 else "male" for i in range(40)}
    chosen = choose(candidates, n=6, seed=1)
    assert sum(candidates[unit] == "female" for unit in chosen) == 3
    more = {**candidates, **{f"sub-{i}": "female" for i in range(100, 140)}}
    assert choose(more, n=6, seed=1, keep=chosen) == chosen
    assert len(choose(candidates, n=100, seed=1)) == 40
    without = {unit: group for unit, group in candidates.items() if unit != chosen[0]}
    again = choose(without, n=6, seed=1, keep=chosen)
    assert set(chosen[1:]) <= set(again)
    assert choose({}, n=3, seed=1) == []


def test_crops_put_every_heart_in_the_same_place(hearts):
    centres = []
    for image, labels, spacing in hearts:
        crop = heart_crop(image, labels, spacing_mm=spacing, grid=GRID)
        assert crop.image.min() >= -0.5
        assert crop.image.max() <= 2.0
        where = np.argwhere(crop.labels == Label.LV).mean(axis=0)
        centres.append(where * GRID.spacing_mm)
        right = np.argwhere(crop.labels == Label.RV).mean(axis=0)
        assert right[0] < where[0]
    assert np.ptp(centres, axis=0).max() < 6.0


def test_a_crop_follows_a_rotated_heart(hearts):
    image, labels, spacing = hearts[4]
    turned = heart_crop(np.rot90(image), np.rot90(labels), spacing_mm=spacing, grid=GRID)
    plain = heart_crop(image, labels, spacing_mm=spacing, grid=GRID)
    assert dice(turned.labels, plain.labels, Label.MYO) > 0.85


def test_values_and_blocks(hearts):
    _, labels, spacing = hearts[0]
    frame = heart_frame(labels, spacing_mm=spacing)
    ones = crop_values(np.ones(labels.shape), spacing_mm=spacing, grid=GRID, frame=frame)
    assert set(np.unique(ones)) <= {0.0, 1.0}
    assert block_means(np.arange(16.0).reshape(4, 4, 1), (2, 2, 1))[:, :, 0].tolist() == [
        [2.5, 4.5],
        [10.5, 12.5],
    ]


def test_fallback_frame_takes_what_there_is(hearts):
    _, labels, spacing = hearts[0]
    like = heart_frame(labels, spacing_mm=spacing)
    only_lv = np.where(labels == Label.LV, labels, 0)
    frame = fallback_frame(only_lv, spacing_mm=spacing, like=like)
    assert np.allclose(frame.centre_mm, like.centre_mm)
    empty = fallback_frame(np.zeros_like(labels), spacing_mm=spacing, like=like)
    assert np.allclose(empty.centre_mm, (np.array(labels.shape) - 1) / 2 * spacing)
