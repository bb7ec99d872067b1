"""Trainings that are given whole series of simulated k-space."""

import numpy as np
import pytest
import torch
import yaml

from popscan.protocols.cine_sax.training.recon import around, export_recon, faded, whole_cycle
from popscan.recon.architectures import SERIES, build_reconstruction
from popscan.recon.learned import ARCHITECTURES, facts_of
from popscan.records import LabelMap, PopscanError, Scan
from popscan.train.loop import fit
from popscan.train.packs import Case
from popscan.train.recipe import Recipe, load_recipe
from popscan.train.series import SeriesSampler, moving_strip, series_loss
from popscan.train.sweeps import N_PHASES, SweepPack, interpolated
from popscan.train.undersampling import Undersampling

HOW = Undersampling(
    single_frame=0.0, single_coil=0.5, coils=(3, 4), cycle=(5, 7), accelerations=(3.0, 4.0),
    centre_lines=(4, 6),
)  # fmt: skip
ARGUMENTS = {
    "varnet": {"channels": [8], "layers": 2, "fold": 2},
    "kt_net": {"channels": 8, "layers": 2, "fold": 2, "n_iterations": 3},
    "dautomap": {"channels": 8, "layers": 2, "fold": 2, "sides": [48, 48]},
}


def disc(radius, shape=(40, 36)):
    x, y = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    return (0.3 + 0.7 * (np.hypot(x, y) < radius)).astype(np.float32)


@pytest.fixture(scope="module")
def packs():
    sweeps = [interpolated(disc(r), disc(r - 4)).astype(np.float16) for r in (10, 13)]
    return {"discs": SweepPack(slices=sweeps, unit=["a", "b"])}


def sampler_of(packs, architecture="varnet"):
    if architecture == "dautomap":
        return SeriesSampler(
            packs, {}, how=Undersampling(single_frame=1.0, single_coil=1.0), width=48
        )
    return SeriesSampler(packs, {}, how=HOW, width=16)


def recipe_of(architecture):
    return Recipe(
        name="tiny", seed=1, task="undersampled", architecture=architecture,
        architecture_arguments=ARGUMENTS[architecture], patch=16, batch=1, steps=6,
        learning_rate=5e-3, warmup_steps=2, checkpoint_every=3, log_every=3, autocast=False,
        ema_decay=0.9, undersampling=Undersampling(
            single_frame=float(architecture == "dautomap"),
            single_coil=float(architecture == "dautomap"), coils=(3, 3), cycle=(5, 5),
        ),
    )  # fmt: skip


def test_a_series_is_a_whole_cycle_of_strips(packs):
    generator = torch.Generator().manual_seed(4)
    coils = set()
    for _ in range(8):
        series = sampler_of(packs).draw_series(2, generator)
        n, t, c, x, y = series.data.shape
        coils.add(c)
        assert (n, x) == (2, 16)
        assert y in (36, 40)
        assert HOW.cycle[0] <= t <= HOW.cycle[1]
        assert series.mask.shape == (2, t, 1, y)
        assert not (series.data.abs() * (1 - series.mask[:, :, None])).any()
        # What was acquired is what the encoding gives of the target, but for noise.
        apart = series.encoding.apply(series.target) - series.data
        assert float(apart.abs().mean()) < 0.1
        squares = series.encoding.maps.abs().square().sum(dim=2)
        torch.testing.assert_close(squares, torch.ones_like(squares), rtol=1e-4, atol=1e-4)
    assert 1 in coils
    assert len(coils) > 1


def test_equal_seeds_draw_equal_series(packs):
    one, two = (
        sampler_of(packs).draw_series(1, torch.Generator().manual_seed(9)) for _ in range(2)
    )
    assert torch.equal(one.data, two.data)
    assert torch.equal(one.target, two.target)


def test_strips_are_drawn_where_the_heart_moves():
    images = np.zeros((N_PHASES, 40, 30), np.float32)
    images[-1, 25:29, 10:20] = 1
    rng = np.random.default_rng(0)
    first = [moving_strip(images, 8, rng) for _ in range(50)]
    assert min(first) >= 18
    assert max(first) <= 28
    still = [moving_strip(images * 0, 8, rng) for _ in range(50)]
    assert min(still) < 8 < 20 < max(still)


def test_the_loss_of_the_truth_is_none_and_motion_counts(packs):
    series = sampler_of(packs).draw_series(1, torch.Generator().manual_seed(2))

    def loss(images, weight=0.25):
        how = Undersampling(motion_weight=weight)
        return float(series_loss(lambda *_: images, series, how=how, autocast=False))

    assert loss(series.target) == pytest.approx(0, abs=2e-3)
    frozen = series.target.mean(dim=1, keepdim=True).expand_as(series.target)
    assert loss(frozen) > 2 * loss(frozen, weight=0.0) > 0


