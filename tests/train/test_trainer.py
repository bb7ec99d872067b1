"""The trainer: resumable to the bit, deterministic by seed, data and not scripts."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training.evaluate import volume_errors
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment import load_bundle
from popscan.segment.known import hash_identifier
from popscan.segment.networks import n_channels
from popscan.train import recipe_chain, train_bundle
from popscan.train.augment import augment
from popscan.train.augmentation import Augmentation
from popscan.train.checkpoint import learning_rate, new_state
from popscan.train.curves import draw_curve
from popscan.train.evaluate import mean_dice
from popscan.train.loop import CHECKPOINT, CURVE, fit
from popscan.train.losses import LOSSES, boundary, dice_ce, signed_distance, soft_dice
from popscan.train.packs import INTENSITY_SCALE, Case, Pack, build_pack, read_pack, write_pack
from popscan.train.recipe import RECIPES_DIR, Recipe, load_recipe, parse_recipe
from popscan.train.sampler import Sampler, at_the_edge, opposites
from popscan.train.shape_code import ShapeCoder
from popscan.train.split import stratified_split


def _disc(seed: int, *, side: int = 40, n: int = 6) -> Pack:
    """Bright discs in dark rings: something a tiny network can learn in a few steps."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    labels = np.zeros((n, side, side), np.uint8)
    for k in range(n):
        r = np.hypot(x - side / 2 - rng.uniform(-3, 3), y - side / 2 - rng.uniform(-3, 3))
        labels[k][r < 12] = Label.MYO
        labels[k][r < 7] = Label.LV
    image = np.choose(labels, [0.4, 0.0, 0.1, 0.9]) + 0.03 * rng.normal(size=labels.shape)
    return Pack(
        images=(image * INTENSITY_SCALE).astype(np.int16),
        labels=labels,
        unit=np.array([f"s{seed}-{k // 2}" for k in range(n)]),
        frame=np.zeros(n, np.int32),
        slice_index=np.arange(n, dtype=np.int32),
        usable=np.ones(n, dtype=bool),
        spacing_mm=1.5,
        attributes={"group": np.array(["a"] * n)},
    )


def _case(unit: str, seed: int) -> Case:
    pack = _disc(seed, n=4)
    array = pack.images.reshape(2, 2, 40, 40).transpose(2, 3, 1, 0).astype(np.float32)
    labels = pack.labels.reshape(2, 2, 40, 40).transpose(2, 3, 1, 0)
    scan = Scan(
        array=array,
        affine=np.diag([1.5, 1.5, 8.0, 1.0]),
        spacing_mm=(1.5, 1.5, 8.0),
        meta={"frame_labels": ["ED", "ES"]},
    )
    return Case(
        unit=unit,
        scan=scan,
        labels=LabelMap(array=labels, frames=(0, 1)),
        attributes={"group": "ab"[seed % 2]},
    )


@pytest.fixture
def recipe():
    return Recipe(
        name="tiny",
        seed=5,
        architecture_arguments={"channels": [4, 8, 8]},
        patch=32,
        batch=3,
        steps=8,
        warmup_steps=2,
        learning_rate=0.01,
        autocast=False,
        checkpoint_every=3,
        log_every=1,
    )


def _same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_interrupted_training_ends_with_the_same_bits(tmp_path, recipe):
    packs = {"p": _disc(0)}
    whole = fit(recipe, packs, tmp_path / "whole", quiet=True)
    for stop in (1, 4, 5):
        fit(recipe, packs, tmp_path / "parts", quiet=True, stop_after=stop)
    parts = fit(recipe, packs, tmp_path / "parts", quiet=True)
    _same(whole.network.state_dict(), parts.network.state_dict())
    _same(whole.averaged.state_dict(), parts.averaged.state_dict())
    curves = [pd.read_csv(tmp_path / d / CURVE) for d in ("whole", "parts")]
    assert curves[0]["step"].tolist() == list(range(1, 9))
    pd.testing.assert_frame_equal(
        curves[0].drop(columns="seconds"), curves[1].drop(columns="seconds")
    )


