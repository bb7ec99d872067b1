"""Adversarial augmentation and contrast curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from popscan.protocols.cine_sax.labels import Label
from popscan.train.adversarial import harden
from popscan.train.augment import augment
from popscan.train.augmentation import Augmentation, Draws
from popscan.train.intensities import _remap, _tone


class Threshold(torch.nn.Module):
    """Bright is LV: a network whose weakness is known, the bias field."""

    def forward(self, x):
        lv = 8 * (x[:, :1] - 0.5)
        rest = torch.zeros_like(lv).expand(-1, int(Label.LV), -1, -1)
        return torch.cat([rest[:, :1], rest[:, 1:] - 9, lv], dim=1)


def _squares(n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(n, 48, 48, dtype=torch.int64)
    for k in range(n):
        labels[k, 14 + k : 30 + k, 16:32] = int(Label.LV)
    images = 0.25 + 0.5 * (labels == int(Label.LV)).float()
    return images[:, None], labels


def test_adversarial_changes_hurt_more_than_random_ones_of_the_same_size(rng):
    images, labels = _squares()
    network = Threshold()
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))

    def loss(x, y):
        return F.cross_entropy(network(x), y).item()

    hard, moved = harden(network, images, labels, generator=generator, bias_log=1.5, affine=0.0)
    torch.testing.assert_close(moved, labels)
    random = []
    for _ in range(10):
        knots = torch.randn(len(images), 1, 4, 4, generator=generator)
        knots *= 1.5 / knots.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        field = F.interpolate(knots, size=(48, 48), mode="bicubic", align_corners=False)
        random.append(loss(images * field.exp(), labels))
    assert loss(hard, moved) > np.max(random) > loss(images, labels)


def test_labels_move_with_the_image(rng):
    images, labels = _squares()
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    hard, moved = harden(Threshold(), images, labels, generator=generator, bias_log=0.0, affine=0.4)
    assert (moved != labels).any()
    bright = (hard[:, 0] > 0.5) == (moved == int(Label.LV))
    assert bright.float().mean() > 0.98


def test_a_contrast_curve_maps_equal_to_equal():
    x = torch.linspace(0, 1, 64).round(decimals=1).view(1, 1, 8, 8).repeat(3, 1, 1, 1)
    how = Augmentation(remap=1.0)
    y = _remap(x, Draws(3, torch.Generator().manual_seed(2)), how)
    assert y.min() >= 0
    assert y.max() <= 1
    for k in range(3):
        for value in x.unique():
            assert len(y[k][x[k] == value].unique()) == 1
    assert not torch.equal(y[0], y[1])


def test_a_scanners_tone_keeps_the_order_of_grey_values():
    x = torch.linspace(-0.2, 1.3, 64).view(1, 1, 8, 8).repeat(4, 1, 1, 1)
    y = _tone(x, Draws(4, torch.Generator().manual_seed(2)), Augmentation(tone=1.0))
    assert (y.flatten(1).diff(dim=1) > 0).all()
    torch.testing.assert_close(y.amin(dim=(1, 2, 3)), x.amin(dim=(1, 2, 3)))
    torch.testing.assert_close(y.amax(dim=(1, 2, 3)), x.amax(dim=(1, 2, 3)))
    assert not torch.allclose(y[0], y[1])


@pytest.mark.parametrize("look", ["tone", "band", "fine"])
def test_a_look_that_is_not_wanted_changes_no_batch(look):
    images, labels = _squares()

    def once(how):
        generator = torch.Generator().manual_seed(4)
        return augment(images, labels, how=how, patch=32, generator=generator)[0]

    plain, changed = Augmentation(), replace(Augmentation(), **{look: 1.0})
    torch.testing.assert_close(once(plain), once(replace(plain, **{look: 0.0})), rtol=0, atol=0)
    assert not torch.equal(once(plain), once(changed))
    assert torch.isfinite(once(changed)).all()


def test_an_unused_curve_changes_no_batch():
    images, labels = _squares()
    how = Augmentation()

    def once(how):
        generator = torch.Generator().manual_seed(4)
        return augment(images, labels, how=how, patch=32, generator=generator)[0]

    torch.testing.assert_close(once(how), once(replace(how, remap=0.0)), rtol=0, atol=0)
    assert not torch.equal(once(how), once(replace(how, remap=1.0)))
