"""Groups in a training: sampling, weights of the loss, the classifier, checkpoints, old recipes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError
from popscan.segment.networks import bottleneck, build_network
from popscan.train.checkpoint import new_state
from popscan.train.groups import GroupState, _Reverse, group_loss, head_loss, watched
from popscan.train.loop import fit
from popscan.train.mitigation import Mitigation
from popscan.train.packs import Pack
from popscan.train.recipe import RECIPES_DIR, Recipe, load_recipe, parse_recipe
from popscan.train.sampler import Sampler
from popscan.train.step import train_step


def pack(groups: dict[str, int], *, side: int = 16) -> Pack:
    """Two slices per subject; `groups` has the number of subjects."""
    rows = [(f"{group}{i}", group) for group, n in groups.items() for i in range(n) for _ in "ab"]
    n = len(rows)
    rng = np.random.default_rng(7)
    labels = np.zeros((n, side, side), np.uint8)
    labels[:, 5:11, 5:11] = Label.LV
    return Pack(
        images=(rng.normal(size=labels.shape) * 400 + 3000 * (labels > 0)).astype(np.int16),
        labels=labels,
        unit=np.array([unit for unit, _ in rows]),
        frame=np.zeros(n, np.int32),
        slice_index=np.tile(np.arange(2, dtype=np.int32), n // 2),
        usable=np.ones(n, bool),
        spacing_mm=1.5,
        attributes={"sex": np.array([group for _, group in rows])},
    )


def recipe(**mitigation) -> Recipe:
    return parse_recipe(
        {
            "name": "tiny",
            "seed": 3,
            "architecture": "unet",
            "architecture_arguments": {"channels": [4, 8], "residual_units": 0},
            "patch": 16,
            "batch": 6,
            "steps": 4,
            "warmup_steps": 1,
            "checkpoint_every": 2,
            "autocast": False,
            "mitigation": mitigation,
        }
    )


def drawn(sampler: Sampler, n: int, times: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    picked = torch.cat([sampler.pick(n, generator) for _ in range(times)])
    return torch.bincount(sampler.group[picked], minlength=len(sampler.groups))


def test_without_sampling_groups_are_drawn_as_they_come():
    sampler = Sampler({"p": pack({"f": 1, "m": 9})}, {}, attribute="sex")
    assert sampler.groups == ("f", "m")
    assert sampler.group_shares.tolist() == pytest.approx([0.1, 0.9])
    assert sampler.group_sizes.tolist() == [1.0, 9.0]
    share = drawn(sampler, 1000, 4)[0] / 4000
    assert abs(share - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 4000)


def test_oversampling_draws_groups_alike_in_expectation():
    sampler = Sampler({"p": pack({"f": 1, "m": 9})}, {}, attribute="sex", sampling="oversampling")
    assert sampler.group_shares.tolist() == pytest.approx([0.5, 0.5])
    share = drawn(sampler, 1000, 4)[0] / 4000
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / 4000)
    # Not so batch by batch: some differ from half.
    counts = [int(drawn(sampler, 8)[0])]
    generator = torch.Generator().manual_seed(2)
    counts += [int((sampler.group[sampler.pick(8, generator)] == 0).sum()) for _ in range(20)]
    assert len(set(counts)) > 1


def test_stratified_batches_hold_every_group_alike():
    sampler = Sampler(
        {"p": pack({"f": 1, "m": 9, "x": 2})}, {}, attribute="sex", sampling="stratified"
    )
    assert drawn(sampler, 9).tolist() == [3, 3, 3]
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        counts = torch.bincount(sampler.group[sampler.pick(8, generator)], minlength=3)
        assert sorted(counts.tolist()) == [2, 3, 3]


def test_sampling_keeps_edge_weights_within_a_group():
    sampler = Sampler({"p": pack({"f": 2, "m": 6})}, {}, attribute="sex", sampling="oversampling")
    plain = Sampler({"p": pack({"f": 2, "m": 6})}, {})
    for code in (0, 1):
        own = sampler.group == code
        ratio = sampler.weights[own] / plain.weights[own]
        assert torch.allclose(ratio, ratio[0].expand_as(ratio))


def test_a_missing_attribute_is_named():
    with pytest.raises(PopscanError, match=r"no attribute 'race'; known: sex"):
        Sampler({"p": pack({"f": 1})}, {}, attribute="race")


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A loss whose group values are known: the mean of the logits."""
    return logits.mean()


