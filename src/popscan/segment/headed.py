"""Classification and regression: a linear head on the bottleneck of any network of slices."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from popscan.segment.networks import bottleneck, build_network, n_channels, stride


class _ReachedError(Exception):
    """The bottleneck was reached: what comes behind it is not computed."""


class Headed(torch.nn.Module):
    """The encoder of a segmentation network, mean, largest and SD of its features over the slice.

    Maps ``(n, channels, x, y)`` to ``(n, outputs)``. The decoder is part of the network, so that
    its weights can be those of a segmentation model, and is never run.
    """

    def __init__(self, network: torch.nn.Module, n_outputs: int, *, channels: int, side: int):
        super().__init__()
        self.network = network
        self._features: torch.Tensor | None = None
        bottleneck(network).register_forward_hook(self._keep)
        with torch.no_grad():
            width = int(self.encode(torch.zeros(1, channels, side, side)).shape[1])
        self.head = torch.nn.Linear(width, n_outputs)

    def _keep(self, module: torch.nn.Module, given: Any, features: torch.Tensor) -> None:
        self._features = features
        raise _ReachedError

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of slices, shape (n, width)."""
        with contextlib.suppress(_ReachedError):
            self.network(images)
        features, self._features = self._features, None
        assert features is not None
        pixels = features.flatten(2)
        # Networks normalise every channel of every slice: its mean alone says hardly anything.
        return torch.cat([pixels.mean(dim=2), pixels.amax(dim=2), pixels.std(dim=2)], dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs of slices, shape (n, outputs)."""
        return self.head(self.encode(images).float())


def build_headed(architecture: str, n_outputs: int, **arguments: Any) -> Headed:
    """Return an encoder by the name of its architecture, with a head of `n_outputs`.

    Raises
    ------
    PopscanError
        As `popscan.segment.networks.build_network` does.
    """
    network = build_network(architecture, 2, **arguments)
    side = 2 * stride(arguments)
    return Headed(network, n_outputs, channels=n_channels(arguments), side=side)
