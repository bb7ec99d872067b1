"""What an augmentation does how often, and the draws that decide for a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


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
