"""Training examples of networks that are given whole series of k-space."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.recon.encoding import Encoding, to_kspace
from popscan.train.kspace import SweepSampler, draw_mask, sweep_places
from popscan.train.sweeps import N_PHASES
from popscan.train.undersampling import Undersampling

#: Of the motion's root mean square, relative to the brightest tissue: below it, nothing moves.
_STILL = 0.02


@dataclass(frozen=True, kw_only=True)
class Series:
    """One batch of series, and what should come out.

    Attributes
    ----------
    data : Tensor of complex64, shape (n, t, coil, x, y)
        Images along x, k-space along y; 0 where nothing was acquired.
    mask : Tensor of float32, shape (n, t, 1, y)
        What was acquired.
    encoding
        That belongs to both.
    target : Tensor of complex64, shape (n, t, x, y)
        The fully sampled series, without noise.
    """

    data: Tensor
    mask: Tensor
    encoding: Encoding
    target: Tensor


class SeriesSampler(SweepSampler):
    """Draws whole cycles of strips, for networks that are given whole series."""

    def draw_series(self, n: int, generator: torch.Generator) -> Series:
        """Return `n` series, all of one subject and with one number of coils and frames."""
        seed = int(torch.randint(2**62, (), generator=generator))
        rng = np.random.default_rng(seed)
        own = self.members[int(torch.multinomial(self.weights, 1, generator=generator))]
        how = self.how
        n_frames = int(rng.integers(how.cycle[0], how.cycle[1] + 1))
        if rng.random() < how.single_frame:
            n_frames = 1
        n_coils = int(rng.integers(how.coils[0], how.coils[1] + 1))
        if rng.random() < how.single_coil:
            n_coils = 1
        turned = bool(rng.random() < 0.5)
        drawn = [self._strip(own[int(rng.integers(len(own)))], n_frames, n_coils, turned, rng)
                 for _ in range(n)]  # fmt: skip
        target, maps = (torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True))
        masks = [draw_mask(target.shape[3], n_frames, how, rng).T for _ in range(n)]
        mask = torch.from_numpy(np.stack(masks))[:, :, None].float()
        encoding = Encoding(maps, mask, axes=(1,))
        data = to_kspace(target[:, :, None] * encoding.maps, axes=(1,))
        if rng.random() >= how.noise_free:
            low, high = map(math.log, how.noise)
            spread = torch.from_numpy(np.exp(rng.uniform(low, high, size=(n, 1, 1, 1, 1))))
            noise = rng.standard_normal((*data.shape, 2), dtype=np.float32)
            data = data + spread.float() * torch.view_as_complex(torch.from_numpy(noise))
        return Series(data=data * encoding.mask, mask=mask, encoding=encoding, target=target)

    def _strip(
        self, index: int, n_frames: int, n_coils: int, turned: bool, rng: np.random.Generator
    ) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return frames (t, width, y) of a whole cycle, and coil maps (coil, width, y)."""
        images = np.asarray(self.slices[index], dtype=np.float32)
        if turned:
            images = images.transpose(0, 2, 1)
        flips = rng.choice([-1, 1], size=2)
        images = images[:, :: flips[0], :: flips[1]]
        shape = images.shape[1:]
        width = min(self.width, shape[0])
        first = int(rng.integers(shape[0] - width + 1))
        if rng.random() < self.how.on_motion:
            first = moving_strip(images, width, rng)
        rows = slice(first, first + width)
        place = cycle_places(n_frames, self.how, rng)
        low = np.minimum(place.astype(int), N_PHASES - 2)
        share = (place - low)[:, None, None].astype(np.float32)
        strip = images[:, rows]
        frames = ((1 - share) * strip[low] + share * strip[low + 1]) * np.float32(
            rng.uniform(0.8, 1.25)
        )
        frames = frames.astype(np.complex64)
        if rng.random() >= self.how.phase_free:
            frames = frames * smooth_phase(shape, rng=rng)[rows]
        return frames, ring_maps(shape, coils=n_coils, rng=rng)[:, rows]


def moving_strip(images: NDArray[np.float32], width: int, rng: np.random.Generator) -> int:
    """Return the first row of a strip of images (phase, x, y), drawn by how much changes in it."""
    change = np.abs(images[-1] - images[0]).sum(axis=1, dtype=np.float64)
    total = np.convolve(change, np.ones(width), mode="valid")
    chance = total**2 + 1e-12
    return int(rng.choice(len(total), p=chance / chance.sum()))


def cycle_places(
    n_frames: int, how: Undersampling, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return where in the sweep the frames of a whole cycle are, from 0."""
    cycle = (n_frames, n_frames)
    return np.asarray(sweep_places(n_frames, replace(how, cycle_frames=cycle), rng), float)


def series_loss(
    network: torch.nn.Module, series: Series, *, how: Undersampling, autocast: bool
) -> Tensor:
    """Return the mean relative error of the images and, weighed, of what moves in them."""
    with torch.autocast(series.target.device.type, dtype=torch.bfloat16, enabled=autocast):
        found = network(series.data, series.mask, series.encoding)
    wrong = found - series.target
    loss = (_energy(wrong) + 1e-8).div(_energy(series.target) + 1e-6).sqrt().mean()
    if series.target.shape[1] == 1 or not how.motion_weight:
        return loss
    moving = _energy(series.target - series.target.mean(dim=1, keepdim=True)) + _STILL**2
    error = _energy(wrong - wrong.mean(dim=1, keepdim=True)) + 1e-8
    return loss + how.motion_weight * error.div(moving).sqrt().mean()


def _energy(images: Tensor) -> Tensor:
    return torch.view_as_real(images).square().sum(dim=-1).mean(dim=(1, 2, 3))
