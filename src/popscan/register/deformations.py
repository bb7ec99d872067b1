"""A variational autoencoder of deformations: which gradients of a displacement are plausible.

Qin C, Wang S, Chen C, Qiu H, Bai W, Rueckert D (biomechanics-informed neural networks for motion
tracking in MRI, MICCAI 2020): an autoencoder learns to reconstruct the gradients of simulated
displacements, and what it cannot reconstruct is unlike them. Here it sees patches, and those of a
whole slice overlap: it need not know where the organ is, how large it is or how it is turned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from popscan.register.flows import Tensor, on_grid
from popscan.register.velocities import Grid

#: Distance of the points of a patch, points along each of its sides, and from patch to patch.
POINTS_MM, SIDE, STRIDE = 4.0, 16, 8
#: Gradients (per mm) that the network sees as 1.
_UNIT = 0.12
#: Gradients of a plane displacement.
_GRADIENTS = 4


class DeformationNetwork(nn.Module):
    """Autoencoder of the gradients of displacements in patches of `SIDE` points.

    Parameters
    ----------
    channels
        Features at half and at a quarter of the resolution.
    codes
        Numbers that describe a patch.

    Raises
    ------
    ValueError
        For other than two numbers of channels, or no code.
    """

    def __init__(self, channels: Sequence[int] = (24, 32), codes: int = 24) -> None:
        super().__init__()
        if len(channels) != 2 or codes < 1:
            raise ValueError(
                f"{len(channels)} channels and {codes} codes; two and at least one are needed"
            )
        wide, deep = channels
        flat = deep * (SIDE // 4) ** 2
        self.encoder = nn.Sequential(
            nn.Conv2d(_GRADIENTS, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.Conv2d(wide, deep, 4, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.Flatten(), nn.Linear(flat, 2 * codes),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(codes, flat), nn.LeakyReLU(0.1),
            nn.Unflatten(1, (deep, SIDE // 4, SIDE // 4)),
            nn.ConvTranspose2d(deep, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(wide, _GRADIENTS, 4, stride=2, padding=1),
        )  # fmt: skip

    def encode(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the codes (n, codes) of patches.

        Parameters
        ----------
        gradients
            (n, 4, `SIDE`, `SIDE`), changes of the displacement per mm.
        """
        mean, spread = self.encoder(gradients / _UNIT).chunk(2, 1)
        return mean, spread.clamp(-12.0, 6.0)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the gradients (n, 4, `SIDE`, `SIDE`) of codes (n, codes)."""
        out: Tensor = self.decoder(codes) * _UNIT
        return out

    def unexplained(self, gradients: Tensor) -> Tensor:
        """Return the mean squares (n,) of what the mean codes of patches leave unexplained."""
        mean, _ = self.encode(gradients)
        return (gradients - self.decode(mean)).square().flatten(1).mean(dim=1)


def implausibility(network: DeformationNetwork, displacement: Tensor, grid: Grid) -> Tensor:
    """Return the mean of `DeformationNetwork.unexplained` over the patches of slices.

    Parameters
    ----------
    network
        The autoencoder.
    displacement
        (n, 2, x, y) in mm, on any grid.
    grid
        That grid.

    Returns
    -------
    Tensor, shape (n,)
        Mean squared gradients (mm per mm). Beyond the border nothing is deformed.
    """
    points = Grid(
        shape=tuple(max(2, round(extent / POINTS_MM) + 1) for extent in grid.extent_mm),
        spacing_mm=(POINTS_MM, POINTS_MM),
    )
    gradients = gradients_of(on_grid(displacement, points.shape), _spacing(grid, points))
    pad = [_padding(n) for n in points.shape]
    whole = functional.pad(gradients, (0, pad[1], 0, pad[0]))
    patches = functional.unfold(whole, SIDE, stride=STRIDE)
    n, _, count = patches.shape
    flat = patches.transpose(1, 2).reshape(n * count, _GRADIENTS, SIDE, SIDE)
    return network.unexplained(flat).view(n, count).mean(dim=1)


def gradients_of(displacement: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Return the changes per mm (n, 4, x, y) of displacements (n, 2, x, y) in mm.

    Along the first axis of both components, then along the second.
    """
    slopes = [
        torch.gradient(displacement, spacing=float(s), dim=axis)[0]
        for axis, s in enumerate(spacing_mm, start=2)
    ]
    return torch.cat(slopes, dim=1)


def _spacing(grid: Grid, points: Grid) -> list[float]:
    return [
        max(extent, 1e-6) / (n - 1) for extent, n in zip(grid.extent_mm, points.shape, strict=True)
    ]


def _padding(n: int) -> int:
    """Return how many points complete a side of whole patches."""
    steps = max(0, math.ceil((n - SIDE) / STRIDE))
    return SIDE + steps * STRIDE - n
