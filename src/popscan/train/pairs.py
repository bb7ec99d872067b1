"""Training examples of registration: the same slice in two phases of its cycle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from popscan.records import PopscanError
from popscan.register.architectures import Registers
from popscan.register.distances import mixed
from popscan.register.flows import exponential, on_grid, sample, smooth
from popscan.register.network import CONTROL_MM, STIFFNESS
from popscan.register.velocities import Grid
from popscan.train.augment import sampling_grid
from popscan.train.augmentation import Augmentation, Draws
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.sampler import opposites

#: Squarings of the exponential while training: 2^5 steps.
_SQUARINGS = 5
#: Resolution in which images and labels are compared, as at the finest level of `svf`.
_COMPARED_MM = 3.0
#: Percentiles of a slice that become 0 and 1.
_DARK, _BRIGHT = 0.01, 0.99


@dataclass(frozen=True, kw_only=True)
class PairExamples:
    """One batch of pairs.

    Attributes
    ----------
    images : Tensor of float32, shape (n, 2, x, y)
        Two phases of a slice, about 0 to 1.
    labels : Tensor of float32, shape (n, 2, k, x, y)
        Memberships of their structures.
    stiffness : Tensor of float32, shape (n, 1, x, y)
        How stiff the field should be where.
    grid
        Of the images.
    """

    images: Tensor
    labels: Tensor
    stiffness: Tensor
    grid: Grid


class PairSampler:
    """Draws pairs of phases from packs of labelled slices.

    Parameters
    ----------
    packs
        By name; all of one spacing.
    shares
        Pack name -> its share of the batches; empty for all slices equally often.
    how
        What is changed how often: the geometry in both phases alike, grey values of the pair alike
        with what differs between frames (noise) drawn for each.
    patch
        Side of the examples in pixels.
    n_labels
        Labels of the packs, background included.

    Raises
    ------
    PopscanError
        If `shares` names a pack that is not there, or no slice has a second phase.
    """

    groups: tuple[str, ...] = ()

    def __init__(
        self,
        packs: Mapping[str, Pack],
        shares: Mapping[str, float],
        *,
        how: Augmentation,
        patch: int,
        n_labels: int,
    ) -> None:
        if missing := sorted(set(shares) - set(packs)):
            raise PopscanError(f"the recipe's shares name packs that are not there: {missing}")
        self.how, self.patch, self.n_labels = how, patch, n_labels
        used = {name: packs[name] for name in (shares or packs)}
        self.images = torch.cat([torch.from_numpy(p.images) for p in used.values()])
        self.labels = torch.cat([torch.from_numpy(p.labels) for p in used.values()])
        self.spacing_mm = next(iter(used.values())).spacing_mm
        rows, weights, start = [], [], 0
        for name, pack in used.items():
            other = opposites(pack)
            one = np.flatnonzero(other != np.arange(len(pack)))
            rows.append(np.stack([one, other[one]], axis=1) + start)
            weights.append(np.full(len(one), shares[name] / max(len(one), 1) if shares else 1.0))
            start += len(pack)
        self.rows = torch.from_numpy(np.concatenate(rows))
        self.weights = torch.from_numpy(np.concatenate(weights))
        if not len(self.rows):
            raise PopscanError("no slice of the packs has a second phase to be registered with")

    def draw(self, n: int, generator: torch.Generator) -> PairExamples:
        """Return `n` examples."""
        picked = self.rows[torch.multinomial(self.weights, n, True, generator=generator)]
        images = self.images[picked].float() / INTENSITY_SCALE
        images = _scaled(images)
        draw = Draws(n, generator)
        grid = sampling_grid(draw, self.how, size=images.shape[-1], patch=self.patch)
        patches = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        onehot = functional.one_hot(self.labels[picked].long(), self.n_labels)[..., 1:]
        memberships = onehot.movedim(-1, 2).flatten(1, 2).float()
        labels = functional.grid_sample(memberships, grid, align_corners=False)
        full = Grid(shape=(self.patch,) * 2, spacing_mm=(self.spacing_mm,) * 2)
        return PairExamples(
            images=_looks(patches, draw, self.how),
            labels=labels.unflatten(1, (2, self.n_labels - 1)),
            stiffness=_stiffness(draw, self.patch),
            grid=full,
        )


def _scaled(images: Tensor) -> Tensor:
    """Return pairs (n, 2, x, y) whose first image spans 0 to 1."""
    first = images[:, 0].flatten(1)[:, ::7]
    low, high = (torch.quantile(first, q, dim=1).view(-1, 1, 1, 1) for q in (_DARK, _BRIGHT))
    return ((images - low) / (high - low).clamp_min(1e-3)).clamp(-0.5, 2.0)


def _looks(images: Tensor, draw: Draws, how: Augmentation) -> Tensor:
    """Change grey values: curve, shading and contrast of both alike, noise of each."""
    power = torch.where(draw.chance(how.gamma), draw.log_uniform(*how.gamma_range), 1.0)
    x = images.clamp_min(1e-4) ** power.view(-1, 1, 1, 1)
    coarse = draw.normal(1, 4, 4) * how.bias_log * draw.chance(how.bias).view(-1, 1, 1, 1)
    x = x * functional.interpolate(coarse, size=x.shape[-2:], mode="bicubic").exp()
    factor = torch.where(draw.chance(how.contrast), draw.log_uniform(*how.contrast_range), 1.0)
    x = x * factor.view(-1, 1, 1, 1)
    sd = draw.uniform(0.005, how.noise_sd) * draw.chance(how.noise)
    return x + draw.normal(*x.shape[1:]) * sd.view(-1, 1, 1, 1)


def _stiffness(draw: Draws, patch: int) -> Tensor:
    """Return maps (n, 1, patch, patch): of one value, or of two with a smooth border."""
    values = [draw.log_uniform(*STIFFNESS).view(-1, 1, 1, 1).log() for _ in range(2)]
    coarse = draw.normal(1, 5, 5) * 4.0
    share = functional.interpolate(coarse, size=(patch, patch), mode="bicubic").sigmoid()
    share = torch.where(draw.chance(0.5).view(-1, 1, 1, 1), share, 0.0)
    low, high = (math.log(end) for end in STIFFNESS)
    return (values[0] + (values[1] - values[0]) * share).clamp(low, high).exp()


def pair_loss(
    network: Registers, examples: PairExamples, *, autocast: bool, label_weight: float = 3.0
) -> Tensor:
    """Return the mean over pairs of both directions' distances and the cost of bending.

    What `popscan.register.svf` minimises for each pair: the distance of the images and of their
    labels' memberships, there and back, and `stiffness` times the velocity's squared slope.
    """
    full = examples.grid
    control = Grid.of(full, CONTROL_MM)
    one, other = (examples.images[:, k : k + 1] for k in (0, 1))
    with torch.autocast(one.device.type, dtype=torch.bfloat16, enabled=autocast):
        velocity = network.between(
            one, other, stiffness=examples.stiffness, control=control
        ).float()
    seen = Grid.of(full, _COMPARED_MM)
    half = control.half(velocity.device)
    both = on_grid(exponential(torch.cat([velocity, -velocity]) / half, n_steps=_SQUARINGS),
                   seen.shape)  # fmt: skip
    whole = torch.cat([examples.images, examples.labels.flatten(1, 2)], dim=1)
    blur = [0.4 * n / f for n, f in zip(seen.spacing_mm, full.spacing_mm, strict=True)]
    small = on_grid(smooth(whole, blur), seen.shape)
    labels = small[:, 2:].unflatten(1, (2, -1))
    fixed = torch.cat([torch.cat([small[:, k : k + 1], labels[:, k]], 1) for k in (0, 1)])
    warped = sample(fixed.roll(len(velocity), 0), both)
    apart = mixed(fixed[:, :1], warped[:, :1], spacing_mm=seen.spacing_mm)
    difference = fixed[:, 1:] - warped[:, 1:]
    apart = apart + label_weight * (difference**2).sum(dim=1).flatten(1).mean(dim=1)
    stiff = on_grid(examples.stiffness, control.shape)
    bending = sum(
        (stiff.narrow(axis, 0, control.shape[axis - 2] - 1)
         * (velocity.diff(dim=axis) / control.spacing_mm[axis - 2]) ** 2)
        .sum(dim=1).flatten(1).mean(dim=1)
        for axis in (2, 3)
    )  # fmt: skip
    return (apart.view(2, -1).sum(dim=0) + bending).mean()
