"""Private training: subjects are sampled, each one's share is bounded, noise is as stated."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from popscan.records import PopscanError
from popscan.train.loop import fit
from popscan.train.packs import Pack
from popscan.train.private import (
    LEAST_SEED,
    Private,
    check_subjects,
    epsilon,
    own_gradient,
    own_slices,
    private_gradients,
    sampled,
    spent,
)
from popscan.train.recipe import Recipe, parse_recipe
from popscan.train.sampler import Sampler

SEED, SIDE = LEAST_SEED + 7, 16


def pack(n_subjects: int = 6, *, slices: int = 5) -> Pack:
    """Noise with a bright square; visits a and b of every subject."""
    rng = np.random.default_rng(0)
    n = n_subjects * 2 * slices
    labels = np.zeros((n, SIDE, SIDE), np.uint8)
    labels[:, 5:11, 5:11] = 1
    images = labels + 0.2 * rng.normal(size=labels.shape)
    visits = [f"p{i}_ses-{v}" for i in range(n_subjects) for v in "ab"]
    return Pack(
        images=(images * 4096).astype(np.int16),
        labels=labels,
        unit=np.repeat(visits, slices),
        frame=np.zeros(n, np.int32),
        slice_index=np.tile(np.arange(slices), 2 * n_subjects).astype(np.int32),
        usable=np.ones(n, bool),
        spacing_mm=1.5,
    )


def recipe(steps: int = 3, **private: object) -> Recipe:
    how = {"noise": 1.0, "sampling_rate": 0.5, "slices": 2, "delta": 1e-2} | private
    return parse_recipe(
        {
            "name": "secret", "seed": SEED, "architecture": "unet", "patch": SIDE, "steps": steps,
            "architecture_arguments": {"channels": [4, 8], "residual_units": 1},
            "warmup_steps": 1, "autocast": False, "labels": ["square"], "private": how,
        }
    )  # fmt: skip


def test_subjects_take_part_alone_and_as_often_as_the_rate_says():
    how = Private(noise=1.0, sampling_rate=0.2)
    seen = np.zeros((2000, 10))
    for step in range(2000):
        seen[step, sampled(how, n=10, seed=SEED, step=step)] = 1
    # Poisson sampling: sizes of steps are binomial, not fixed, and no pair depends on each other.
    assert seen.mean(axis=0) == pytest.approx(np.full(10, 0.2), abs=4 * math.sqrt(0.16 / 2000))
    assert seen.sum(axis=1).var() == pytest.approx(10 * 0.16, rel=0.15)
    off = np.corrcoef(seen.T)[~np.eye(10, dtype=bool)]
    assert np.abs(off).max() < 5 / math.sqrt(2000)


def test_the_unit_is_the_subject_with_all_visits():
    sampler = Sampler.of(recipe(), {"p": pack()})
    assert sampler.n_subjects == 6
    rows = own_slices(recipe().private, sampler, 3, seed=SEED, step=0)
    assert len(rows) == 2
    units = pack().unit
    drawn = [own_slices(recipe().private, sampler, 3, seed=SEED, step=s) for s in range(40)]
    assert {unit for rows in drawn for unit in units[rows]} == {"p3_ses-a", "p3_ses-b"}


def gradient_of(losses: list[float], how: Private, *, step: int = 0) -> torch.Tensor:
    """The private gradient where subject i has the loss losses[i] * the sum of two weights."""
    weight = torch.nn.Parameter(torch.zeros(2))
    private_gradients(
        lambda i: lambda: losses[i] * weight.sum(),
        [weight],
        how,
        n=len(losses),
        seed=SEED,
        step=step,
    )
    return weight.grad


def test_no_subject_changes_the_sum_by_more_than_the_clipping_norm():
    how = Private(noise=0.0, clip=0.5, sampling_rate=1.0)
    without = gradient_of([0.1, 0.2, 0.0], how) * 3
    for size in (1e-3, 1.0, 1e6, float("inf"), float("nan")):
        other = gradient_of([0.1, 0.2, size], how) * 3
        assert float((other - without).norm()) <= 0.5 * (1 + 1e-5)
    assert float((gradient_of([0.1, 0.2, 1e6], how) * 3 - without).norm()) == pytest.approx(0.5)


def test_bias_aware_gradient_is_that_of_the_loss_plus_the_norm_of_its_gradient():
    """A bowl with the curvatures 2 and 6, at (3, -1): worked out by hand."""
    weight = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    other, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1))
    curvature = torch.tensor([2.0, 6.0])

    def bowl() -> torch.Tensor:
        return (curvature * weight**2).sum() / 2 + 0 * other.sum()

    before = weight.detach().clone()
    (found, nothing, none), loss = own_gradient(bowl, [weight, other, unused], bias_aware=0.1)
    gradient = curvature * before  # (6, -6)
    along = gradient / gradient.norm()
    assert torch.allclose(found, gradient + 0.1 * curvature * along)
    assert torch.equal(weight.detach(), before)
    assert loss == 12.0
    assert not nothing.any()
    assert none is None
    plain, _ = own_gradient(bowl, [weight, other, unused], bias_aware=0.0)
    assert torch.equal(plain[0], gradient)


def test_bias_aware_gradients_are_cut_as_others_are():
    how = Private(noise=0.0, clip=0.5, sampling_rate=1.0, bias_aware=0.3)
    without = gradient_of([0.1, 0.2, 0.0], how) * 3
    for size in (1e-3, 1.0, 1e6, float("inf"), float("nan")):
        assert float((gradient_of([0.1, 0.2, size], how) * 3 - without).norm()) <= 0.5 * (1 + 1e-5)


def test_a_bias_aware_training_is_another_one_of_the_same_epsilon(tmp_path):
    plain, aware = recipe(2), recipe(2, bias_aware=0.1)
    made = [
        fit(how, {"p": pack()}, tmp_path / str(k), quiet=True).averaged.state_dict()
        for k, how in enumerate((plain, aware, aware))
    ]
    assert any(not torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert all(torch.equal(made[1][name], made[2][name]) for name in made[1])
    assert epsilon(plain.private, steps=2) == epsilon(aware.private, steps=2)


def test_recipes_without_it_and_their_checkpoints_stay_as_they_were():
    assert "bias_aware" not in recipe().as_dict()["private"]
    again = parse_recipe(recipe(bias_aware=0.2).as_dict())
    assert again.private.bias_aware == 0.2


def test_noise_has_the_stated_size_and_comes_without_anyone_too():
    how = Private(noise=2.0, clip=0.5, sampling_rate=0.25)
    nobody = Private(noise=2.0, clip=0.5, sampling_rate=1e-12)
    drawn = torch.stack([gradient_of([0.0] * 8, how, step=k) for k in range(2000)])
    assert float(drawn.std()) == pytest.approx(2.0 * 0.5 / (0.25 * 8), rel=0.06)
    assert float(gradient_of([1.0] * 8, nobody).abs().min()) > 0


def test_seeds_that_differ_beyond_32_bits_give_other_noise():
    """torch's generator on the processor takes 32 bits of a seed; the noise must take all."""
    weight = torch.nn.Parameter(torch.zeros(3))
    made = []
    for seed in (SEED, SEED + 2**33):
        private_gradients(lambda i: None, [weight], Private(noise=1.0), n=1, seed=seed, step=0)
        made.append(weight.grad.clone())
    assert not torch.equal(*made)


