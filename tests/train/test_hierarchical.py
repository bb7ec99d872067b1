"""Networks that draw segmentations: latent variables, their divergence, and draws of a bundle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from popscan.records import PopscanError
from popscan.segment.bundle import Bundle, load_bundle, save_bundle
from popscan.segment.draws import dropout_draws, latent_draws, mirrored_draws, pairwise_dice
from popscan.segment.hierarchical import divergence
from popscan.segment.networks import ARCHITECTURES, bottleneck, build_network
from popscan.train.checkpoint import new_state
from popscan.train.loop import CHECKPOINT, fit
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.recipe import parse_recipe
from popscan.train.step import drawn_loss

ARGUMENTS = {"channels": [8, 8, 12], "latents": 2, "latent_levels": 2}
LABELS = {"one": 1, "two": 2}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("hierarchical", 3, **ARGUMENTS).eval()


def bundle_of(network, arguments=ARGUMENTS) -> Bundle:
    return Bundle(
        name="tiny", networks=(network,), arguments=(arguments,), spacing_mm=1.5, patch=32,
        normalisation={}, input_range={}, digest="", device=torch.device("cpu"), labels=LABELS,
    )  # fmt: skip


def recipe_of(**more):
    return parse_recipe(
        {
            "name": "tiny", "seed": 3, "task": "probabilistic", "architecture": "hierarchical",
            "architecture_arguments": ARGUMENTS, "labels": list(LABELS), "patch": 32, "batch": 4,
            "steps": 40, "learning_rate": 5e-3, "warmup_steps": 2, "autocast": False,
            "ema_decay": 0.9, "checkpoint_every": 15, "log_every": 40,
            "augmentation": {"scale": [1, 1], "elastic": 0, "shift_px": 2, "turn_any": 0},
            **more,
        },
        where="recipe",
    )  # fmt: skip


def doubtful_pack(n: int = 24, side: int = 40) -> Pack:
    """Discs whose border an observer draws 3 pixels within or beyond the edge, by chance."""
    x, y = np.meshgrid(*[np.arange(side) - side / 2] * 2, indexing="ij")
    radius, rng = np.hypot(x, y), np.random.default_rng(0)
    drawn = rng.choice([8.0, 14.0], n)
    images = np.repeat((0.1 + 0.8 * (radius < 11))[None], n, axis=0)
    labels = np.stack([np.where(radius < 4, 2, radius < r) for r in drawn])
    return Pack(
        images=((images + 0.02 * rng.normal(size=images.shape)) * INTENSITY_SCALE).astype(np.int16),
        labels=labels.astype(np.uint8), unit=np.array([f"s{i}" for i in range(n)]),
        frame=np.zeros(n, np.int32), slice_index=np.zeros(n, np.int32), usable=np.ones(n, bool),
        spacing_mm=1.5,
    )  # fmt: skip


def test_divergence_is_that_of_torch():
    torch.manual_seed(1)
    one, other = ((torch.randn(3, 2, 4, 4), torch.rand(3, 2, 4, 4) + 0.1) for _ in range(2))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(*one), torch.distributions.Normal(*other)
    )
    assert torch.allclose(divergence(one, other), expected.flatten(1).sum(dim=1), rtol=1e-4)
    assert torch.allclose(divergence(one, one), torch.zeros(3), atol=1e-4)


def test_shapes_draws_and_seeds(network):
    images = torch.randn(2, 1, 16, 24)
    assert network(images).shape == (2, 3, 16, 24)
    one, same, other = (
        network.sample(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    logits, mean, apart = network.explained(
        images, torch.randint(0, 3, (2, 16, 24)), torch.Generator().manual_seed(0)
    )
    assert logits.shape == mean.shape == (2, 3, 16, 24)
    assert apart.shape == (2,)
    assert (apart > 0).all()
    assert bottleneck(network) is network.bottleneck


def test_levels_without_variables_and_senseless_ones():
    all_levels = build_network("hierarchical", 3, channels=[8, 8], latent_levels=2)
    assert all_levels(torch.zeros(1, 1, 8, 8)).shape == (1, 3, 8, 8)
    with pytest.raises(PopscanError, match="latent_levels: 1 to 2"):
        build_network("hierarchical", 3, channels=[8, 8], latent_levels=3)
    with pytest.raises(PopscanError, match="hierarchical"):
        build_network("nothing", 3, channels=[8, 8])


def test_a_bundle_of_it_is_read_back(network, tmp_path):
    about = {
        "name": "tiny", "labels": LABELS, "spacing_mm": 1.5, "patch": 32,
        "members": [{"architecture": "hierarchical", "arguments": ARGUMENTS}],
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0}, "input_range": {},
        "trained_on": {"salt": "", "sha256": []}, "training": {}, "validation": {},
    }  # fmt: skip
    save_bundle(tmp_path, about=about, weights=[network.state_dict()], card="c", half=False)
    again = load_bundle(tmp_path, "cpu").networks[0]
    images = torch.randn(1, 1, 16, 16)
    assert torch.equal(again(images), network(images))


def test_draws_of_a_bundle_are_probabilities_and_the_same_again(network):
    images = torch.randn(2, 1, 16, 16)
    bundle = bundle_of(network)
    for draws in (latent_draws(bundle, 3), dropout_draws(bundle, 3), mirrored_draws(bundle)):
        named = [(name, draw(images)) for name, draw in draws]
        assert len({name for name, _ in named}) == len(named) >= 3
        assert all(torch.allclose(p.sum(dim=1), torch.ones(2, 16, 16)) for _, p in named)
        assert not torch.allclose(named[0][1], named[1][1])
    first, again = (next(iter(latent_draws(bundle, 1)))[1](images) for _ in range(2))
    assert torch.equal(first, again)


def test_a_network_that_draws_nothing_is_refused():
    plain = build_network("basic_unet", 3, channels=[8, 8, 8, 8, 8])
    with pytest.raises(PopscanError, match="draws no segmentations"):
        list(latent_draws(bundle_of(plain), 2))


def test_dice_of_pairs():
    samples = np.zeros((3, 4, 4), np.uint8)
    samples[0, :2], samples[1, :2], samples[2, :1] = 1, 1, 1
    found = pairwise_dice(samples, {1: "a", 2: "b"})
    assert found["a"] == pytest.approx((1 + 2 * 8 / 12) / 3)
    assert math.isnan(found["b"])
    samples[0, 3, 3] = 2  # one of three has it: two pairs of no overlap, one of neither
    assert pairwise_dice(samples, {2: "b"})["b"] == 0.0
    assert math.isnan(pairwise_dice(samples[:1], {1: "a"})["a"])


def test_it_is_trained_by_the_one_trainer_and_goes_on_where_it_was(tmp_path):
    packs = {"p": doubtful_pack()}
    recipe = recipe_of()
    whole = fit(recipe, packs, tmp_path / "a", quiet=True)
    fit(recipe, packs, tmp_path / "b", stop_after=17, quiet=True)
    assert (tmp_path / "b" / CHECKPOINT).is_file()
    parts = fit(recipe, packs, tmp_path / "b", quiet=True)
    for one, other in zip(
        whole.averaged.state_dict().values(), parts.averaged.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_the_loss_is_the_sum_of_its_weighted_parts():
    """Of one draw: loss, means' loss and divergence, each as often as its weight says."""
    images, labels = torch.randn(2, 1, 32, 32), torch.randint(0, 3, (2, 32, 32))

    def loss_of(**weights) -> float:
        recipe = recipe_of(**weights)
        state = new_state(recipe, n_labels=3)
        return float(drawn_loss(state, recipe, images=images, labels=labels).detach())

    bare, means, apart, both = (
        loss_of(latent_weight=k, mean_weight=m) for k, m in ((0, 0), (0, 1), (1, 0), (3, 0.5))
    )
    assert means > bare + 0.5
    assert apart > bare
    assert both == pytest.approx(bare + 0.5 * (means - bare) + 3 * (apart - bare), rel=1e-4)