def test_steps_after_the_last_checkpoint_are_done_again(tmp_path, recipe):
    """A training that dies between checkpoints loses no row and writes none twice."""
    packs = {"p": _disc(0)}
    fit(recipe, packs, tmp_path, quiet=True, stop_after=4)
    with (tmp_path / CURVE).open("a", encoding="utf-8") as file:
        file.write("5,0.1,0.1,nan,1.0\n6,0.1,0.1,nan,1.0\n")
    fit(recipe, packs, tmp_path, quiet=True)
    curve = pd.read_csv(tmp_path / CURVE)
    assert curve["step"].tolist() == list(range(1, 9))
    assert curve["loss"].iloc[4] != 0.1


def test_seed_decides(tmp_path, recipe):
    packs = {"p": _disc(0)}
    short = replace(recipe, steps=2)
    first, again = (fit(short, packs, tmp_path / d, quiet=True) for d in "ab")
    other = fit(replace(short, seed=6), packs, tmp_path / "c", quiet=True)
    _same(first.network.state_dict(), again.network.state_dict())
    keys = first.network.state_dict().keys()
    assert any(
        not torch.equal(first.network.state_dict()[k], other.network.state_dict()[k]) for k in keys
    )


def test_checkpoint_of_another_recipe_is_refused(tmp_path, recipe):
    fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True, stop_after=1)
    with pytest.raises(PopscanError, match="belongs to another recipe"):
        fit(replace(recipe, learning_rate=0.5), {"p": _disc(0)}, tmp_path, quiet=True)


def test_checkpoint_of_other_data_is_refused(tmp_path, recipe):
    """Else those kept out of training now would be scored by a network that has seen them."""
    pack = _disc(0)
    fit(recipe, {"p": pack}, tmp_path, quiet=True)
    assert fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True).step == recipe.steps
    relabelled = replace(pack, unit=np.array(["x", *pack.unit[1:]]))
    fewer = replace(pack, usable=np.arange(len(pack)) > 0)
    for other in (_disc(1), relabelled, fewer):
        with pytest.raises(PopscanError, match="other training data"):
            fit(recipe, {"p": other}, tmp_path, quiet=True)


def test_checkpoint_of_other_first_weights_is_refused(tmp_path, recipe):
    packs = {"p": _disc(0)}
    init = fit(recipe, packs, tmp_path / "a", quiet=True, stop_after=1).averaged.state_dict()
    first = fit(recipe, packs, tmp_path / "b", quiet=True, stop_after=2, init=init)
    assert fit(recipe, packs, tmp_path / "b", quiet=True, init=init).step == recipe.steps
    with pytest.raises(PopscanError, match="other weights"):
        fit(recipe, packs, tmp_path / "b", quiet=True, init=first.averaged.state_dict())


def test_checkpoints_of_before_data_were_told_are_still_read(tmp_path, recipe):
    fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True, stop_after=2)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in list(file.keys())}
        about = {key: file.metadata()[key] for key in ("step", "recipe")}
    save_file(tensors, tmp_path / CHECKPOINT, metadata=about)
    assert fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True).step == recipe.steps


def test_torn_checkpoint_is_a_clear_message(tmp_path, recipe):
    fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True, stop_after=1)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PopscanError, match="not a readable checkpoint"):
        fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True)


def test_training_learns(tmp_path, recipe):
    longer = replace(recipe, steps=60, augmentation=Augmentation(scale=(0.9, 1.1), shift_px=2.0))
    fit(longer, {"p": _disc(0)}, tmp_path, quiet=True)
    loss = pd.read_csv(tmp_path / CURVE)["loss"]
    assert loss.tail(5).mean() < 0.7 * loss.head(5).mean()


def test_learning_rate_rises_falls_and_ends_at_its_fraction(recipe):
    rates = [learning_rate(replace(recipe, steps=100, final_fraction=0.4), k) for k in range(101)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 2)
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert rates[-1] == pytest.approx(0.4 * recipe.learning_rate)
    assert all(a >= b for a, b in pairwise(rates[2:]))


def test_sampler_keeps_the_shares():
    sampler = Sampler({"a": _disc(0, n=2), "b": _disc(1, n=40)}, {"a": 0.75, "b": 0.25})
    assert sampler.weights[:2].sum().item() == pytest.approx(0.75)
    assert sampler.weights[2:].sum().item() == pytest.approx(0.25)
    with pytest.raises(PopscanError, match="packs that are not there"):
        Sampler({"a": _disc(0)}, {"b": 1.0})


