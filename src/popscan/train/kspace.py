"""Training examples of reconstruction: k-space simulated anew for every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.arrays.sampling import density_mask, lattice_mask
from popscan.recon.cascade import REACHES, bright
from popscan.recon.encoding import Encoding, to_image, to_kspace
from popscan.recon.sharing import shared_views
from popscan.records import PopscanError
from popscan.train.sweeps import N_PHASES, SweepPack
from popscan.train.undersampling import Undersampling


@dataclass(frozen=True, kw_only=True)
class Examples:
    """One batch: what a cascade is given, and the frames it should return.

    Attributes
    ----------
    image : Tensor of complex64, shape (n, x, y)
        Zero-filled frames.
    shared : Tensor of complex64, shape (n, len(REACHES), x, y)
        Their images with views shared.
    target : Tensor of complex64, shape (n, x, y)
        The fully sampled frames, without noise.
    encoding
        Of the n frames, as (n, 1, x, y).
    """

    image: Tensor
    shared: Tensor
    target: Tensor
    encoding: Encoding

    def consistent(self, image: Tensor) -> Tensor:
        """Return images (n, x, y) with the acquired samples put back."""
        change = self.encoding.normal(image[:, None])[:, 0]
        return image - change + self.image


class SweepSampler:
    """Draws batches of simulated examples from packs of sweeps.

    Parameters
    ----------
    packs
        Sweeps by name.
    shares
        Pack name -> its share of the batches; empty for all slices equally often.
    how
        What is simulated.
    width
        Readouts in a strip: phase encoding couples pixels along y only, so a strip of the image
        aliases exactly as the whole does.

    Raises
    ------
    PopscanError
        If `shares` names a pack that is not there.
    """

    groups: tuple[str, ...] = ()

    def __init__(
        self,
        packs: Mapping[str, SweepPack],
        shares: Mapping[str, float],
        *,
        how: Undersampling,
        width: int,
    ) -> None:
        if missing := sorted(set(shares) - set(packs)):
            raise PopscanError(f"the recipe's shares name packs that are not there: {missing}")
        self.how, self.width = how, width
        self.slices = [s for name in (shares or packs) for s in packs[name].slices]
        owners, weights = [], []
        for name in shares or packs:
            owners += [f"{name}/{unit}" for unit in packs[name].unit]
            n = len(packs[name].slices)
            weights += [shares[name] / n if shares else 1.0] * n
        names = list(dict.fromkeys(owners))
        self.members = [[i for i, own in enumerate(owners) if own == name] for name in names]
        self.weights = torch.tensor([sum(weights[i] for i in own) for own in self.members])

    def draw(self, n: int, generator: torch.Generator) -> Examples:
        """Return `n` examples, all of one subject and with one number of coils and frames."""
        # Many small draws: numpy's generator is quicker, and follows from torch's.
        seed = int(torch.randint(2**62, (), generator=generator))
        rng = np.random.default_rng(seed)
        own = self.members[int(torch.multinomial(self.weights, 1, generator=generator))]
        how = self.how
        n_frames = 1 if rng.random() < how.single_frame else how.frames
        n_coils = int(rng.integers(how.coils[0], how.coils[1] + 1))
        if rng.random() < how.single_coil:
            n_coils = 1
        turned = bool(rng.random() < 0.5)
        frames = [self._frames(own[int(rng.integers(len(own)))], n_frames, turned, rng)
                  for _ in range(n)]  # fmt: skip
        truth = torch.from_numpy(np.stack(frames))
        return self._encoded(truth, n_coils, rng)

    def _frames(
        self, index: int, n_frames: int, turned: bool, rng: np.random.Generator
    ) -> np.ndarray:
        """Return consecutive frames (t, width, y) of a slice with background phase."""
        images = self.slices[index]
        if turned:
            images = images.transpose(0, 2, 1)
        images = images[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        first = int(rng.integers(max(1, images.shape[1] - self.width + 1)))
        place = sweep_places(n_frames, self.how, rng)
        low = np.minimum(place.astype(int), N_PHASES - 2)
        strip = np.zeros((N_PHASES, self.width, images.shape[2]), np.float32)
        found = images[:, first : first + self.width]
        strip[:, : found.shape[1]] = found
        share = (place - low)[:, None, None].astype(np.float32)
        frames = (1 - share) * strip[low] + share * strip[low + 1]
        frames = frames * np.float32(rng.uniform(0.8, 1.25))
        if rng.random() < self.how.phase_free:
            return frames.astype(np.complex64)
        return frames * smooth_phase(frames.shape[1:], rng=rng)

    def _encoded(self, truth: Tensor, n_coils: int, rng: np.random.Generator) -> Examples:
        n, n_frames, nx, ny = truth.shape
        maps = np.ones((n, 1, nx, ny), np.complex64)
        if n_coils > 1:
            maps = np.stack([ring_maps((nx, ny), coils=n_coils, rng=rng) for _ in range(n)])
        mask = torch.from_numpy(np.stack([draw_mask(ny, n_frames, self.how, rng).T
                                          for _ in range(n)]))[:, :, None]  # fmt: skip
        every = Encoding(torch.from_numpy(maps), mask, axes=(1,))
        data = to_kspace(truth[:, :, None] * every.maps, axes=(1,))
        if rng.random() >= self.how.noise_free:
            low, high = map(math.log, self.how.noise)
            spread = torch.from_numpy(np.exp(rng.uniform(low, high, size=(n, 1, 1, 1, 1))))
            noise = rng.standard_normal((*data.shape, 2), dtype=np.float32)
            data = data + spread.float() * torch.view_as_complex(torch.from_numpy(noise))
        data = data * every.mask
        middle = n_frames // 2
        shared = [combined(shared_views(data, mask, reach=reach, frames=[middle])[0][:, 0], every)
                  for reach in REACHES]  # fmt: skip
        own = Encoding(torch.from_numpy(maps), mask[:, middle : middle + 1], axes=(1,))
        image = own.adjoint(data[:, middle : middle + 1])[:, 0]
        scale = bright(shared[-1])[:, None, None]
        return Examples(
            image=image / scale,
            shared=torch.stack(shared, dim=1) / scale[:, None],
            target=truth[:, middle] / scale,
            encoding=own,
        )


def combined(data: Tensor, encoding: Encoding) -> Tensor:
    """Return the coil-combined images (n, x, y) of k-space (n, coil, x, y)."""
    images = to_image(data, axes=encoding.axes)
    return (images * encoding.maps[:, 0].conj()).sum(dim=1)


def sweep_places(n_frames: int, how: Undersampling, rng: np.random.Generator) -> np.ndarray:
    """Return where in the sweep of `N_PHASES` images consecutive frames are, from 0."""
    if n_frames == 1:
        return rng.uniform(0, N_PHASES - 1, size=1)
    cycle = rng.uniform(*how.cycle_frames)
    when = (rng.random() + np.arange(n_frames) / cycle) % 1.0
    out = rng.uniform(*how.outward)
    # There and back as half cosines, then rest.
    back = np.clip((when - out) / rng.uniform(how.least_return, 1 - out), 0, 1)
    part = np.where(when < out, when / out, 1 - back)
    return (N_PHASES - 1) * (0.5 - 0.5 * np.cos(np.pi * part))


def draw_mask(lines: int, frames: int, how: Undersampling, rng: np.random.Generator) -> np.ndarray:
    """Return a random mask (lines, frames) of a random acceleration."""
    low, high = how.accelerations
    acceleration = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    kept = max(4, round(lines / acceleration))
    centre = min(int(rng.integers(how.centre_lines[0], how.centre_lines[1] + 1)), kept - 1)
    if rng.random() < how.lattice:
        return lattice_mask(lines, frames, kept=kept, centre=centre, rng=rng)
    return density_mask(
        lines, frames, kept=kept, centre=centre, width=rng.uniform(*how.widths),
        floor=rng.uniform(*how.floors), rng=rng,
    )  # fmt: skip


def undersampled_loss(network: torch.nn.Module, examples: Examples, *, autocast: bool) -> Tensor:
    """Return the mean of the examples' root mean square errors, relative to their targets."""
    with torch.autocast(examples.image.device.type, dtype=torch.bfloat16, enabled=autocast):
        found = network(examples.image, examples.shared, examples.consistent)
    error = (found - examples.target).abs().square().mean(dim=(1, 2))
    energy = examples.target.abs().square().mean(dim=(1, 2))
    return ((error + 1e-8) / (energy + 1e-6)).sqrt().mean()
