"""Augmentation of whole batches in torch: one resampling for all geometry, then intensities.

Every step draws per slice whether and how strongly it acts, all from one generator, so a batch
is a function of (slices, generator state) alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from popscan.segment.networks import by_phase
from popscan.train.augmentation import Augmentation, Draws
from popscan.train.intensities import STEPS, column


def sampling_grid(draw: Draws, how: Augmentation, *, size: int, patch: int) -> torch.Tensor:
    """Return (n, patch, patch, 2) positions in slices of `size`, for `grid_sample`."""
    any_angle = draw.chance(how.turn_any)
    angle = torch.where(any_angle, draw.uniform(-180, 180), draw.uniform(-1, 1) * how.turn_deg)
    angle = torch.deg2rad(angle)
    zoom = draw.log_uniform(*how.scale)
    ratio = (draw.uniform(-1, 1) * how.stretch).exp()
    shear = draw.uniform(-1, 1) * how.shear
    signs = [1.0 - 2.0 * draw.chance(how.flip).float() for _ in range(2)]
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1)
    zero = torch.zeros(draw.n)
    deform = torch.stack([ratio / zoom * signs[0], shear, zero, signs[1] / (ratio * zoom)], 1)
    matrix = rotation.view(-1, 2, 2) @ deform.view(-1, 2, 2)
    shift = torch.stack([draw.uniform(-1, 1), draw.uniform(-1, 1)], 1) * how.shift_px
    steps = torch.arange(patch) + 0.5 - patch / 2
    base = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(1, -1, 2)
    offset = (base @ matrix.transpose(1, 2) + shift[:, None]).view(-1, patch, patch, 2)
    coarse = draw.normal(2, 6, 6) * how.elastic_px
    coarse = coarse * draw.chance(how.elastic).view(-1, 1, 1, 1)
    smooth = F.interpolate(coarse, size=(patch, patch), mode="bicubic", align_corners=False)
    return (offset + smooth.movedim(1, -1)) * (2.0 / size)


def _neighbours(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Reverse or drop what is around slices (n, phases, 1 + 2 context, size, size)."""
    if x.shape[1] > 1:
        x = torch.where(column(draw.chance(how.phase_drop))[..., None], x[:, :1], x)
    middle = x.shape[2] // 2
    if not middle:
        return x
    x = torch.where(column(draw.chance(how.context_flip))[..., None], x.flip(2), x)
    alone = x[:, :, middle : middle + 1]
    sides = [x[:, :, :middle], x[:, :, middle + 1 :]]
    dropped = [column(draw.chance(how.context_drop))[..., None] for _ in sides]
    if how.context_blend:
        on = [draw.chance(how.context_blend) * draw.uniform(0.2, 0.7) for _ in sides]
        shares = [column(share)[..., None] for share in on]
        sides = [side + (alone - side) * k for side, k in zip(sides, shares, strict=True)]
    below, above = (torch.where(d, alone, s) for d, s in zip(dropped, sides, strict=True))
    return torch.cat([below, alone, above], dim=2)


def _resample(x: torch.Tensor, grid: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Sample slices and their neighbours; the neighbours each a little displaced.

    All phases of a slice are from one breath-hold, so they are displaced equally.
    """
    middle, pixel = x.shape[2] // 2, 2.0 / x.shape[-1]
    layers = []
    for layer in range(x.shape[2]):
        shift = draw.normal(1, 1, 2) * (how.context_shift_px * pixel) if layer != middle else 0.0
        one = x[:, :, layer]
        layers.append(F.grid_sample(one, grid + shift, mode="bilinear", align_corners=False))
    return torch.stack(layers, dim=2)


def augment(
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    how: Augmentation,
    patch: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return augmented patches.

    Parameters
    ----------
    images
        (n, phases (1 + 2 context), size, size), float32, normalised, in the order that
        `popscan.segment.networks` gives.
    labels
        (n, size, size), integer.
    how
        What is done how often.
    patch
        Side of the result; any size, what lies outside of the slice is 0.
    generator
        The only source of randomness.

    Returns
    -------
    images (n, phases (1 + 2 context), patch, patch) float32 and labels (n, patch, patch) int64.
    """
    draw = Draws(len(images), generator)
    grid = sampling_grid(draw, how, size=images.shape[-1], patch=patch)
    x = _resample(_neighbours(by_phase(images), draw, how), grid, draw, how).flatten(1, 2)
    y = F.grid_sample(labels[:, None].float(), grid, mode="nearest", align_corners=False)
    for step in STEPS:
        x = step(x, draw, how)
    return x, y[:, 0].long()