def test_same_recipe_same_bytes_and_an_interrupted_training_ends_alike(tmp_path):
    whole = fit(recipe(4), {"p": pack()}, tmp_path / "a", quiet=True).averaged.state_dict()
    fit(
        replace(recipe(4), checkpoint_every=2),
        {"p": pack()},
        tmp_path / "b",
        stop_after=2,
        quiet=True,
    )
    again = fit(
        replace(recipe(4), checkpoint_every=2), {"p": pack()}, tmp_path / "b", quiet=True
    ).averaged.state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "can be guessed"),
        ({"init_from": "plain"}, "does not go with init_from"),
        ({"adversarial": 0.5}, "does not go with adversarial"),
        ({"private": {"noise": 1, "clip": 0}}, "clip: a norm above 0"),
        ({"private": {"noise": 1, "sampling_rate": 2}}, "sampling_rate: above 0"),
        ({"private": {"noise": 1, "bias_aware": -0.1}}, "bias_aware: a length"),
        ({"private": {"noise": 0, "bias_aware": 0.1}}, "bias_aware goes with noise"),
        ({"private": {"noise": -1}}, "noise: a number"),
        ({"private": {"noise": 1, "delta": 1}}, "delta: above 0"),
        ({"private": {"nosie": 1}}, "nosie"),
    ],
)
def test_what_voids_the_guarantee_is_refused(changes, words):
    with pytest.raises(PopscanError, match=words):
        parse_recipe({"name": "x", "seed": SEED, "private": {"noise": 1.0}} | changes)