def losses_of(how: Mitigation, values: list[float], codes: list[int], shares, state=None):
    logits = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)
    state = state or GroupState(("a", "b"), torch.tensor([0.5, 0.5]))
    return float(
        group_loss(
            mean_loss,
            logits,
            torch.zeros(len(values), 1, 1),
            torch.tensor(codes),
            how=how,
            state=state,
            shares=torch.tensor(shares),
            sizes=torch.tensor([4.0, 16.0]),
        )
    ), state


def test_reweighing_counts_groups_alike_whatever_their_share():
    how = Mitigation(attribute="g", reweigh=True)
    # One slice of four is of group a (loss 2), three of b (loss 1): alike is (2 + 1) / 2.
    found, _ = losses_of(how, [2, 1, 1, 1], [0, 1, 1, 1], [0.25, 0.75])
    assert found == pytest.approx(1.5)
    # Drawn alike already: nothing to correct.
    found, _ = losses_of(how, [2, 2, 1, 1], [0, 0, 1, 1], [0.5, 0.5])
    assert found == pytest.approx(1.5)


def test_group_dro_moves_weights_to_the_group_with_the_larger_loss():
    how = Mitigation(attribute="g", dro_step=0.5)
    found, state = losses_of(how, [2, 1, 1], [0, 1, 1], [0.3, 0.7])
    a, b = np.exp(0.5 * 2), np.exp(0.5 * 1)
    assert state.dro.tolist() == pytest.approx([a / (a + b), b / (a + b)])
    assert found == pytest.approx((2 * a + 1 * b) / (a + b))
    # A group absent from a batch counts as one without loss.
    _, state = losses_of(how, [1.0], [1], [0.3, 0.7], state=state)
    assert float(state.dro.sum()) == pytest.approx(1.0)
    assert float(state.dro[0]) == pytest.approx(a / (a + b * np.exp(0.5)))


def test_the_adjustment_counts_small_groups_more():
    how = Mitigation(attribute="g", dro_step=1.0, dro_adjustment=2.0)
    _, state = losses_of(how, [1, 1], [0, 1], [0.5, 0.5])
    assert float(state.dro[0] / state.dro[1]) == pytest.approx(np.exp(2 / 2 - 2 / 4))


@given(st.floats(0.01, 5))
def test_a_reversed_gradient_is_turned_round_and_scaled(weight):
    x = torch.ones(3, requires_grad=True)
    (2 * _Reverse.apply(x, weight)).sum().backward()
    assert torch.allclose(x.grad, torch.full((3,), -2 * weight))


@pytest.mark.parametrize("way", ["adversary", "classifier"])
def test_the_classifier_reaches_the_features_against_or_with_the_network(way):
    how = Mitigation(attribute="g", **{way: 0.5})
    head = torch.nn.Linear(4, 2)
    features = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    features.requires_grad_()
    codes = torch.tensor([0, 1, 0, 1, 1, 1])
    shares = torch.tensor([1 / 3, 2 / 3])
    state = GroupState(("a", "b"), torch.ones(2) / 2, head)
    head_loss(features, codes, how=how, state=state, shares=shares, progress=1.0).backward()
    pooled = features.detach().mean(dim=(2, 3)).requires_grad_()
    weights = torch.tensor([1.5, 0.75])
    torch.nn.functional.cross_entropy(head(pooled), codes, weight=weights).backward()
    sign = -0.5 if way == "adversary" else 0.5
    if way == "adversary":
        sign *= 2 / (1 + np.exp(-10.0)) - 1
    expected = sign * pooled.grad[:, :, None, None] / 9
    assert torch.allclose(features.grad, expected.expand_as(features), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "width"),
    [
        ("unet", {"channels": [4, 8, 12], "residual_units": 0}, 12),
        ("dynunet", {"channels": [4, 8, 12]}, 12),
        ("basic_unet", {"channels": [4, 4, 8, 8, 12]}, 12),
    ],
)
def test_the_bottleneck_is_where_resolution_is_lowest(name, arguments, width):
    network = build_network(name, 4, **arguments).eval()
    with torch.no_grad(), watched(network) as seen:
        network(torch.zeros(1, 1, 64, 64))
    assert len(seen) == 1
    assert seen[0].shape[1] == width
    assert seen[0].shape[2] == 64 // 2 ** (len(arguments["channels"]) - 1)
    assert isinstance(bottleneck(network), torch.nn.Module)