def _tall(labelled: list[list[int]]) -> Pack:
    """One stack per list; slices are constant images of their own number, 1 means labelled."""
    numbers = np.arange(sum(len(stack) for stack in labelled))
    flags = np.concatenate(labelled)
    ones = np.ones((1, 4, 4))
    return Pack(
        images=(numbers[:, None, None] * ones * INTENSITY_SCALE / 8).astype(np.int16),
        labels=(flags[:, None, None] * ones * int(Label.LV)).astype(np.uint8),
        unit=np.concatenate([[f"u{k}"] * len(stack) for k, stack in enumerate(labelled)]),
        frame=np.zeros(len(numbers), np.int32),
        slice_index=numbers.astype(np.int32),
        usable=np.ones(len(numbers), dtype=bool),
        spacing_mm=1.5,
    )


def test_slices_come_with_the_neighbours_of_their_own_stack():
    pack = _tall([[0, 1, 1, 0], [1, 1]])
    sampler = Sampler({"p": pack}, {}, context=1)
    images, _ = sampler.draw(200, torch.Generator().manual_seed(1))
    seen = {tuple(int(v * 8) for v in row) for row in images[:, :, 0, 0]}
    assert seen == {(0, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 3), (4, 4, 5), (4, 5, 5)}


def test_slices_at_the_edge_of_the_heart_are_drawn_more_often():
    pack = _tall([[0, 0, 1, 1, 1, 1, 0, 0], [0, 0]])
    assert at_the_edge(pack).tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    weights = Sampler({"p": pack}, {"p": 1.0}, edge_weight=3.0).weights
    assert (weights[1] / weights[0]).item() == pytest.approx(3.0)
    assert weights.sum().item() == pytest.approx(1.0)


def test_unusable_slices_are_only_neighbours():
    pack = replace(_tall([[1, 1, 1]]), usable=np.array([True, False, True]))
    images, _ = Sampler({"p": pack}, {}, context=1).draw(50, torch.Generator().manual_seed(2))
    assert {int(v * 8) for v in images[:, 1, 0, 0]} == {0, 2}
    assert {int(v * 8) for v in images[:, 2, 0, 0]} == {1, 2}


def test_slices_come_with_the_opposite_phase_of_their_own_visit():
    pack = _tall([[1, 1], [1, 1], [1, 1, 1], [1]])
    visits, frames = [0, 0, 0, 0, 1, 1, 1, 2], [0, 0, 9, 9, 4, 4, 4, 0]
    pack = replace(
        pack,
        unit=np.array([f"u{v}" for v in visits]),
        frame=np.array(frames, np.int32),
        slice_index=np.array([0, 1, 0, 1, 0, 1, 2, 0], np.int32),
    )
    assert opposites(pack).tolist() == [2, 3, 0, 1, 4, 5, 6, 7]
    sampler = Sampler({"p": pack}, {}, phases=2)
    images, _ = sampler.draw(200, torch.Generator().manual_seed(1))
    seen = {tuple(int(v * 8) for v in row) for row in images[:, :, 0, 0]}
    assert seen == {(0, 2), (1, 3), (2, 0), (3, 1), *((k, k) for k in range(4, 8))}
    with_neighbours = Sampler({"p": pack}, {}, phases=2, context=1).take(torch.tensor([2]))[0]
    assert (with_neighbours[0, :, 0, 0] * 8).int().tolist() == [2, 2, 3, 0, 0, 1]


def test_frames_with_other_slices_are_no_opposite_phase():
    pack = _tall([[1, 1], [1]])
    pack = replace(pack, unit=np.array(["u"] * 3), frame=np.array([0, 0, 5], np.int32))
    assert opposites(pack).tolist() == [0, 1, 2]


