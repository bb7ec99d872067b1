"""Networks that are a few steps of an energy's minimisation, whose regularisation was learned.

Each step improves a stationary velocity by the images alone, as the formula of the data term says,
and then by a small network that sees the velocity alone, and how stiff it should be:

- ``gradirn``: a step down the gradient of the data term, any of `DISTANCES`. Qiu H, Hammernik K,
  Qin C, Chen C, Rueckert D. Embedding gradient-based optimization in image registration networks.
  MICCAI 2022.
- ``vr_net``: variable splitting. Images are warped, each pixel's linearised squared difference has
  a minimum in closed form, and a residual U-Net denoises. Jia X et al. Learning a model-driven
  variational network for deformable image registration. IEEE Trans Med Imaging 41:199-212, 2022.

Here both data terms are taken in both directions and the network's part is an odd function of the
velocity, so that exchanging the images inverts the result, and equal images do not move.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from popscan.register.distances import Distance
from popscan.register.distances import distance as distance_of
from popscan.register.flows import Tensor, exponential, on_grid, sample, smooth
from popscan.register.network import STIFFNESS
from popscan.register.svf import seen
from popscan.register.velocities import Grid

#: Squarings of the exponential within a step.
_ROUGH = 4
#: Length of velocities that the networks see as 1.
_UNIT_MM = 5.0
#: First weight of the data term, before any training.
_FIRST = {"gradirn": 15.0, "vr_net": 150.0}


class Regulariser(nn.Module):
    """Small U-Net that is odd in the velocity: what does not move stays, without any weights' help.

    Parameters
    ----------
    channels
        Features at the velocity's resolution and at half of it.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        wide, deep = channels
        self.first = _convolution(3, wide)
        self.down = _convolution(wide, deep, stride=2)
        self.same = nn.ModuleList(_convolution(deep, deep, dilation=d) for d in (1, 2))
        self.last = _convolution(wide + deep, 2)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, velocity: Tensor, known: Tensor) -> Tensor:
        """Return what is added to a velocity (n, 2, x, y) in mm; `known` is (n, 1, x, y)."""
        scaled = velocity / _UNIT_MM
        pair = torch.cat([torch.cat([scaled, known], 1), torch.cat([-scaled, known], 1)])
        one, other = self._features(pair).chunk(2)
        return (one - other) * (_UNIT_MM / 2)

    def _features(self, images: Tensor) -> Tensor:
        wide = functional.leaky_relu(self.first(images), 0.1)
        deep = functional.leaky_relu(self.down(wide), 0.1)
        for layer in self.same:
            deep = deep + functional.leaky_relu(layer(deep), 0.1)
        out: Tensor = self.last(torch.cat([wide, on_grid(deep, wide.shape[2:])], dim=1))
        return out


def _convolution(inside: int, outside: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inside, outside, 3, stride=stride, dilation=dilation, padding=dilation,
        padding_mode="replicate",
    )  # fmt: skip


class UnrolledNetwork(nn.Module):
    """A number of steps per level of resolution, coarse to fine.

    Parameters
    ----------
    data
        ``gradirn`` or ``vr_net``: how a step uses the images.
    levels_mm
        Resolution in which each level compares the images.
    n_steps
        Steps per level. Those of one level share their network in ``gradirn``; in ``vr_net`` each
        has its own.
    channels
        Of each `Regulariser`.
    distance
        Data term of ``gradirn``, a key of `popscan.register.distances.DISTANCES`.

    Raises
    ------
    ValueError
        For levels that do not go with the steps.
    PopscanError
        For an unknown distance.
    """

    def __init__(
        self,
        data: str,
        *,
        levels_mm: Sequence[float] = (6.0, 3.0),
        n_steps: Sequence[int] = (4, 4),
        channels: Sequence[int] = (24, 32),
        distance: str = "mixed",
    ) -> None:
        super().__init__()
        if len(levels_mm) != len(n_steps) or len(channels) != 2 or data not in _DATA:
            raise ValueError(
                f"{data}: {len(levels_mm)} levels_mm, {len(n_steps)} n_steps, {len(channels)} "
                "channels; as many steps as levels and two numbers of channels are needed"
            )
        self.levels_mm, self.n_steps = tuple(levels_mm), tuple(n_steps)
        self.data, self.distance = _DATA[data], distance_of(distance)
        shared = data == "gradirn"
        self.regularisers = nn.ModuleList(
            Regulariser((channels[0], channels[1]))
            for steps in n_steps
            for _ in range(1 if shared else steps)
        )
        level = [level for level, steps in enumerate(n_steps) for _ in range(steps)]
        self._network_of = level if shared else list(range(sum(n_steps)))
        self.log_weights = nn.Parameter(torch.full((sum(n_steps),), math.log(_FIRST[data])))

    def between(self, fixed: Tensor, moving: Tensor, *, stiffness: Tensor, control: Grid) -> Tensor:
        """Return the velocity (n, 2, *control.shape) in mm of pairs; as `PairNetwork.between`."""
        size = tuple(fixed.shape[2:])
        spacing = tuple(e / max(n - 1, 1) for e, n in zip(control.extent_mm, size, strict=True))
        full = Grid(shape=size, spacing_mm=spacing)
        low, high = (math.log(end) for end in STIFFNESS)
        known = (on_grid(stiffness, control.shape).log() - low) / (high - low) * 2 - 1
        velocity = torch.zeros((len(fixed), 2, *control.shape), device=fixed.device)
        step = 0
        for level_mm, n_steps in zip(self.levels_mm, self.n_steps, strict=True):
            grid = Grid.of(full, level_mm)
            views = torch.cat([seen(image, full, grid) for image in (fixed, moving)])
            sloped = torch.cat([views, *_slopes(views, grid)], dim=1).roll(len(fixed), 0)
            for _ in range(n_steps):
                warped = sample(sloped, _both(velocity, control, grid))
                weight = self.log_weights[step].exp()
                change = self.data(views, warped, grid, weight=weight, distance=self.distance)
                velocity = velocity + _to_control(change, grid, control)
                velocity = velocity + self.regularisers[self._network_of[step]](velocity, known)
                step += 1
        return velocity