WAYS = [
    {"sampling": "stratified"},
    {"sampling": "oversampling", "dro_step": 0.1},
    {"reweigh": True},
    {"adversary": 0.2, "dro_step": 0.1},
    {"classifier": 0.2, "sampling": "oversampling"},
]


@pytest.mark.parametrize("way", WAYS, ids=[" ".join(way) for way in WAYS])
def test_an_interrupted_training_ends_with_the_same_weights(way, tmp_path):
    plan, packs = recipe(attribute="sex", **way), {"p": pack({"f": 1, "m": 4})}
    whole = fit(plan, packs, tmp_path / "whole", quiet=True)
    fit(plan, packs, tmp_path / "parts", stop_after=2, quiet=True)
    again = fit(plan, packs, tmp_path / "parts", quiet=True)
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(value, again.averaged.state_dict()[name]), name
    assert whole.groups is not None
    assert again.groups is not None
    assert torch.equal(whole.groups.dro, again.groups.dro)


def test_a_checkpoint_of_other_groups_is_refused(tmp_path):
    plan = recipe(attribute="sex", dro_step=0.1)
    fit(plan, {"p": pack({"f": 1, "m": 4})}, tmp_path, stop_after=2, quiet=True)
    with pytest.raises(PopscanError, match="belongs to another recipe"):
        fit(plan, {"p": pack({"f": 1, "x": 4})}, tmp_path, quiet=True)


def test_one_group_alone_can_be_trained_with_every_way():
    for way in WAYS:
        plan = recipe(attribute="sex", **way)
        sampler = Sampler.of(plan, {"p": pack({"m": 3})})
        state = new_state(plan, n_labels=4, groups=sampler.groups)
        assert np.isfinite(train_step(state, sampler, plan))


def test_recipes_without_mitigation_are_what_they_were():
    """A checkpoint holds its recipe as JSON: a new key there would orphan running trainings."""
    for path in sorted(RECIPES_DIR.glob("*.yaml")):
        shipped = load_recipe(path)
        assert shipped.mitigation == Mitigation()
        assert "mitigation" not in shipped.as_dict()
    assert "mitigation" in recipe(attribute="sex", reweigh=True).as_dict()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"attribute": "sex", "sampling": "fair"}, "unknown sampling 'fair'; known are stratified"),
        ({"reweigh": True}, "needs an attribute"),
        ({"attribute": "sex", "reweigh": True, "dro_step": 1}, "choose one"),
        ({"attribute": "sex", "adversary": 1, "classifier": 1}, "choose one"),
        ({"attribute": "sex", "dro_step": -1}, "negative"),
        ({"attribute": "sex", "wait": 1}, "unknown keys wait"),
    ],
)
def test_what_cannot_be_is_told(given, told):
    with pytest.raises(PopscanError, match=told):
        recipe(**given)


def test_groups_count_persons_not_visits():
    whole = pack({"f": 2, "m": 4})
    visits = replace(whole, unit=np.array([f"{u[0]}_ses-{u[1:]}" for u in whole.unit]))
    assert Sampler({"p": visits}, {}, attribute="sex").group_sizes.tolist() == [1.0, 1.0]
