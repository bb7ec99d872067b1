"""Skeletons: topology is kept exactly, lines are thin, gradients are those of the deciding step."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.measure import euler_number
from skimage.morphology import skeletonize

from popscan.arrays.skeleton import skeleton


def of(mask):
    """Skeleton of a mask (x, y[, z])."""
    return skeleton(torch.from_numpy(mask[None, None].astype(np.float32)))[0, 0].numpy() > 0


def topology(mask):
    """Pieces, cavities (in a plane: holes) and Euler number."""
    around = np.ones((3,) * mask.ndim)
    outside = np.pad(~mask, 1, constant_values=True)
    return (
        ndimage.label(mask, around)[1],
        ndimage.label(outside)[1] - 1,
        int(euler_number(mask, connectivity=mask.ndim)),
    )


def speckled(shape, seed):
    """Smoothed noise above its median: pieces, holes, tunnels."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, 2.0)
    return smooth > np.quantile(smooth, 0.55)


def balls(shape, radii):
    points = np.indices(shape) - (np.reshape(shape, (-1, *[1] * len(shape))) - 1) / 2
    return np.sqrt(sum((p / r) ** 2 for p, r in zip(points, radii, strict=True)))


@pytest.mark.parametrize("shape", [(41, 36), (22, 20, 19)])
@pytest.mark.parametrize("seed", range(3))
def test_any_mask_keeps_its_topology(shape, seed):
    mask = speckled(shape, seed)
    thin = of(mask)
    assert not (thin & ~mask).any()
    assert topology(thin) == topology(mask)
    assert thin.sum() < 0.5 * mask.sum()
    np.testing.assert_array_equal(of(thin), thin)


def test_solids_end_where_those_of_skimage_do():
    solids = {
        "bar": np.pad(np.ones((7, 31), bool), 4),
        "cross": np.zeros((41, 41), bool),
        "rod": balls((15, 15, 40), (5, 5, 1e3)) < 1,
        "plate": np.pad(np.ones((5, 21, 7), bool), 3),
    }
    solids["cross"][17:24, 3:38] = solids["cross"][3:38, 17:24] = True
    for name, mask in solids.items():
        thin, peer = of(mask), skeletonize(mask) > 0
        assert topology(thin) == topology(peer) == topology(mask), name
        # Of most of either the other is within two voxels; ends and corners may differ.
        for one, other in ((thin, peer), (peer, thin)):
            away = ndimage.distance_transform_edt(~other)[one]
            assert np.quantile(away, 0.8) <= 2.3, name
        assert 0.5 < thin.sum() / peer.sum() < 2.0, name


def test_loops_and_cavities_stay():
    ring = (balls((40, 40), (16, 16)) < 1) & (balls((40, 40), (8, 8)) > 1)
    thin = of(ring)
    assert topology(thin) == (1, 1, 0)
    radius = balls((40, 40), (1, 1))[thin]
    assert radius.min() > 7
    assert radius.max() < 16
    tube = (balls((30, 30, 9), (12, 12, 1e3)) < 1) & (balls((30, 30, 9), (5, 5, 1e3)) > 1)
    assert topology(of(tube)) == (1, 0, 0)
    shell = (balls((20, 20, 20), (8, 8, 8)) < 1) & (balls((20, 20, 20), (3, 3, 3)) > 1)
    assert topology(of(shell)) == (1, 1, 2)
    assert topology(of(balls((20, 20, 20), (8, 8, 8)) < 1)) == (1, 0, 1)


def test_what_touches_the_border_and_what_is_empty():
    full = of(np.ones((9, 9), bool))
    assert topology(full) == (1, 0, 1)
    assert not of(np.zeros((6, 7, 5), bool)).any()
    single = np.zeros((5, 5), bool)
    single[2, 2] = True
    np.testing.assert_array_equal(of(single), single)
    with pytest.raises(ValueError, match="expected"):
        skeleton(torch.zeros(1, 5, 5))


def test_masks_of_a_batch_do_not_mix():
    masks = np.stack([speckled((24, 22), seed) for seed in range(4)])
    whole = skeleton(torch.from_numpy(masks.reshape(2, 2, 24, 22).astype(np.float32)))
    alone = np.stack([of(mask) for mask in masks]).reshape(2, 2, 24, 22)
    np.testing.assert_array_equal(whole.numpy() > 0, alone)


def test_the_gradient_of_a_line_by_hand():
    """Of a line one pixel wide nothing goes: an inner pixel counts as itself and holds the line."""
    line = torch.zeros(1, 1, 5, 7)
    line[0, 0, 2, 1:6] = 1
    line.requires_grad_()
    (3.0 * skeleton(line)).sum().backward()
    slope = line.grad[0, 0]
    # The neighbours of an inner pixel are apart without it; with both of its neighbours it stays,
    # with one it is an end that could go: so each neighbour is worth the pixel.
    assert slope[2, 3] == 9.0
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("shape", [(32, 30), (18, 17, 16)])
def test_gradients_are_finite_bounded_and_reach_beyond_the_skeleton(shape):
    soft = torch.from_numpy(speckled(shape, 5)[None, None].astype(np.float32)) * 0.8 + 0.1
    soft.requires_grad_()
    thin = skeleton(soft)
    weights = torch.rand(thin.shape, generator=torch.Generator().manual_seed(0))
    (weights * thin).sum().backward()
    slope = soft.grad
    assert torch.isfinite(slope).all()
    assert slope.abs().max() < 27
    assert ((slope != 0) & (thin == 0) & (soft > 0.5)).any()
    assert (slope[(soft < 0.5)] != 0).any()


def test_a_gap_closes_by_descent():
    """A bar with a gap, whose skeleton should be the whole bar's: the gap's logits rise."""
    bar = torch.zeros(1, 1, 9, 24)
    bar[0, 0, 3:6, 2:22] = 1
    target = skeleton(bar)
    logits = (6 * bar - 3).clone()
    logits[..., 10:14] = -0.5
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)
    assert topology(of((logits > 0)[0, 0].numpy()))[0] == 2
    for _ in range(40):
        optimiser.zero_grad()
        ((skeleton(logits.sigmoid()) - target) ** 2).sum().backward()
        optimiser.step()
    assert topology((skeleton(logits.sigmoid())[0, 0] > 0).numpy())[0] == 1


def test_noise_is_drawn_anew_and_again_from_its_seed():
    soft = torch.full((1, 1, 20, 20), 0.5)
    first, again, other = (
        skeleton(soft, noise=0.3, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