def _slopes(images: Tensor, grid: Grid) -> list[Tensor]:
    """Return the derivative per mm along each axis of (n, 1, x, y)."""
    return [
        torch.gradient(images, spacing=s, dim=axis)[0]
        for axis, s in enumerate(grid.spacing_mm, start=2)
    ]


def _both(velocity: Tensor, control: Grid, grid: Grid) -> Tensor:
    """Return the displacements there and back, (2 n, 2, *grid.shape), in half extents."""
    half = control.half(velocity.device)
    there_and_back = torch.cat([velocity, -velocity]) / half
    return on_grid(exponential(there_and_back, n_steps=_ROUGH), grid.shape)


def _to_control(change: Tensor, grid: Grid, control: Grid) -> Tensor:
    """Smooth by a voxel of the velocity's grid and bring there."""
    width = [c / s for c, s in zip(control.spacing_mm, grid.spacing_mm, strict=True)]
    return on_grid(smooth(change, width), control.shape)


def _down_the_slope(
    fixed: Tensor, warped: Tensor, grid: Grid, *, weight: Tensor, distance: Distance
) -> Tensor:
    """Return a step (n, 2, x, y) in mm against the gradient of both directions' distances.

    The distance's gradient along the warped image is torch's, that of the image along the
    displacement is its slope there; a change of the velocity is taken to change the displacement
    as much, as `svf` does.
    """
    training = torch.is_grad_enabled()
    image, slopes = warped[:, :1], warped[:, 1:]
    with torch.enable_grad():
        if not image.requires_grad:
            image = image.detach().requires_grad_()
        apart = distance(fixed, image, spacing_mm=grid.spacing_mm).sum() * math.prod(grid.shape)
        (along,) = torch.autograd.grad(apart, image, create_graph=training)
    there, back = (along * slopes).chunk(2)
    return -weight * (there - back)


def _consistent(
    fixed: Tensor, warped: Tensor, grid: Grid, *, weight: Tensor, distance: Distance
) -> Tensor:
    """Return each pixel's minimiser of the linearised squared differences, there and back.

    Over d: ``weight ((r + g d)^2 + (q - h d)^2) + d^2``, where r and q are what images differ by,
    g and h the slopes of the warped ones: two linear equations.
    """
    difference, slopes = warped[:, :1] - fixed, warped[:, 1:]
    there, back = (difference * slopes).chunk(2)
    g, h = slopes.chunk(2)
    right = -weight * (there - back)
    a = 1 + weight * (g[:, :1] ** 2 + h[:, :1] ** 2)
    c = 1 + weight * (g[:, 1:] ** 2 + h[:, 1:] ** 2)
    b = weight * (g[:, :1] * g[:, 1:] + h[:, :1] * h[:, 1:])
    x, y = right[:, :1], right[:, 1:]
    return torch.cat([c * x - b * y, a * y - b * x], dim=1) / (a * c - b * b)


_DATA: dict[str, Callable[..., Tensor]] = {"gradirn": _down_the_slope, "vr_net": _consistent}
