"""A network that looks at two slices and returns the velocity between them, in one pass.

As VoxelMorph (Balakrishnan G et al. IEEE Trans Med Imaging 38:1788-1800, 2019; diffeomorphic: Dalca
AV et al. Med Image Anal 57:226-236, 2019), with how stiff the field should be as an input, a map
that scales and shifts the features after instance normalisation: one network for every stiffness,
the same everywhere or not (Wang Y, Qiu H, Qin C. Conditional deformable image registration with
spatially-variant and adaptive regularization. ISBI 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from popscan.register.flows import Tensor
from popscan.register.velocities import Grid

#: Pixel side that the network knows, and that of the velocity that it returns.
PIXEL_MM, CONTROL_MM = 1.5, 6.0
#: Smallest and largest stiffness that it was shown.
STIFFNESS = (0.01, 0.64)
#: Features of the stiffness.
_MOODS = 16


class _Layer(nn.Module):
    """Convolution, instance normalisation, and what the stiffness makes of it."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inside, outside, 3, stride=stride, padding=1)
        self.adapt = nn.Conv2d(_MOODS, 2 * outside, 1)
        nn.init.zeros_(self.adapt.weight)
        if self.adapt.bias is not None:
            nn.init.zeros_(self.adapt.bias)

    def forward(self, features: Tensor, mood: Tensor) -> Tensor:
        """Return (n, outside, x / stride, y / stride); `mood` has that resolution."""
        out = functional.instance_norm(self.convolution(features))
        scale, shift = self.adapt(mood).chunk(2, 1)
        return functional.leaky_relu(out * (1 + scale) + shift, 0.1)


class PairNetwork(nn.Module):
    """U-Net from two slices to the velocity at a quarter of their resolution.

    Parameters
    ----------
    channels
        Features per level; the first has half the images' resolution, and so on. Three or more.

    Raises
    ------
    ValueError
        For fewer levels.
    """

    def __init__(self, channels: Sequence[int] = (32, 48, 64, 64)) -> None:
        super().__init__()
        if len(channels) < 3:
            raise ValueError(f"{len(channels)} levels; three or more are needed")
        self.levels = len(channels)
        self.mood = nn.Sequential(nn.Conv2d(1, _MOODS, 1), nn.LeakyReLU(0.1))
        self.down = nn.ModuleList(
            _Layer(inside, outside, stride=1 if level == 0 else 2)
            for level, (inside, outside) in enumerate(zip([8, *channels], channels, strict=False))
        )
        self.same = nn.ModuleList(_Layer(n, n) for n in channels[1:])
        self.up = nn.ModuleList(
            _Layer(channels[level + 1] + channels[level], channels[level])
            for level in range(1, self.levels - 1)
        )
        self.last = nn.Conv2d(channels[1], 2, 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-4)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    @property
    def fold(self) -> int:
        """Number that both sides of its images are multiples of."""
        return int(2**self.levels)

    def forward(self, images: Tensor, stiffness: Tensor) -> Tensor:
        """Return the velocity in mm.

        Parameters
        ----------
        images
            (n, 2, x, y): fixed and moving, sides multiples of `fold`.
        stiffness
            (n, 1, x, y), within `STIFFNESS`.

        Returns
        -------
        Tensor, shape (n, 2, x / 4, y / 4)
        """
        low, high = (math.log(end) for end in STIFFNESS)
        known = (stiffness.log() - low) / (high - low) * 2 - 1
        moods: list[Tensor] = []
        levels, features = [], functional.pixel_unshuffle(images, 2)
        for level, layer in enumerate(self.down):
            known = functional.avg_pool2d(known, 2)
            moods.append(self.mood(known))
            features = layer(features, moods[level])
            if level:
                features = features + self.same[level - 1](features, moods[level])
            levels.append(features)
        for level in reversed(range(1, self.levels - 1)):
            wide = functional.interpolate(features, size=levels[level].shape[2:], mode="nearest")
            features = self.up[level - 1](torch.cat([wide, levels[level]], dim=1), moods[level])
        return self.last(features).float() * 10.0

    def between(self, fixed: Tensor, moving: Tensor, *, stiffness: Tensor, control: Grid) -> Tensor:
        """Return the velocity of pairs on its own grid.

        Both orders are shown, and half the difference counts: exchanging the images turns the sign,
        so the transform becomes its inverse.

        Parameters
        ----------
        fixed, moving
            (n, 1, x, y), intensities of about 0 to 1, pixels of `PIXEL_MM`.
        stiffness
            (n, 1, x, y), within `STIFFNESS`.
        control
            Grid of the result; its corners are those of the images.

        Returns
        -------
        Tensor of float32, shape (n, 2, *control.shape), in mm
        """
        size = fixed.shape[2:]
        pad = (0, -size[1] % self.fold, 0, -size[0] % self.fold)
        pairs = torch.cat([torch.cat([fixed, moving], 1), torch.cat([moving, fixed], 1)])
        pairs = functional.pad(pairs, pad, mode="replicate")
        known = functional.pad(stiffness, pad, mode="replicate")
        there, back = self(pairs, torch.cat([known, known])).chunk(2)
        return functional.grid_sample(
            (there - back) / 2,
            _corners(size, pairs.shape[2:], control)
            .expand(len(fixed), -1, -1, -1)
            .to(there.device),
            padding_mode="border",
            align_corners=False,
        )


def _corners(size: Sequence[int], padded: Sequence[int], control: Grid) -> Tensor:
    """Return where the points of `control` are in the network's result, for `grid_sample`."""
    lines = [
        (torch.linspace(0, n - 1, m) + 0.5) * (2.0 / p) - 1
        for n, p, m in zip(size, padded, control.shape, strict=True)
    ]
    x, y = torch.meshgrid(*lines, indexing="ij")
    return torch.stack([y, x], dim=-1)[None]
