"""Augmentation of whole batches in torch: one resampling for all geometry, then intensities.

Every step draws per slice whether and how strongly it acts, all from one generator, so a batch
is a function of (slices, generator state) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F

from popscan.segment.networks import by_phase


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Probabilities per slice and ranges.

    Attributes
    ----------
    turn_any, turn_deg
        Probability of a rotation by any angle; else within +- `turn_deg`.
    flip
        Probability of mirroring, per axis.
    scale, stretch, shear, shift_px
        Zoom range; log-range of the ratio of the axes; range of the shear; largest shift.
    elastic, elastic_px
        Probability and standard deviation of a smooth displacement.
    gamma, contrast, bias, noise, blur, low_resolution, ghost, invert, random_convolution, remap
        Probability of each change of the intensities; `remap` gives every grey value another one
        by a smooth random curve, as another contrast than bSSFP would.
    gamma_range, contrast_range, bias_log, noise_sd, blur_px, low_resolution_range
        Their ranges.
    tone, band, fine
        Probability of each change of another scanner's look: a random rising curve of the grey
        values; dark bands as of a field off its resonance (bSSFP); sharpening, as of a filter.
    context_flip, context_drop, context_blend
        Probability of the neighbouring slices in reverse order, and per side of their absence
        (the slice itself instead) and of being mixed with the slice itself, as neighbours at a
        smaller distance would look.
    context_shift_px
        Standard deviation of the neighbours' displacement, as between two breath-holds.
    phase_drop
        Probability that the opposite phase, where a network sees it, is the slice's own instead.
    """

    turn_any: float = 0.4
    turn_deg: float = 30.0
    flip: float = 0.5
    scale: tuple[float, float] = (0.7, 1.4)
    stretch: float = 0.12
    shear: float = 0.1
    shift_px: float = 20.0
    elastic: float = 0.3
    elastic_px: float = 2.5
    gamma: float = 0.4
    gamma_range: tuple[float, float] = (0.6, 1.7)
    contrast: float = 0.4
    contrast_range: tuple[float, float] = (0.6, 1.5)
    bias: float = 0.35
    bias_log: float = 0.35
    noise: float = 0.3
    noise_sd: float = 0.08
    blur: float = 0.2
    blur_px: tuple[float, float] = (0.4, 1.4)
    low_resolution: float = 0.15
    low_resolution_range: tuple[float, float] = (1.2, 2.2)
    ghost: float = 0.06
    invert: float = 0.03
    random_convolution: float = 0.15
    remap: float = 0.0
    tone: float = 0.0
    band: float = 0.0
    fine: float = 0.0
    context_flip: float = 0.5
    context_drop: float = 0.15
    context_blend: float = 0.0
    context_shift_px: float = 1.5
    phase_drop: float = 0.0


class Draws:
    """Draws for a batch from one generator."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n = n
        self.generator = generator

    def uniform(self, low: float, high: float) -> torch.Tensor:
        """Return (n,) uniform draws."""
        return low + (high - low) * torch.rand(self.n, generator=self.generator)

    def log_uniform(self, low: float, high: float) -> torch.Tensor:
        """Return (n,) draws, uniform in the logarithm."""
        return self.uniform(math.log(low), math.log(high)).exp()

    def chance(self, probability: float) -> torch.Tensor:
        """Return (n,) bool, each true with `probability`."""
        return torch.rand(self.n, generator=self.generator) < probability

    def normal(self, *shape: int) -> torch.Tensor:
        """Return (n, *shape) standard normal draws."""
        return torch.randn(self.n, *shape, generator=self.generator)


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


def _col(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


def _range(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = x.amin(dim=(1, 2, 3), keepdim=True), x.amax(dim=(1, 2, 3), keepdim=True)
    return low, (high - low).clamp_min(1e-3)


def _gamma(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    power = torch.where(draw.chance(how.gamma), draw.log_uniform(*how.gamma_range), 1.0)
    low, span = _range(x)
    return ((x - low) / span).clamp_min(1e-6) ** _col(power) * span + low


def _contrast(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    on = draw.chance(how.contrast)
    factor = torch.where(on, draw.log_uniform(*how.contrast_range), 1.0)
    shift = torch.where(on, draw.uniform(-0.2, 0.2), 0.0)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * _col(factor) + mean + _col(shift)


def _bias(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    coarse = draw.normal(1, 4, 4) * how.bias_log * _col(draw.chance(how.bias))
    field = F.interpolate(coarse, size=x.shape[-2:], mode="bicubic", align_corners=False)
    return x * field.exp()


def _noise(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    sd = draw.uniform(0.01, how.noise_sd) * draw.chance(how.noise)
    return x + draw.normal(*x.shape[1:]) * _col(sd)


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
    return x + _col(strength) * x.roll(x.shape[axis] // copies, dims=axis)


def _invert(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    low, span = _range(x)
    return torch.where(_col(draw.chance(how.invert)), 2 * low + span - x, x)


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
    on = _col(draw.chance(how.remap))
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
    on = _col(draw.chance(how.tone))
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
    width = _col(draw.log_uniform(0.05, 0.3))
    near = torch.exp(-(((phase / 2).cos() / width) ** 2))
    low, _ = _range(x)
    return low + (x - low) * (1 - _col(depth) * near)


def _fine(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Sharpen: add some of what a blur takes away."""
    if not how.fine:
        return x
    amount = draw.uniform(0.3, 1.5) * draw.chance(how.fine)
    smooth = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return x + _col(amount) * (x - smooth)


def _standardise(x: torch.Tensor) -> torch.Tensor:
    dims = (1, 2, 3)
    return (x - x.mean(dim=dims, keepdim=True)) / (x.std(dim=dims, keepdim=True) + 1e-5)


_INTENSITY_STEPS = (
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


def _neighbours(x: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Reverse or drop what is around slices (n, phases, 1 + 2 context, size, size)."""
    if x.shape[1] > 1:
        x = torch.where(_col(draw.chance(how.phase_drop))[..., None], x[:, :1], x)
    middle = x.shape[2] // 2
    if not middle:
        return x
    x = torch.where(_col(draw.chance(how.context_flip))[..., None], x.flip(2), x)
    alone = x[:, :, middle : middle + 1]
    sides = [x[:, :, :middle], x[:, :, middle + 1 :]]
    dropped = [_col(draw.chance(how.context_drop))[..., None] for _ in sides]
    if how.context_blend:
        on = [draw.chance(how.context_blend) * draw.uniform(0.2, 0.7) for _ in sides]
        shares = [_col(share)[..., None] for share in on]
        sides = [side + (alone - side) * k for side, k in zip(sides, shares, strict=True)]
    below, above = (torch.where(d, alone, s) for d, s in zip(dropped, sides, strict=True))
    return torch.cat([below, alone, above], dim=2)


def _resample(x: torch.Tensor, grid: torch.Tensor, draw: Draws, how: Augmentation) -> torch.Tensor:
    """Sample slices and their neighbours; the neighbours each a little displaced.

    All phases of a slice are from one breath-hold, so they are displaced alike.
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
        `popscan.segment.networks` tells.
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
    for step in _INTENSITY_STEPS:
        x = step(x, draw, how)
    return x, y[:, 0].long()
