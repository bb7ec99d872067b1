"""A network that draws segmentations: latent variables on several scales of a U-Net.

After PHiSeg (Baumgartner et al., MICCAI 2019, arXiv:1906.04045) and the hierarchical probabilistic
U-Net (Kohl et al. 2019, arXiv:1905.13077): on each of the coarser scales stands a map of Gaussian
variables, whose distribution depends on the image and on what was drawn on the scales below. While
it is trained, a second encoder that sees the labels, too, says what the variables would have to be
(the posterior); drawn from the first alone (the prior), they give segmentations that the image
allows. Unlike PHiSeg's, the decoder sees features of the image beside the variables, and both
distributions share it: a small network then learns in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

#: Least standard deviation of a latent variable.
_LEAST_SD = 1e-3


def _block(n_in: int, n_out: int) -> torch.nn.Sequential:
    """Return two convolutions, each normalised slice by slice."""
    layers: list[torch.nn.Module] = []
    for n in (n_in, n_out):
        layers += [
            torch.nn.Conv2d(n, n_out, 3, padding=1),
            torch.nn.InstanceNorm2d(n_out, affine=True),
            torch.nn.LeakyReLU(0.01, inplace=True),
        ]
    return torch.nn.Sequential(*layers)


class _Gaussian(torch.nn.Module):
    """Mean and standard deviation of a map of latent variables, from features."""

    def __init__(self, n_in: int, width: int, n_latent: int) -> None:
        super().__init__()
        self.features = _block(n_in, width)
        self.numbers = torch.nn.Conv2d(width, 2 * n_latent, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, spread = self.numbers(self.features(x)).float().chunk(2, dim=1)
        return mean, functional.softplus(spread) + _LEAST_SD


def divergence(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Return KL(one, other) of two Gaussian maps (mean, sd), summed over all but the first axis."""
    (mean, sd), (mean_to, sd_to) = one, other
    each = (sd_to / sd).log() + (sd**2 + (mean - mean_to) ** 2) / (2 * sd_to**2) - 0.5
    return each.flatten(1).sum(dim=1)


class Hierarchical(torch.nn.Module):
    """A U-Net with latent variables on its coarser levels.

    Maps images ``(n, n_in, x, y)`` to logits ``(n, n_labels, x, y)``; called, it takes the means of
    the prior and draws nothing.

    Parameters
    ----------
    n_in, n_labels
        Channels of the image, and labels, background included.
    channels
        Feature channels per level, finest first.
    latents
        Latent variables per pixel of a level.
    latent_levels
        Levels that have them, from the coarsest on.
    """

    def __init__(
        self,
        n_in: int,
        n_labels: int,
        *,
        channels: Sequence[int],
        latents: int = 2,
        latent_levels: int = 4,
    ) -> None:
        super().__init__()
        depth = len(channels)
        if not 1 <= latent_levels <= depth:
            raise ValueError(f"latent_levels: 1 to {depth}, the number of channels")
        self.n_labels, self.latents = n_labels, latents
        self.first_latent = depth - latent_levels
        ins = [n_in, *channels[:-1]]
        self.encoder = torch.nn.ModuleList(
            _block(a, b) for a, b in zip(ins[:-1], channels[:-1], strict=True)
        )
        self.bottleneck = _block(ins[-1], channels[-1])
        seen = [n_in + n_labels, *channels[:-1]]
        self.posterior_encoder = torch.nn.ModuleList(
            _block(a, b) for a, b in zip(seen, channels, strict=True)
        )
        self.decoder = torch.nn.ModuleList(
            _block(channels[level] + channels[level + 1] + self._drawn(level + 1), channels[level])
            for level in range(depth - 1)
        )
        levels = range(self.first_latent, depth)
        width = min(channels)
        self.prior = torch.nn.ModuleList(_Gaussian(channels[k], width, latents) for k in levels)
        self.posterior = torch.nn.ModuleList(
            _Gaussian(2 * channels[k], width, latents) for k in levels
        )
        self.output = torch.nn.Conv2d(channels[0] + self._drawn(0), n_labels, 1)

    def _drawn(self, level: int) -> int:
        """Return how many latent channels a level has."""
        return self.latents if level >= self.first_latent else 0

    def _seen(self, images: torch.Tensor) -> list[torch.Tensor]:
        features: list[torch.Tensor] = []
        x = images
        for block in (*self.encoder, self.bottleneck):
            x = block(x if not features else functional.max_pool2d(x, 2))
            features.append(x)
        return features

    def _decoded(
        self,
        features: Sequence[torch.Tensor],
        latent: Callable[[int, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Return logits; `latent` gives a level's variables, from its number and features."""
        depth = len(features)
        x = features[-1]
        for level in reversed(range(depth)):
            if level < depth - 1:
                up = functional.interpolate(x, scale_factor=2.0, mode="nearest")
                x = self.decoder[level](torch.cat([features[level], up], dim=1))
            if self._drawn(level):
                x = torch.cat([x, latent(level, x).to(x.dtype)], dim=1)
        logits: torch.Tensor = self.output(x)
        return logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits that belong to the means of the latent variables."""
        return self._decoded(self._seen(images), self._mean)

    def _mean(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """Return the means of a level's prior."""
        mean: torch.Tensor = self.prior[level - self.first_latent](x)[0]
        return mean

    def sample(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the logits of one draw.

        Every slice has draws of its own; `generator` is one of the CPU.
        """

        def latent(level: int, x: torch.Tensor) -> torch.Tensor:
            mean, sd = self.prior[level - self.first_latent](x)
            return mean + sd * _noise(mean, generator)

        return self._decoded(self._seen(images), latent)

    def explained(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits of a draw of the posterior and of the prior's means, and their divergence.

        Parameters
        ----------
        images
            (n, n_in, x, y).
        labels
            (n, x, y), integer.
        generator
            Of the CPU.

        Returns
        -------
        Logits (n, n_labels, x, y) of both, and nats (n,), summed over all latent variables.
        """
        onehot = functional.one_hot(labels, self.n_labels).movedim(-1, 1).to(images.dtype)
        shown: list[torch.Tensor] = []
        x = torch.cat([images, onehot - 0.5], dim=1)
        for block in self.posterior_encoder:
            x = block(x if not shown else functional.max_pool2d(x, 2))
            shown.append(x)
        apart: list[torch.Tensor] = []

        def latent(level: int, x: torch.Tensor) -> torch.Tensor:
            at = level - self.first_latent
            mean, sd = self.posterior[at](torch.cat([x, shown[level]], dim=1))
            apart.append(divergence((mean, sd), self.prior[at](x)))
            return mean + sd * _noise(mean, generator)

        features = self._seen(images)
        logits = self._decoded(features, latent)
        return logits, self._decoded(features, self._mean), torch.stack(apart).sum(dim=0)


def _noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return standard normal draws, the same on every device."""
    return torch.randn(like.shape, generator=generator).to(like.device)
