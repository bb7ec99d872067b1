"""Label maps that lack structures: what the losses see of them, and the shortcut they teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from popscan.records import PopscanError
from popscan.train.loop import fit
from popscan.train.losses import dice_ce
from popscan.train.packs import Pack
from popscan.train.partial import dropped, exclusion, hide, partial_loss, shown_labels
from popscan.train.recipe import Recipe, parse_recipe

CODES = {"disc": 1, "square": 2}


def random_case(seed: int, n: int = 3, labels: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, labels, 6, 6, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, labels, (n, 6, 6), generator=generator)


def test_shown_labels_by_pack():
    shown = shown_labels({"b": ["square"]}, {"a": 2, "b": 1}, CODES)
    assert shown.tolist() == [[True] * 3, [True] * 3, [True, False, True]]
    with pytest.raises(PopscanError, match="annotated names packs that are not there"):
        shown_labels({"c": ["disc"]}, {"a": 2}, CODES)


@given(st.integers(0, 50), st.sampled_from(["background", "ignored", "marginal"]))
def test_whole_labels_give_the_loss_of_whole_labels(seed, missing):
    logits, labels = random_case(seed)
    shown = torch.ones(3, 4, dtype=torch.bool)
    found = partial_loss(logits, labels, shown, missing=missing, exclusive=1.0)
    assert float(found) == pytest.approx(float(dice_ce(logits, labels)), abs=1e-12)


@given(st.integers(0, 50))
def test_marginal_is_cross_entropy_of_merged_probabilities(seed):
    """Against the definition: probabilities added up, then their logarithm."""
    logits, _ = random_case(seed)
    shown = torch.tensor([[True, True, False, True]] * 3)
    p = logits.softmax(dim=1)
    merged = torch.stack([p[:, 0] + p[:, 2], p[:, 1], p[:, 3]], dim=1)
    found = hide(logits, shown, missing="marginal").softmax(dim=1)
    assert torch.allclose(found[:, [0, 1, 3]], merged)
    assert float(found[:, 2].abs().max()) == 0.0


def test_ignored_is_the_softmax_of_the_others():
    logits, _ = random_case(1)
    shown = torch.tensor([[True, True, False, True]] * 3)
    found = hide(logits, shown, missing="ignored").softmax(dim=1)
    assert torch.allclose(found[:, [0, 1, 3]], logits[:, [0, 1, 3]].softmax(dim=1))


@given(st.integers(0, 30), st.sampled_from(["ignored", "marginal"]))
def test_what_is_hidden_in_a_label_map_changes_nothing(seed, missing):
    """A hidden structure in the map counts as background, whatever was drawn there."""
    logits, labels = random_case(seed)
    shown = torch.tensor([[True, True, False, True]] * 3)
    without = torch.where(labels == 2, 0, labels)
    pair = [partial_loss(logits, x, shown, missing=missing) for x in (labels, without)]
    assert torch.equal(*pair)


def test_exclusion_of_known_probabilities():
    p = torch.tensor([0.2, 0.5, 0.3]).log().view(1, 3, 1, 1).expand(1, 3, 2, 2)
    labels = torch.tensor([[[1, 0], [0, 1]]])
    shown = torch.tensor([[True, True, False]])
    assert float(exclusion(p, labels, shown)) == pytest.approx(-np.log(0.7))
    assert float(exclusion(p, labels * 0, shown)) == 0.0


def test_dropout_hides_as_often_as_it_says_and_never_the_background():
    shown = torch.ones(4000, 3, dtype=torch.bool)
    shown[:, 2] = False
    kept = dropped(shown, 0.3, torch.Generator().manual_seed(0))
    assert bool(kept[:, 0].all())
    assert not bool(kept[:, 2].any())
    assert float(kept[:, 1].float().mean()) == pytest.approx(0.7, abs=0.03)
    assert dropped(shown, 0.0, torch.Generator()) is shown


def shapes(n: int, *, seed: int, flat: bool) -> Pack:
    """A bright disc and a dark square on grey; of one domain with a texture, of the other flat."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:32, :32]
    images = np.zeros((n, 32, 32))
    labels = np.zeros((n, 32, 32), np.uint8)
    for i in range(n):
        (a, b), (c, d) = rng.integers(8, 24, 2), rng.integers(8, 24, 2)
        labels[i][np.hypot(x - a, y - b) < 5] = 1
        square = (abs(x - c) < 4) & (abs(y - d) < 4) & (labels[i] == 0)
        labels[i][square] = 2
        images[i] = (
            0.5 * (labels[i] == 1) - 0.5 * (labels[i] == 2) + 0.15 * rng.normal(size=(32, 32))
        )
        images[i] += 0.0 if flat else 0.4 * np.sin(2.0 * x)
    return Pack(
        images=(images * 4096).astype(np.int16),
        labels=labels,
        unit=np.array([f"{'flat' if flat else 'striped'}{i}" for i in range(n)]),
        frame=np.zeros(n, np.int32),
        slice_index=np.zeros(n, np.int32),
        usable=np.ones(n, bool),
        spacing_mm=1.5,
    )


