"""Training examples of plausible deformations: patches of displacements that are known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from popscan.records import PopscanError
from popscan.register.deformations import POINTS_MM, SIDE, DeformationNetwork, gradients_of
from popscan.train.augmentation import Augmentation, Draws


@dataclass(frozen=True, kw_only=True)
class FieldPack:
    """Displacements of slices between two moments.

    Attributes
    ----------
    fields : ndarray of float16, shape (n, 2, s, s)
        In mm along the array's axes.
    unit
        Whose each is.
    spacing_mm
        Distance of the points.
    """

    fields: NDArray[np.float16]
    unit: Sequence[str]
    spacing_mm: float

    def digest(self) -> str:
        """Return the SHA-256 of what a training sees of it."""
        digest = hashlib.sha256("\n".join(self.unit).encode())
        digest.update(f"{self.spacing_mm!r} {self.fields.shape}".encode())
        digest.update(np.ascontiguousarray(self.fields).data)
        return digest.hexdigest()


class FieldSampler:
    """Draws patches of gradients from displacements, turned, mirrored, shifted and scaled.

    Parameters
    ----------
    packs
        By name.
    shares
        Pack name -> its share of the batches; empty for all displacements equally often.
    how
        ``scale`` (of the organ, its strains unchanged), ``flip`` and ``shift_px`` are used; every
        direction is as frequent.

    Raises
    ------
    PopscanError
        If `shares` names a pack that is not there, or packs differ in their spacing from that of
        the network.
    """

    groups: tuple[str, ...] = ()

    def __init__(
        self, packs: Mapping[str, FieldPack], shares: Mapping[str, float], *, how: Augmentation
    ) -> None:
        if missing := sorted(set(shares) - set(packs)):
            raise PopscanError(f"the recipe's shares name packs that are not there: {missing}")
        used = {name: packs[name] for name in (shares or packs)}
        if odd := [name for name, pack in used.items() if pack.spacing_mm != POINTS_MM]:
            raise PopscanError(f"packs {odd}: displacements every {POINTS_MM} mm are expected")
        self.how = how
        self.fields = torch.cat([torch.from_numpy(p.fields).float() for p in used.values()])
        self.weights = torch.cat([
            torch.full((len(pack.fields),), shares[name] / len(pack.fields) if shares else 1.0)
            for name, pack in used.items()
        ])  # fmt: skip

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return gradients (n, 4, `SIDE`, `SIDE`) per mm."""
        draw, how = Draws(n, generator), self.how
        picked = self.fields[torch.multinomial(self.weights, n, True, generator=generator)]
        angle = torch.deg2rad(draw.uniform(-180, 180))
        mirror = 1.0 - 2.0 * draw.chance(how.flip).float()
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([cos, -sin * mirror, sin, cos * mirror], 1).view(-1, 2, 2)
        zoom = draw.log_uniform(*how.scale)
        shift = torch.stack([draw.uniform(-1, 1), draw.uniform(-1, 1)], 1) * how.shift_px
        # A point more on each side, so that all differences are central.
        steps = torch.arange(SIDE + 2) - (SIDE + 1) / 2
        base = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).view(1, -1, 2)
        places = (base @ turn.transpose(1, 2)) / zoom.view(-1, 1, 1) + shift[:, None]
        side = self.fields.shape[-1]
        grid = (places / ((side - 1) / 2)).view(n, SIDE + 2, SIDE + 2, 2).flip(-1)
        moved = functional.grid_sample(picked, grid, padding_mode="border", align_corners=True)
        along = torch.einsum("nij,nixy->njxy", turn, moved) * zoom.view(-1, 1, 1, 1)
        return gradients_of(along, (POINTS_MM, POINTS_MM))[..., 1:-1, 1:-1]


def deformation_loss(
    network: nn.Module, gradients: Tensor, generator: torch.Generator, *, noise: float = 0.04
) -> Tensor:
    """Return minus the evidence lower bound of patches, per number.

    `noise` is the standard deviation (per mm) of what the codes leave unexplained: the less, the
    closer the reconstruction and the less regular the codes.
    """
    net = cast("DeformationNetwork", network)
    mean, log_variance = net.encode(gradients)
    drawn = torch.randn(mean.shape, generator=generator)
    missed = gradients - net.decode(mean + drawn * (log_variance / 2).exp())
    terms = missed.square().flatten(1).sum(dim=1) / (2 * noise**2)
    apart = (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1) / 2
    return (terms + apart).mean() / gradients[0].numel()
