"""Distances of images against values that can be derived by hand."""

import math

import numpy as np
import pytest
import torch

from popscan.register import register
from popscan.register.distances import DISTANCES

SPACING = (2.0, 3.0)
BLIND = ["lncc", "mi", "nmi", "ngf"]


def apart(name, one, other, **options):
    return DISTANCES[name](one, other, spacing_mm=SPACING, **options)


@pytest.fixture(scope="module")
def ramps():
    """Grey values that rise by 1 per mm along one axis each, (1, 1, 16, 16)."""
    x, y = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    return x[None, None] * SPACING[0], y[None, None] * SPACING[1]


@pytest.fixture(scope="module")
def levels():
    """Each of four grey levels equally often, in two patterns that say nothing of each other."""
    x, y = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    return (x % 4)[None, None].float(), (y % 4)[None, None].float()


@pytest.fixture(scope="module")
def blob(shapes):
    def make(shift):
        points = shapes["centres"]((32, 24), SPACING)
        image = shapes["soft_ellipsoid"](points, (31 + shift, 35), (18, 15), softness=0.3)
        inner = shapes["soft_ellipsoid"](points, (35 + shift, 30), (7, 6), softness=0.3)
        return torch.from_numpy(image - 0.6 * inner).float()[None, None]

    return make


@pytest.mark.parametrize("name", list(DISTANCES))
def test_an_image_is_as_near_to_itself_as_it_can_be(blob, name):
    one = blob(0)
    at_home = apart(name, one, one)
    assert at_home.shape == (1,)
    for shift in (-8.0, -4.0, 4.0, 8.0):
        assert apart(name, one, blob(shift)) > at_home


@pytest.mark.parametrize("name", BLIND)
def test_a_reversed_contrast_is_no_distance(blob, name):
    one = blob(0)
    costs = [apart(name, one, 0.8 - 0.5 * blob(shift)).item() for shift in (-6, -3, 0, 3, 6)]
    assert costs.index(min(costs)) == 2


def test_squares_by_hand(levels):
    one, _ = levels
    assert apart("mse", one, one + 0.5).item() == pytest.approx(0.25)


def test_information_by_hand(levels):
    one, other = levels
    for n_bins in (4, 32):  # four levels are four bins, or lie on bins or between two of 32
        assert apart("mi", one, other, n_bins=n_bins).item() == pytest.approx(0, abs=1e-4)
    assert apart("mi", one, one, n_bins=4).item() == pytest.approx(-math.log(4), abs=1e-5)
    assert apart("nmi", one, one, n_bins=4).item() == pytest.approx(0, abs=1e-5)
    assert apart("nmi", one, other, n_bins=4).item() == pytest.approx(1, abs=1e-5)
    shuffled = torch.tensor([2.0, 0.0, 3.0, 1.0])[one.long()]
    assert apart("nmi", one, shuffled, n_bins=4).item() == pytest.approx(0, abs=1e-5)
    halves = (one >= 2).float() * 3
    assert apart("mi", one, halves, n_bins=4).item() == pytest.approx(-math.log(2), abs=1e-5)
    assert apart("nmi", one, torch.ones_like(one)).item() == 1.0


def test_gradients_by_hand(ramps):
    along, across = ramps
    assert apart("ngf", along, -3 * along).item() == pytest.approx(0, abs=1e-4)
    assert apart("ngf", along, 5 * along + 2).item() == pytest.approx(0, abs=1e-4)
    # Both slopes are 1, so both edge parameters are: (0 + 1)^2 / ((1 + 1) (1 + 1)).
    assert apart("ngf", along, across).item() == pytest.approx(0.75, abs=1e-4)


def test_local_correlation_by_hand(ramps, rng):
    along, across = ramps
    assert apart("lncc", along, 7 - 2 * along).item() == pytest.approx(0, abs=1e-3)
    inner = apart("lncc", along, across, radius_mm=4.0)
    assert inner.item() > 0.8  # uncorrelated in every full box
    assert apart("lncc", along, torch.ones_like(along)).item() == pytest.approx(1, abs=1e-3)


def test_centrelines_by_hand():
    bars = torch.zeros(4, 1, 9, 20)
    bars[0, 0, 3:6, 3:17] = bars[1, 0, 4:7, 3:17] = bars[2, 0, 6:9, 3:17] = 1
    assert apart("skeletons", bars[:1], bars[:1]).item() == 0
    # A pixel to the side each one's line is still inside the other, three it is not.
    assert apart("skeletons", bars[:1], bars[1:2]).item() < 0.2
    assert apart("skeletons", bars[:1], bars[2:3]).item() == 1
    assert apart("skeletons", bars[:1], bars[3:]).item() == 1
    assert apart("skeletons", bars[3:], bars[3:]).item() == 0


def test_a_thin_line_is_registered_by_its_skeleton(shapes):
    x, y = shapes["centres"]((48, 40), SPACING)
    fixed, moving = (
        1 / (1 + np.exp((abs(x - 47 - shift - 6 * np.sin(y / 25)) - 5) / 1.0))[None]
        for shift in (0.0, 5.0)
    )
    warp = register(fixed, moving, method="svf", spacing_mm=SPACING, distance="skeletons")
    before, after = np.abs(fixed - moving).sum(), np.abs(fixed - warp.images(moving)).sum()
    assert after < 0.6 * before
    assert (warp.jacobian() > 0).all()


def test_pairs_of_a_batch_do_not_mix(blob):
    one, other = torch.cat([blob(0), blob(2)]), torch.cat([blob(5), blob(2)])
    for name in DISTANCES:
        both = apart(name, one, other)
        alone = torch.cat([apart(name, one[i : i + 1], other[i : i + 1]) for i in (0, 1)])
        torch.testing.assert_close(both, alone)


@pytest.mark.parametrize("name", BLIND)
def test_registration_finds_the_shift_across_contrasts(blob, name):
    """A shift of 4 mm between an image and its negative: the field is right where edges are."""
    fixed, moving = blob(0)[0].numpy(), 0.9 - 0.7 * blob(4)[0].numpy()
    warp = register(
        fixed, moving, method="svf", spacing_mm=SPACING, distance=name, smoothing_mm=12.0
    )
    moved = warp.points([[[31.0, 35.0], [35.0, 30.0]]])[0] - [[31.0, 35.0], [35.0, 30.0]]
    assert abs(moved[:, 0] - 4).max() < 1.5
    assert abs(moved[:, 1]).max() < 1.5
    assert (warp.jacobian() > 0).all()