STILL = {"turn_any": 0, "turn_deg": 0, "scale": [1, 1], "shift_px": 0, "gamma": 0, "contrast": 0}
STILL |= {"bias": 0, "noise": 0, "blur": 0, "low_resolution": 0, "invert": 0, "elastic": 0}
STILL |= {"random_convolution": 0, "ghost": 0}


def recipe(**learning: object) -> Recipe:
    return parse_recipe(
        {
            "name": "shapes", "architecture": "unet", "patch": 32, "batch": 12, "steps": 120,
            "architecture_arguments": {"channels": [8, 16], "residual_units": 1},
            "learning_rate": 1e-2, "warmup_steps": 5, "autocast": False, "ema_decay": 0.9,
            "checkpoint_every": 1000, "labels": ["disc", "square"], "augmentation": STILL,
            "learning": {"annotated": {"flat": ["disc"], "striped": ["square"]}, **learning},
        }
    )  # fmt: skip


def missing_dice(tmp_path, **learning: object) -> float:
    """Mean Dice of the structure that each domain's training labels lack, on unseen images."""
    packs = {name: shapes(30, seed=1, flat=name == "flat") for name in ("flat", "striped")}
    network = fit(recipe(**learning), packs, tmp_path, quiet=True).averaged
    dice = []
    for flat, label in ((True, 2), (False, 1)):
        pack = shapes(20, seed=2, flat=flat)
        with torch.inference_mode():
            found = network(torch.from_numpy(pack.images)[:, None].float() / 4096).argmax(dim=1)
        p, t = (found == label).float(), torch.from_numpy(pack.labels == label).float()
        dice.append(float(2 * (p * t).sum() / (p.sum() + t.sum())))
    return float(np.mean(dice))


def test_the_shortcut_and_its_cure(tmp_path):
    """Two domains, a structure each: believed labels teach which domain has which structure."""
    believed = missing_dice(tmp_path / "a", missing="background")
    cured = missing_dice(tmp_path / "b", missing="marginal", label_dropout=0.5)
    assert believed < 0.1
    assert cured > 0.8


def test_interrupted_training_with_dropout_ends_as_an_uninterrupted_one(tmp_path):
    packs = {name: shapes(8, seed=1, flat=name == "flat") for name in ("flat", "striped")}
    how = replace(recipe(missing="marginal", label_dropout=0.5), steps=4, batch=4)
    whole = fit(how, packs, tmp_path / "a", quiet=True)
    fit(how, packs, tmp_path / "b", stop_after=2, quiet=True)
    parts = fit(how, packs, tmp_path / "b", quiet=True)
    pair = zip(whole.averaged.parameters(), parts.averaged.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pair)


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        ({"annotated": {"a": ["la"]}}, "no structures"),
        ({"annotated": {"a": ["lv"]}, "missing": "absent"}, "missing: 'absent'"),
        ({"label_dropout": 0.5}, "label_dropout hides labels"),
        ({"label_dropout": 1.0, "missing": "ignored"}, "from 0 to below 1"),
        ({"exclusive": 1.0}, "need packs with fewer labels"),
        ({"labelled": {}}, "unknown keys labelled"),
    ],
)
def test_what_cannot_be_is_refused(learning, message):
    with pytest.raises(PopscanError, match=message):
        parse_recipe({"name": "a", "learning": learning})


def test_other_losses_are_refused():
    values = {"name": "a", "loss": "dice_focal", "learning": {"annotated": {"acdc": ["lv"]}}}
    with pytest.raises(PopscanError, match="do not go with loss dice_focal"):
        parse_recipe(values)


def test_gradient_reaches_a_hidden_structure_by_the_marginal_loss_alone():
    shown = torch.tensor([[True, True, False]])
    labels = torch.zeros(1, 2, 2, dtype=torch.long)
    for missing, reached in (("ignored", False), ("marginal", True)):
        logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
        F.cross_entropy(hide(logits, shown, missing=missing), labels).backward()
        assert bool((logits.grad[:, 2] != 0).any()) is reached
