"""Augmentation of intensities: each step draws per slice whether and how strongly it acts."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F

from popscan.train.augmentation import Augmentation, Draws


def column(values: torch.Tensor) -> torch.Tensor:
    """Return one value per slice, to be broadcast over (n, channels, x, y)."""
    return values.view(-1, 1, 1, 1)


def _range(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = x.amin(dim=(1, 2, 3), keepdim=True), x.amax(dim=(1, 2, 3), keepdim=True)
    return low, (high - low).clamp_min(1e-3)


def _gamma(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    power = torch.where(draw.chance(how.gamma), draw.log_uniform(*how.gamma_range), 1.0)
    low, span = _range(x)
    return ((x - low) / span).clamp_min(1e-6) ** column(power) * span + low


def _contrast(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    on = draw.chance(how.contrast)
    factor = torch.where(on, draw.log_uniform(*how.contrast_range), 1.0)
    shift = torch.where(on, draw.uniform(-0.2, 0.2), 0.0)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * column(factor) + mean + column(shift)


def _bias(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    coarse = draw.normal(1, 4, 4) * how.bias_log * column(draw.chance(how.bias))
    field = F.interpolate(coarse, size=x.shape[-2:], mode="bicubic", align_corners=False)
    return x * field.exp()


def _noise(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    sd = draw.uniform(0.01, how.noise_sd) * draw.chance(how.noise)
    return x + draw.normal(*x.shape[1:]) * column(sd)


def _blur(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    on = draw.chance(how.blur).nonzero()[:, 0]
    sd = draw.log_uniform(*how.blur_px)[on].view(-1, 1)
    if not len(on):
        return x
    taps = torch.exp(-0.5 * (torch.arange(-3, 4) / sd) ** 2)
    taps = taps / taps.sum(dim=1, keepdim=True)
    part = F.pad(x[on].movedim(1, 0), (3, 3, 3, 3), mode="replicate")
    part = F.conv2d(part, taps.view(-1, 1, 7, 1), groups=len(on))
    part = F.conv2d(part, taps.view(-1, 1, 1, 7), groups=len(on))
    return x.index_copy(0, on, part.movedim(0, 1))


def _low_resolution(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    on = draw.chance(how.low_resolution).nonzero()[:, 0]
    factor = float(draw.uniform(*how.low_resolution_range)[0])
    if not len(on):
        return x
    size = x.shape[-2:]
    small = [max(8, round(side / factor)) for side in size]
    part = F.interpolate(x[on], size=small, mode="bilinear", antialias=True)
    part = F.interpolate(part, size=size, mode="bicubic", align_corners=False)
    return x.index_copy(0, on, part)


def _ghost(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    strength = draw.uniform(0.1, 0.35) * draw.chance(how.ghost)
    copies = int(draw.uniform(2, 5)[0])
    axis = 2 + int(draw.chance(0.5)[0])
    return x + column(strength) * x.roll(x.shape[axis] // copies, dims=axis)


def _invert(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    low, span = _range(x)
    return torch.where(column(draw.chance(how.invert)), 2 * low + span - x, x)


def _random_convolution(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Mix with the output of a small random network (Ouyang et al. 2022, GIN).

    doi:10.1109/TMI.2022.3224067. Contrast changes, shapes stay; mean and spread of the slice are
    restored.
    """
    on = draw.chance(how.random_convolution).nonzero()[:, 0]
    mix = draw.uniform(0, 1)[on].view(-1, 1, 1, 1)
    widths = (1, 2, 2, 1)
    weights = [draw.normal(out, inner, 3, 3)[on] for inner, out in pairwise(widths)]
    n = len(on)
    if not n:
        return x
    part = x[on]
    y = part.movedim(1, 0)
    for layer, weight in enumerate(weights):
        y = F.conv2d(y, weight.flatten(0, 1), padding=1, groups=n)
        if layer < len(weights) - 1:
            y = F.leaky_relu(y, 0.1)
    y = mix * _standardise(y.movedim(0, 1)) + (1 - mix) * _standardise(part)
    mean, sd = part.mean(dim=(1, 2, 3), keepdim=True), part.std(dim=(1, 2, 3), keepdim=True)
    return x.index_copy(0, on, _standardise(y) * sd + mean)


def _remap(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Send grey values through a random piecewise linear curve, not always a rising one."""
    if not how.remap:
        return x  # Draws nothing, so that other recipes' batches stay the same.
    on = column(draw.chance(how.remap))
    knots = torch.rand(draw.n, 6, generator=draw.generator)
    low, span = _range(x)
    place = ((x - low) / span).clamp(0, 1) * (knots.shape[1] - 1)
    left = place.floor().clamp(max=knots.shape[1] - 2)
    index = left.long().flatten(1)
    a, b = knots.gather(1, index).view(x.shape), knots.gather(1, index + 1).view(x.shape)
    curved = a + (b - a) * (place - left)
    return torch.where(on, low + curved * span, x)


def _tone(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Send grey values through a random rising curve: another scanner's contrast."""
    if not how.tone:
        return x  # Draws nothing, as in `_remap`.
    on = column(draw.chance(how.tone))
    steps = torch.rand(draw.n, 6, generator=draw.generator) + 0.15
    knots = F.pad(steps.cumsum(dim=1) / steps.sum(dim=1, keepdim=True), (1, 0))
    low, span = _range(x)
    place = ((x - low) / span).clamp(0, 1) * (knots.shape[1] - 1)
    left = place.floor().clamp(max=knots.shape[1] - 2)
    index = left.long().flatten(1)
    a, b = knots.gather(1, index).view(x.shape), knots.gather(1, index + 1).view(x.shape)
    return torch.where(on, low + (a + (b - a) * (place - left)) * span, x)


def _band(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Darken where a smooth phase passes through half a turn, as bSSFP does."""
    if not how.band:
        return x
    depth = draw.uniform(0.3, 0.9) * draw.chance(how.band)
    smooth = draw.normal(1, 4, 4) * math.pi
    phase = F.interpolate(smooth, size=x.shape[-2:], mode="bicubic", align_corners=False)
    width = column(draw.log_uniform(0.05, 0.3))
    near = torch.exp(-(((phase / 2).cos() / width) ** 2))
    low, _ = _range(x)
    return low + (x - low) * (1 - column(depth) * near)


def _fine(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Sharpen: add some of what a blur takes away."""
    if not how.fine:
        return x
    amount = draw.uniform(0.3, 1.5) * draw.chance(how.fine)
    smooth = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return x + column(amount) * (x - smooth)


def _standardise(x: torch.Tensor) -> torch.Tensor:
    dims = (1, 2, 3)
    return (x - x.mean(dim=dims, keepdim=True)) / (x.std(dim=dims, keepdim=True) + 1e-5)


#: In the order in which they act.
STEPS = (
    _random_convolution,
    _remap,
    _tone,
    _gamma,
    _bias,
    _band,
    _contrast,
    _invert,
    _ghost,
    _blur,
    _low_resolution,
    _fine,
    _noise,
)