def test_augmentation_treats_both_phases_alike_or_drops_the_other(rng):
    own, other = torch.rand(64, 3, 40, 40), torch.rand(64, 3, 40, 40)
    labels = torch.randint(0, 4, (64, 40, 40))
    seed = int(rng.integers(2**31))

    def once(images, **changes):
        how = _nothing(turn_any=1.0, flip=0.5, context_flip=0.5, context_shift_px=2.0, **changes)
        generator = torch.Generator().manual_seed(seed)
        return augment(images, labels, how=how, patch=30, generator=generator)[0]

    same = once(torch.cat([own, own], dim=1))
    assert torch.equal(same[:, :3], same[:, 3:])
    kept, dropped = (once(torch.cat([own, other], dim=1), phase_drop=p) for p in (0.0, 1.0))
    assert torch.equal(dropped, same)
    # Grey values are scaled over all that is seen, and back: equal but for rounding.
    torch.testing.assert_close(kept[:, :3], same[:, :3], atol=1e-4, rtol=1e-4)
    assert not torch.isclose(kept[:, 3:], same[:, 3:]).all(dim=(1, 2, 3)).any()


def test_a_network_with_more_context_starts_as_the_one_it_came_from(tmp_path, recipe):
    state = fit(recipe, {"p": _disc(0)}, tmp_path, quiet=True, stop_after=1)
    x = torch.randn(2, 6, 16, 16, generator=torch.Generator().manual_seed(3))
    for more in ({"context": 1}, {"phases": 2}, {"context": 1, "phases": 2}):
        arguments = recipe.architecture_arguments | more
        wide = new_state(
            replace(recipe, architecture_arguments=arguments),
            n_labels=len(Label),
            init=state.averaged.state_dict(),
        )
        seen = x[:, : n_channels(arguments)]
        own = seen[:, more.get("context", 0)][:, None]
        with torch.no_grad():
            torch.testing.assert_close(wide.averaged(seen), state.averaged(own))


def test_no_steps_at_all_pass_the_weights_on(tmp_path, recipe):
    packs = {"p": _disc(0)}
    seen_twice = recipe.architecture_arguments | {"phases": 2}
    first = replace(recipe, name="first", steps=2, architecture_arguments=seen_twice)
    init = fit(first, packs, tmp_path / "first", quiet=True).averaged.state_dict()
    last = replace(recipe, name="last", steps=0)
    for _ in range(2):  # Again from its checkpoint.
        state = fit(last, packs, tmp_path / "last", init=init, quiet=True)
        assert draw_curve(tmp_path / "last").stat().st_size > 0
        x = torch.randn(2, 1, 16, 16)
        both = fit(first, packs, tmp_path / "first", quiet=True).averaged
        with torch.no_grad():
            torch.testing.assert_close(
                state.averaged(x), both(torch.cat([x, x], dim=1)), atol=1e-4, rtol=1e-4
            )


