"""Implicit shapes: trained by the one trainer, fitted to slices, right between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.records import PopscanError
from popscan.segment.implicit import ImplicitShape, build_implicit, fit_shape
from popscan.segment.places import frame_of, placed, slice_points
from popscan.train.loop import fit
from popscan.train.points import PointPack, PointSampler, implicit_loss, point_pack
from popscan.train.recipe import Recipe, parse_recipe

SPACING = (4.0, 4.0, 12.0)
SHAPE = (30, 30, 8)


def egg(places_mm: np.ndarray, radius_mm: float, phase: float) -> np.ndarray:
    """Label 2 within an ellipsoid at (58, 58, 42), label 1 in a smaller one beside it.

    Both shrink by a fifth until the phase 0.5.
    """
    r = radius_mm * (0.9 + 0.1 * np.cos(2 * np.pi * phase))
    away = (places_mm - [58.0, 58.0, 42.0]) / [1.0, 1.0, 1.3]
    beside = (places_mm - [58.0 - 1.3 * r, 58.0, 42.0]) / [0.6, 0.8, 1.0]
    out = np.where((beside**2).sum(axis=-1) < r**2, 1, 0)
    return np.where((away**2).sum(axis=-1) < r**2, 2, out).astype(np.uint8)


def grid(shape=SHAPE, spacing=SPACING) -> np.ndarray:
    return np.moveaxis(np.indices(shape), 0, -1) * np.asarray(spacing)


def stack(radius_mm: float) -> np.ndarray:
    return np.stack([egg(grid(), radius_mm, phase) for phase in (0.0, 0.5)], axis=-1)


def recipe(steps: int = 400, **values: object) -> Recipe:
    return parse_recipe(
        {
            "name": "eggs", "task": "implicit", "architecture": "implicit", "batch": 4,
            "architecture_arguments": {"subjects": 8, "code": 4, "width": 32, "depth": 2,
                                       "waves": 2},
            "patch": 256, "steps": steps, "labels": ["small", "large"], "learning_rate": 1e-2,
            "warmup_steps": 5, "weight_decay": 0.0, "ema_decay": 0.9, "autocast": False,
            "checkpoint_every": 2,
        } | values
    )  # fmt: skip


@pytest.fixture(scope="module")
def pack() -> PointPack:
    eggs = {
        f"e{k}": slice_points(stack(radius), SPACING, phases=(0.0, 0.5))
        for k, radius in enumerate(np.linspace(20, 34, 8))
    }
    return point_pack(eggs, n=4000, seed=0)


@pytest.fixture(scope="module")
def network(pack, tmp_path_factory) -> ImplicitShape:
    folder = tmp_path_factory.mktemp("eggs")
    how = replace(recipe(), checkpoint_every=1000)
    return fit(how, {"p": pack}, folder, quiet=True).averaged


def agreement(found: np.ndarray, reference: np.ndarray) -> float:
    p, t = found == 2, reference == 2
    return 2 * (p & t).sum() / (p.sum() + t.sum())


@pytest.mark.parametrize("weight_steps", [0, 40])
def test_slices_between_the_known_ones_follow(network, weight_steps):
    """A new egg of which every second slice is known, at a phase that was never shown, too."""
    points = slice_points(stack(25.5), SPACING, phases=(0.0, 0.5), slices=[1, 3, 5])
    shape = fit_shape(network, points, steps=80, weight_steps=weight_steps)
    fine = grid((60, 60, 24), (2.0, 2.0, 3.0)) + [0.0, 0.0, 8.0]
    for phase, least in ((0.0, 0.93), (0.5, 0.93), (0.25, 0.85)):
        assert agreement(shape.labels_at(fine, phase), egg(fine, 25.5, phase)) > least
    assert shape.loss < 0.1


def test_shifts_of_slices_are_estimated(network):
    rng = np.random.default_rng(3)
    shifts = rng.normal(size=(SHAPE[2], 2)) * 4
    places = grid()[..., None, :] - np.pad(shifts, ((0, 0), (0, 1)))[None, None, :, None]
    labels = np.stack([egg(places[..., 0, :], 27.0, phase) for phase in (0.0, 0.5)], -1)
    points = slice_points(labels, SPACING, phases=(0.0, 0.5), slices=[1, 2, 3, 4, 5])
    plain = fit_shape(network, points, steps=80)
    shape = fit_shape(network, points, steps=80, shift_sd_mm=4.0)
    assert shape.loss < plain.loss
    assert set(plain.shifts_mm.values()) == {(0.0, 0.0)}
    found = np.array([shape.shifts_mm[k] for k in (1, 2, 3, 4, 5)])
    true = shifts[1:6] - shifts[1:6].mean(axis=0)
    assert np.sqrt(np.square(found - true).mean()) < 0.5 * np.sqrt(np.square(true).mean())


def test_a_fit_leaves_the_network_and_repeats_to_the_bit(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    points = slice_points(stack(25.0), SPACING, phases=(0.0, 0.5))
    pair = [fit_shape(network, points, steps=5, weight_steps=3, seed=4) for _ in range(2)]
    assert torch.equal(pair[0].code, pair[1].code)
    weights = [one.network.last.weight for one in pair]
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], network.last.weight)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_frames_take_out_where_a_subject_lies_and_how_it_is_turned():
    points = slice_points(stack(25.0), SPACING, phases=(0.0, 0.5))
    turned = points.places_mm @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32) + 7
    moved = replace(points, places_mm=turned.astype(np.float32))
    one, other = (placed(p, frame_of(p)).places_mm for p in (points, moved))
    assert np.allclose(one, other, atol=1e-3)


def test_points_are_those_near_the_known_slices():
    labels = np.zeros((20, 20, 3, 1), np.uint8)
    labels[8:12, 9, 1] = 1
    labels[0, 0, 0] = 1  # In a slice that is not known.
    points = slice_points(labels, (1.0, 2.0, 5.0), phases=[0.25], slices=[1], margin_mm=3)
    assert points.places_mm.min(axis=0).tolist() == [5.0, 14.0, 5.0]
    assert points.places_mm.max(axis=0).tolist() == [14.0, 22.0, 5.0]
    assert points.label.sum() == 4
    assert set(points.slice_index) == {1}
    with pytest.raises(PopscanError, match="no slice has a label"):
        slice_points(labels, (1, 1, 1), phases=[0], slices=[2])
    with pytest.raises(PopscanError, match="a phase a frame"):
        slice_points(labels, (1, 1, 1), phases=[0, 0.5])
    none = replace(points, label=0 * points.label)
    with pytest.raises(PopscanError, match="no point has a label"):
        frame_of(none)


def test_same_recipe_same_bytes_and_an_interrupted_training_ends_alike(pack, tmp_path):
    whole = fit(recipe(4), {"p": pack}, tmp_path / "a", quiet=True).averaged.state_dict()
    fit(recipe(4), {"p": pack}, tmp_path / "b", stop_after=2, quiet=True)
    again = fit(recipe(4), {"p": pack}, tmp_path / "b", quiet=True).averaged.state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    other = replace(pack, label=np.zeros_like(pack.label))
    with pytest.raises(PopscanError, match="training data"):
        fit(recipe(4), {"p": other}, tmp_path / "b", quiet=True)


def test_subjects_are_drawn_by_the_shares_of_their_packs(pack):
    none = replace(pack, label=np.zeros_like(pack.label))
    sampler = PointSampler({"a": pack, "b": none}, {"a": 0.25, "b": 0.75}, at_once=8)
    who, places, phase, label = sampler.draw(2000, torch.Generator().manual_seed(0))
    assert places.shape == (2000, 8, 3)
    assert phase.shape == label.shape == (2000, 8)
    assert (who < 8).float().mean() == pytest.approx(0.25, abs=0.04)
    assert not label[who >= 8].any()
    with pytest.raises(PopscanError, match="packs that are not there"):
        PointSampler({"a": pack}, {"c": 1.0}, at_once=8)
    few = replace(none, **{k: getattr(none, k)[:, :9] for k in ("places_mm", "phase", "label")})
    with pytest.raises(PopscanError, match="equally many"):
        PointSampler({"a": pack, "b": few}, {}, at_once=8)


def test_what_cannot_be_is_refused(pack, tmp_path):
    few = recipe(architecture_arguments={"subjects": 3})
    with pytest.raises(PopscanError, match="3 subjects; the packs that are drawn from have 8"):
        fit(few, {"p": pack}, tmp_path, quiet=True)
    with pytest.raises(PopscanError, match="goes with task implicit alone"):
        recipe(task="segment")
    with pytest.raises(PopscanError, match="task implicit does not go with augmentation"):
        recipe(augmentation={"flip": 0})
    with pytest.raises(PopscanError, match="cannot be built"):
        build_implicit("implicit", 3, subjects=0)
    with pytest.raises(PopscanError, match="cannot be built"):
        build_implicit("implicit", 3, people=2)
    with pytest.raises(PopscanError, match="unknown architecture"):
        build_implicit("explicit", 3, subjects=2)
    with pytest.raises(PopscanError, match="at least one subject"):
        point_pack({}, n=5, seed=0)
    loss = implicit_loss(
        ImplicitShape(3, subjects=2, code=4, width=8, depth=1),
        (torch.tensor([0]), torch.zeros(1, 5, 3), torch.zeros(1, 5), torch.zeros(1, 5).long()),
    )
    assert loss.isfinite()


def test_codes_are_as_many_as_the_subjects_that_are_drawn(pack, tmp_path):
    """A code of nobody stays as it was drawn, and moves the mean from which fits begin."""
    how = {"subjects": 80, "code": 4, "width": 8, "depth": 1}
    with pytest.raises(PopscanError, match="80 subjects; the packs that are drawn from have 8"):
        fit(recipe(2, architecture_arguments=how), {"p": pack}, tmp_path / "a", quiet=True)
    two = {"p": pack, "q": pack}
    one = recipe(2, shares={"p": 1.0, "q": 0.0})
    fit(one, two, tmp_path / "b", quiet=True)
    with pytest.raises(PopscanError, match="8 subjects; the packs that are drawn from have 16"):
        fit(recipe(2), two, tmp_path / "c", quiet=True)


def test_codes_are_in_the_order_of_the_packs(pack):
    none = replace(pack, label=np.zeros_like(pack.label))
    sampler = PointSampler({"a": pack, "b": none}, {"b": 0.5, "a": 0.5}, at_once=8)
    assert not sampler.label[8:].any()
    assert sampler.label[:8].any()
    with pytest.raises(PopscanError, match="no pack has a share"):
        PointSampler({"a": pack}, {"a": 0.0}, at_once=8)


def test_labels_that_a_network_does_not_have_are_refused(network, pack, tmp_path):
    with pytest.raises(PopscanError, match="label 2; the network has labels up to 1"):
        fit(recipe(2, labels=["small"]), {"p": pack}, tmp_path, quiet=True)
    points = slice_points(stack(25.0), SPACING, phases=(0.0, 0.5))
    few = ImplicitShape(2, subjects=2, code=4, width=8, depth=1)
    with pytest.raises(PopscanError, match="label 2; the network has labels up to 1"):
        fit_shape(few, points, steps=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": 100}, "codes from 0 to 255"),
        ({"labels": 300}, "codes from 0 to 255"),
        ({"labels": -1}, "codes from 0 to 255"),
        ({"slices": [-1]}, "numbers from 0 to 7 are expected, each once"),
        ({"slices": [8]}, "numbers from 0 to 7 are expected, each once"),
        ({"slices": [2, 2]}, "numbers from 0 to 7 are expected, each once"),
        ({"slices": []}, "no slice has a label"),
        ({"phases": [0.0, float("nan")]}, "phases: shares of the cycle"),
        ({"spacing_mm": (1, 1)}, "three lengths above 0"),
        ({"spacing_mm": (1, float("nan"), 1)}, "three lengths above 0"),
        ({"spacing_mm": (1, 0, 1)}, "three lengths above 0"),
        ({"margin_mm": float("nan")}, "a length from 0"),
        ({"margin_mm": -1.0}, "a length from 0"),
    ],
)
def test_slices_that_points_cannot_be_made_of_are_refused(changes, words):
    how = {"labels": 1, "spacing_mm": SPACING, "phases": (0.0, 0.5)} | changes
    labels = stack(25.0).astype(int) * (factor := how.pop("labels")) * (2 if factor > 1 else 1)
    with pytest.raises(PopscanError, match=words):
        slice_points(labels, how.pop("spacing_mm"), **how)


def test_fits_and_places_without_finite_numbers_are_refused(network):
    points = slice_points(stack(25.0), SPACING, phases=(0.0, 0.5))
    odd = replace(points, phase=np.full_like(points.phase, np.nan))
    with pytest.raises(PopscanError, match="ends with a loss of nan"):
        fit_shape(network, odd, steps=2)
    with pytest.raises(PopscanError, match="points at once from 1"):
        fit_shape(network, points, steps=2, at_once=0)
    shape = fit_shape(network, points, steps=2)
    assert shape.labels_at(np.zeros((0, 3)), 0.0).shape == (0,)
    for places, phase, words in (
        ([[1.0, np.nan, 0.0]], 0.0, "three finite numbers"),
        ([[1.0, 0.0]], 0.0, "three finite numbers"),
        ([[1.0, 0.0, 0.0]], np.inf, "a share of the cycle"),
    ):
        with pytest.raises(PopscanError, match=words):
            shape.labels_at(np.array(places), phase)


@pytest.mark.parametrize("values", [{"spacing_mm": 3.0}, {"validate_every": 1}])
def test_keys_without_effect_are_refused(values):
    with pytest.raises(PopscanError, match="task implicit does not go with"):
        recipe(**values)


def test_autocast_has_an_effect(pack, tmp_path):
    made = [
        fit(recipe(2, autocast=on), {"p": pack}, tmp_path / str(on), quiet=True).averaged
        for on in (False, True)
    ]
    assert not torch.equal(*(network.last.weight for network in made))


@pytest.mark.parametrize("waves", [13, 200, 2.5, True])
def test_waves_are_bounded(waves):
    with pytest.raises(PopscanError, match="waves end at 12"):
        build_implicit("implicit", 3, subjects=2, waves=waves)


def test_a_training_stops_at_a_loss_that_is_not_finite(pack, tmp_path):
    odd = replace(pack, phase=np.full_like(pack.phase, np.nan))
    with pytest.raises(PopscanError, match="'eggs': the loss of step 1 is nan; the training stops"):
        fit(recipe(4), {"p": odd}, tmp_path, quiet=True)
    assert not (tmp_path / "checkpoint.safetensors").exists()