def test_too_large_a_delta_and_layers_that_mix_subjects_are_refused():
    how = Private(noise=1.0, delta=0.2)
    with pytest.raises(PopscanError, match=r"delta 0[.]2 is too large for 6 subjects"):
        check_subjects(how, torch.nn.Conv2d(1, 1, 1), n=6, where="recipe")
    with pytest.raises(PopscanError, match="batch normalisation mixes subjects"):
        check_subjects(how, torch.nn.BatchNorm2d(1), n=3, where="recipe")


def exact(noise: float, steps: int, delta: float) -> float:
    """Epsilon of the Gaussian mechanism without sampling (Balle and Wang, ICML 2018, theorem 8)."""
    mu = math.sqrt(steps) / noise

    def excess(eps: float) -> float:
        tail = stats.norm.cdf(mu / 2 - eps / mu)
        return float(tail - math.exp(eps) * stats.norm.cdf(-mu / 2 - eps / mu) - delta)

    return float(optimize.brentq(excess, 1e-6, 50))


@pytest.mark.parametrize(("noise", "steps"), [(4.0, 5), (10.0, 30), (2.0, 3)])
def test_epsilon_is_a_close_upper_bound_of_the_exact_one(noise, steps):
    pytest.importorskip("opacus")
    how = Private(noise=noise, sampling_rate=1.0, delta=1e-3)
    truth = exact(noise, steps, 1e-3)
    assert truth <= epsilon(how, steps=steps) <= 1.25 * truth
    rarely = epsilon(replace(how, sampling_rate=0.1), steps=steps)
    assert rarely < epsilon(how, steps=steps)


def test_two_members_spend_more_than_one_and_mixtures_have_no_guarantee():
    pytest.importorskip("opacus")
    one, two = spent([recipe(50)]), spent([recipe(50)] * 2)
    assert one["epsilon"] < two["epsilon"]
    assert spent([replace(recipe(), private=Private())]) is None
    with pytest.raises(PopscanError, match="all recipes of a bundle"):
        spent([recipe(), replace(recipe(), private=Private())])


@pytest.mark.parametrize("bias_aware", [0.0, 0.1])
def test_both_losses_of_a_bias_aware_gradient_draw_the_same(bias_aware):
    """Labels that are dropped by the recipe's generator, features by torch's own."""
    weight, generator = torch.nn.Parameter(torch.ones(64)), torch.Generator().manual_seed(3)
    drawn = []

    def loss() -> torch.Tensor:
        labels = torch.rand(64, generator=generator)
        kept = torch.nn.functional.dropout(torch.ones(64), 0.5)
        drawn.append(torch.cat([labels, kept]))
        return (labels * kept * weight**2).sum()

    own_gradient(loss, [weight], bias_aware=bias_aware, generator=generator)
    assert all(torch.equal(drawn[0], other) for other in drawn[1:])
    assert len(drawn) == (2 if bias_aware else 1)
    own_gradient(loss, [weight], bias_aware=bias_aware, generator=generator)
    assert not torch.equal(drawn[0], drawn[-1])


def test_a_bias_aware_training_drops_the_same_labels_of_both_losses(tmp_path, monkeypatch):
    from popscan.train import step

    hidden, dropped = [], step.dropped

    def watched(*args):
        hidden.append(dropped(*args))
        return hidden[-1]

    monkeypatch.setattr(step, "dropped", watched)
    how = recipe(2, bias_aware=0.1, sampling_rate=1.0)
    how = replace(how, learning=replace(how.learning, label_dropout=0.5, missing="ignored"))
    fit(how, {"p": pack()}, tmp_path, quiet=True)
    # Without anything shown there is no gradient, and no second loss.
    shown = [one for one in hidden if one[:, 1:].any()]
    pairs = list(zip(shown[::2], shown[1::2], strict=True))
    assert pairs
    assert all(torch.equal(one, other) for one, other in pairs)
    assert len({tuple(one.flatten().tolist()) for one, _ in pairs}) > 1