def test_draws_differ_as_observers_do(tmp_path):
    """Trained on discs of two sizes for one image, the draws have more than one size."""
    state = fit(recipe_of(steps=240), {"p": doubtful_pack()}, tmp_path, quiet=True)
    image = torch.from_numpy(doubtful_pack(1).images[:, 4:36, 4:36].astype(np.float32))[None]
    network = state.network.eval()
    sizes = []
    with torch.no_grad():
        for seed in range(24):
            generator = torch.Generator().manual_seed(seed)
            found = network.sample(image / INTENSITY_SCALE, generator).argmax(dim=1)
            sizes.append(int((found > 0).sum()))
    small, large = (math.pi * r**2 for r in (8.0, 14.0))
    assert max(sizes) - min(sizes) > 0.2 * (large - small)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "segment"}, "goes with task probabilistic alone"),
        ({"architecture": "dynunet"}, "goes with task probabilistic alone"),
        ({"latent_weight": -1}, "latent_weight"),
        ({"adversarial": 0.1}, "does not go with adversarial"),
        ({"loss": "nothing"}, "unknown loss"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, message):
    with pytest.raises(PopscanError, match=message):
        recipe_of(**change)


def test_the_weight_of_the_divergence_is_of_this_task_alone():
    for plain in ({"name": "a", "latent_weight": 0.5}, {"name": "a", "mean_weight": 1.0}):
        with pytest.raises(PopscanError, match="latent_weight and mean_weight go with task"):
            parse_recipe(plain)
    assert "latent_weight" not in parse_recipe({"name": "a"}).as_dict()
    assert "hierarchical" not in ARCHITECTURES  # what is segmented by ensembles draws nothing