def test_a_network_without_the_opposite_phase_takes_it_for_its_own(recipe):
    def start(init=None, **more):
        how = replace(recipe, architecture_arguments=recipe.architecture_arguments | more)
        return new_state(how, n_labels=len(Label), init=init).averaged

    both = start(context=1, phases=2)
    x = torch.randn(2, 5, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for context in (1, 2):
            one = start(both.state_dict(), context=context)
            near = x[:, 2 - context : 3 + context]
            pair = torch.cat([x[:, 1:4]] * 2, dim=1)
            torch.testing.assert_close(one(near), both(pair), atol=1e-4, rtol=1e-4)
    with pytest.raises(PopscanError, match="sees more neighbours"):
        start(both.state_dict())


def test_augmentation_is_a_function_of_its_generator(rng):
    pack = _disc(3)
    images = torch.from_numpy(pack.images)[:, None].float() / INTENSITY_SCALE
    labels = torch.from_numpy(pack.labels)
    how = Augmentation(
        elastic=1, gamma=1, contrast=1, bias=1, noise=1, blur=1, low_resolution=1, ghost=1,
        invert=0.5, random_convolution=1,
    )  # fmt: skip
    seed = int(rng.integers(2**31))

    def once(seed):
        generator = torch.Generator().manual_seed(seed)
        return augment(images, labels, how=how, patch=28, generator=generator)

    (x, y), (x2, y2), (x3, _) = once(seed), once(seed), once(seed + 1)
    assert torch.equal(x, x2)
    assert torch.equal(y, y2)
    assert not torch.equal(x, x3)
    assert x.shape == (6, 1, 28, 28)
    assert y.shape == (6, 28, 28)
    assert bool(x.isfinite().all())
    assert set(y.unique().tolist()) <= {0, 1, 2, 3}


def _nothing(**changes):
    numbers = [f.name for f in fields(Augmentation) if isinstance(f.default, float)]
    ranges = {"elastic_px", "bias_log", "noise_sd"}
    off = {name: 0.0 for name in numbers if name not in ranges}
    return Augmentation(**{**off, "scale": (1.0, 1.0), **changes})


def test_augmentation_switched_off_only_cuts_out():
    images = torch.rand(2, 1, 40, 40)
    labels = torch.randint(0, 4, (2, 40, 40))
    generator = torch.Generator().manual_seed(0)
    x, y = augment(images, labels, how=_nothing(), patch=20, generator=generator)
    torch.testing.assert_close(x, images[..., 10:30, 10:30], atol=1e-4, rtol=1e-4)
    assert torch.equal(y, labels[..., 10:30, 10:30])


def test_zoom_scales_areas_by_its_square():
    pack = _disc(1)
    labels = torch.from_numpy(pack.labels)
    images = labels[:, None].float()
    generator = torch.Generator().manual_seed(0)
    _, y = augment(images, labels, how=_nothing(scale=(1.25, 1.25)), patch=40, generator=generator)
    ratio = (y == Label.LV).sum() / (labels == Label.LV).sum()
    assert ratio.item() == pytest.approx(1.25**2, rel=0.05)


def test_geometry_moves_image_and_labels_together():
    pack = _disc(2)
    labels = torch.from_numpy(pack.labels)
    generator = torch.Generator().manual_seed(4)
    how = _nothing(turn_any=1.0, flip=0.5, scale=(0.8, 1.2), shear=0.1, elastic=1.0, elastic_px=2)
    x, y = augment(labels[:, None].float(), labels, how=how, patch=40, generator=generator)
    assert ((x[:, 0] - y).abs() > 1.01).float().mean() < 0.01


def test_soft_dice_of_certainty():
    labels = torch.randint(0, 4, (2, 8, 8))
    right = 50.0 * torch.nn.functional.one_hot(labels, 4).movedim(-1, 1)
    assert soft_dice(right, labels).item() == pytest.approx(0, abs=1e-4)
    assert soft_dice(right.roll(1, dims=1), labels).item() > 0.9
    assert dice_ce(right, labels).item() == pytest.approx(0, abs=1e-4)


def test_packs_survive_their_file(tmp_path):
    pack = build_pack([_case("p1", 0), _case("p2", 1)], size=48)
    write_pack(tmp_path / "a.npz", pack)
    again = read_pack(tmp_path / "a.npz")
    for name in ("images", "labels", "unit", "frame", "slice_index"):
        np.testing.assert_array_equal(getattr(pack, name), getattr(again, name))
    assert again.units == ["p1", "p2"]
    assert again.attributes["group"].tolist() == ["a"] * 4 + ["b"] * 4
    assert len(again) == 8
    assert again.images.shape == (8, 48, 48)
    # Whole slices are 40 pixels wide: nothing of the heart is lost by the square.
    assert (again.labels > 0).sum() == sum((c.labels.array > 0).sum() for c in
                                           (_case("p1", 0), _case("p2", 1)))  # fmt: skip


def test_packs_never_unpickle(tmp_path):
    np.savez(tmp_path / "evil.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(PopscanError, match="not a readable pack"):
        read_pack(tmp_path / "evil.npz")
    with pytest.raises(PopscanError, match="not a readable pack"):
        read_pack(tmp_path / "absent.npz")
    with pytest.raises(PopscanError, match="at least one labelled scan"):
        build_pack([])


def test_split_is_stratified_and_fixed_by_its_seed():
    strata = {f"p{k:02d}": "abcde"[k % 5] for k in range(70)}
    train, validation = stratified_split(strata, n_validation=14, seed=1)
    assert len(train) == 56
    assert len(validation) == 14
    assert not set(train) & set(validation)
    counts = [sum(strata[u] == s for u in validation) for s in "abcde"]
    assert sorted(counts) == [2, 3, 3, 3, 3]
    assert stratified_split(strata, n_validation=14, seed=1)[1] == validation
    with pytest.raises(PopscanError, match="cannot keep 70 of 70"):
        stratified_split(strata, n_validation=70, seed=1)


def test_shipped_recipes_are_valid():
    names = sorted(p.stem for p in RECIPES_DIR.glob("*.yaml"))
    assert names
    for name in names:
        assert load_recipe(name).name == name
        assert recipe_chain(name)[-1].name == name


def test_recipes_with_mistakes():
    with pytest.raises(PopscanError, match="unknown keys stepz"):
        parse_recipe({"name": "x", "stepz": 3})
    with pytest.raises(PopscanError, match="augmentation: unknown keys rotate"):
        parse_recipe({"name": "x", "augmentation": {"rotate": 1}})
    with pytest.raises(PopscanError, match="unknown loss 'hinge'; known are dice_ce"):
        parse_recipe({"name": "x", "loss": "hinge"})
    with pytest.raises(PopscanError, match="needs a name"):
        parse_recipe({})
    with pytest.raises(PopscanError, match=r"no recipe 'nope'; shipped are .*cine_sax_1"):
        load_recipe("nope")


def test_mean_dice_and_volume_errors_by_hand():
    rows = [
        {"unit": "p", "structure": s, "phase": p, "dice": d, "volume_ml": v,
         "reference_volume_ml": r}
        for s, p, d, v, r in [
            ("lv", "ED", 0.9, 110.0, 100.0), ("lv", "ES", 0.8, 55.0, 40.0),
            ("rv", "ED", 0.7, 120.0, 120.0), ("rv", "ES", 0.6, 60.0, 60.0),
            ("myo", "ED", 0.5, 100.0, 90.0), ("myo", "ES", 0.4, 90.0, 90.0),
        ]
    ]  # fmt: skip
    scores = pd.DataFrame(rows)
    assert mean_dice(scores) == pytest.approx(0.65)
    errors = volume_errors(scores).iloc[0]
    assert errors["lvedv_ml"] == pytest.approx(10)
    assert errors["lvef_pct"] == pytest.approx(50 - 60)
    assert errors["lvm_g"] == pytest.approx(10.5)
    assert errors["rvef_pct"] == 0
    assert np.isnan(mean_dice(scores.iloc[:0]))


def test_shares_can_ask_for_painted_effusions(tmp_path, recipe):
    options = {"cases": {"discs": [_case("t0", 0)]}, "validation": [_case("v0", 7)]}
    options |= {"work": tmp_path / "work", "name": "discs", "quiet": True}
    mixed = replace(recipe, steps=2, shares={"discs": 0.5, "discs+effusion": 0.5})
    bundle = load_bundle(train_bundle(mixed, out=tmp_path / "bundle", **options), "cpu")
    packs = [(data["pack"], data["subjects"]) for data in bundle.about["training"]["data"]]
    assert packs == [("discs", 1), ("discs+effusion", 1)]
    assert bundle.about["training"]["cohort"] == {"group": {"a": 1}}
    odd = replace(mixed, name="odd", shares={"rings+effusion": 1.0})
    with pytest.raises(PopscanError, match=r"not there: \['rings\+effusion'\]"):
        train_bundle(odd, out=tmp_path / "other", **options)


def test_train_bundle_from_cases_to_segmentation(tmp_path, recipe):
    training = [_case(f"t{k}", k) for k in range(3)]
    out = train_bundle(
        replace(recipe, steps=4),
        cases={"discs": training},
        validation=[_case("v0", 7), _case("v1", 8)],
        work=tmp_path / "work",
        out=tmp_path / "bundle",
        name="discs",
        notes={"discs": "Made here."},
        summary="Discs.",
        limits=["Only discs."],
        quiet=True,
    )
    bundle = load_bundle(out, "cpu")
    assert bundle.was_trained_on("t0")
    assert not bundle.was_trained_on("v0")
    validation = bundle.about["validation"]
    assert validation["n_subjects"] == 2
    salt = bundle.about["trained_on"]["salt"]
    assert validation["sha256"] == sorted(hash_identifier(u, salt=salt) for u in ("v0", "v1"))
    assert bundle.about["training"]["cohort"] == {"group": {"a": 2, "b": 1}}
    assert bundle.input_range["slice_distance_mm"] == [8.0, 8.0]
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "Only discs." in card
    assert "2 subjects that took no part in training." in card
    # Nobody's identifier is in clear: the data may be anyone's.
    for text in (card, (out / "model.yaml").read_text(encoding="utf-8")):
        assert not re.search(r"\b[tv][0-2]\b", text)
    assert "**discs**: 3 subjects, 12 slices. Made here." in card
    assert (tmp_path / "work" / "tiny" / "curve.png").stat().st_size > 1000
    case = training[0]
    assert segment(case.scan, bundle=bundle).labels.shape == case.scan.array.shape


def test_validation_subjects_of_public_data_may_be_named(tmp_path, recipe):
    out = train_bundle(
        replace(recipe, steps=1),
        cases={"discs": [_case("t0", 0)]},
        validation=[_case("v0_ses-1", 7), _case("v0_ses-2", 8), _case("v1", 9)],
        work=tmp_path / "work",
        out=tmp_path / "bundle",
        name="discs",
        quiet=True,
        name_validation=True,
    )
    assert load_bundle(out, "cpu").about["validation"]["subjects"] == ["v0", "v1"]
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "2 subjects that took no part in training:\nv0, v1.\n" in card


def test_nobody_is_in_training_and_validation(tmp_path, recipe):
    case = _case("p", 0)
    with pytest.raises(PopscanError, match="in training and in validation: p"):
        train_bundle(
            recipe, cases={"a": [case]}, validation=[case], work=tmp_path, out=tmp_path, name="x"
        )


def test_data_at_another_spacing_than_the_recipe_is_refused(tmp_path, recipe):
    with pytest.raises(PopscanError, match=r"'p' is at 1.5 mm, recipe 'tiny' is for 0.8 mm"):
        fit(replace(recipe, spacing_mm=0.8), {"p": _disc(0)}, tmp_path, quiet=True)


def test_members_share_one_spacing_and_the_largest_patch(tmp_path, recipe):
    short = replace(recipe, steps=1)
    options = {
        "cases": {"a": [_case("t", 0)]},
        "validation": [_case("v", 1)],
        "work": tmp_path / "work",
        "out": tmp_path / "bundle",
        "name": "x",
        "quiet": True,
    }
    with pytest.raises(PopscanError, match=r"tiny 1.5 mm, other 3.0 mm"):
        train_bundle([short, replace(short, name="other", spacing_mm=3.0)], **options)
    assert not (tmp_path / "work").exists()
    out = train_bundle([short, replace(short, name="other", patch=64)], **options)
    assert load_bundle(out, "cpu").patch == 64


def test_signed_distance_of_a_half_plane():
    labels = torch.zeros(1, 6, 6, dtype=torch.int64)
    labels[:, 3:] = int(Label.LV)
    distance = signed_distance(labels, len(Label))
    assert distance[0, int(Label.LV), :, 0].tolist() == [3, 2, 1, -1, -2, -3]
    assert distance[0, int(Label.BACKGROUND), :, 0].tolist() == [-3, -2, -1, 1, 2, 3]
    assert not distance[0, int(Label.RV)].any()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_fall_towards_the_truth_and_have_gradients(name, tmp_path):
    arguments = {}
    if name == "topology":
        pytest.importorskip("gudhi", reason="pip install 'popscan[topology]'")
    if name == "shape_code":
        arguments["encoder"] = str(tmp_path / "coder.safetensors")
        save_file(ShapeCoder(n_labels=len(Label)).state_dict(), arguments["encoder"])
    labels = torch.from_numpy(_disc(5, n=2).labels).long()
    truth = torch.nn.functional.one_hot(labels, len(Label)).movedim(-1, 1).float()
    logits = torch.zeros_like(truth, requires_grad=True)
    losses = [LOSSES[name](logits + k * truth, labels, **arguments) for k in (0.0, 2.0, 6.0)]
    assert losses[0] > losses[1] > losses[2]
    losses[0].backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_far_errors_cost_more_in_the_boundary_loss():
    labels = torch.zeros(1, 20, 20, dtype=torch.int64)
    labels[:, :5] = int(Label.LV)
    near, far = (torch.zeros(1, len(Label), 20, 20) for _ in range(2))
    near[:, int(Label.LV), 6] = far[:, int(Label.LV), 18] = 8.0
    assert boundary(far, labels) > boundary(near, labels)
    assert dice_ce(far, labels).item() == pytest.approx(dice_ce(near, labels).item())