@pytest.mark.parametrize("architecture", SERIES)
def test_a_training_goes_on_where_it_was_interrupted(packs, tmp_path, architecture):
    recipe = recipe_of(architecture)
    whole = fit(recipe, packs, tmp_path / "whole", quiet=True)
    fit(recipe, packs, tmp_path / "parts", stop_after=3, quiet=True)
    parts = fit(recipe, packs, tmp_path / "parts", quiet=True)
    for name, value in whole.averaged.state_dict().items():
        torch.testing.assert_close(parts.averaged.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", SERIES)
def test_the_loss_can_be_learned_away(packs, architecture):
    sampler = sampler_of(packs, architecture)
    series = sampler.draw_series(1, torch.Generator().manual_seed(9))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_reconstruction(architecture, 0, **ARGUMENTS[architecture])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = series_loss(network, series, how=HOW, autocast=False)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize(
    ("architecture", "arguments", "expected"),
    [
        ("varnet", {"channels": []}, "needs a step"),
        ("kt_net", {"channels": 8, "layers": 1}, "1 layers"),
        ("dautomap", {"channels": 8, "sides": [4, 48]}, "at least 8"),
        ("dautomap", {"channels": 8, "sides": [48, 48], "heads": 2}, "heads"),
        ("magic", {}, "unknown architecture 'magic'"),
    ],
)
def test_networks_that_cannot_be_are_refused(architecture, arguments, expected):
    with pytest.raises(PopscanError, match=expected):
        build_reconstruction(architecture, 0, **arguments)


@pytest.mark.parametrize("name", ["recon_cine", "recon_kt_net", "recon_dautomap"])
def test_recipes_that_come_with_popscan_can_be_built(name):
    recipe = load_recipe(name)
    build_reconstruction(recipe.architecture, 0, **recipe.architecture_arguments)
    assert recipe.task == "undersampled"


def test_places_around_what_is_inside():
    inside = np.zeros(50, bool)
    inside[[30, 40]] = True
    assert around(inside, 20) == slice(25, 45)
    assert around(inside, 60) == slice(0, 60)
    assert around(np.zeros(50, bool), 10) == slice(0, 10)


@pytest.fixture(scope="module")
def case():
    ends = [disc(radius, (90, 84)) for radius in (12, 8)]
    array = np.stack(ends, axis=-1)[:, :, None]
    labels = 3 * (array > 0.5)
    scan = Scan(array=array, affine=np.eye(4), spacing_mm=(1.5, 1.5, 8.0))
    return Case(unit="p1", scan=scan, labels=LabelMap(array=labels.astype(np.uint8), frames=(0, 1)))


def test_a_cycle_has_both_labelled_frames_in_it(case):
    scan, heart = whole_cycle(case, crop=32, slices=slice(0, 1))
    assert scan.array.shape == (32, 32, 1, 10)
    ends = case.scan.array[29:61, 26:58] * faded((32, 32))[:, :, None, None]
    np.testing.assert_allclose(scan.array[..., 0], ends[..., 0], atol=1e-5)
    np.testing.assert_allclose(scan.array[..., 4], ends[..., 1], atol=1e-5)
    assert not scan.array[0][..., [0, 4]].any()  # frames between are moved after fading
    assert heart.sum() == (case.labels.array > 0).any(axis=-1).sum()


@pytest.mark.parametrize("name", ["recon_cine", "recon_kt_net", "recon_dautomap"])
def test_a_model_names_its_split_its_scores_and_what_it_was_trained_on(case, name, tmp_path):
    recipe = load_recipe(name)
    network = build_reconstruction(recipe.architecture, 0, **recipe.architecture_arguments)
    out = export_recon(
        network, recipe, out=tmp_path / "m", n_train=5, n_simulated=2, validation=[case]
    )
    about = yaml.safe_load((out / "model.yaml").read_text())
    assert about["validation"] == ["p1"]
    assert about["scores"]["psnr_heart_r4"] > 5
    method = next(m for m, a in ARCHITECTURES.items() if a == recipe.architecture)
    trained = facts_of(str(out), method).trained
    assert trained.accelerations == (2.0, 10.0)
    assert "5 ACDC patients" in trained.source
    card = (out / "card.md").read_text()
    assert f"{about['scores']['psnr_heart_r8']:.1f} dB" in card
    assert "Simulation alone" in card
    assert max(len(line) for line in card.splitlines()) <= 100
