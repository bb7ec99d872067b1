"""What a network makes of an image, pooled: numbers by which scans are compared with others.

Means and standard deviations over the pixels of the first convolution of each level of the encoder,
before it is normalised: instance normalisation takes away much of what separates one contrast from
another. They are taken while the network labels the image, so that they cost next to nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import torch

from popscan.segment.networks import bottleneck


def tapped(network: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the modules whose outputs are pooled, finest level first.

    The first convolution of each block of MONAI's DynUNet; of other networks the bottleneck.
    """
    children = dict(network.named_children())
    if {"input_block", "downsamples", "bottleneck"} <= set(children):
        blocks = [children["input_block"], *children["downsamples"].children()]
        blocks.append(children["bottleneck"])
        first = [dict(block.named_children()).get("conv1") for block in blocks]
        if all(module is not None for module in first):
            return [module for module in first if module is not None]
    return [bottleneck(network)]


class Tap:
    """Takes the features of the first pass of each batch through a network.

    A context manager: outside of it the network is as it was.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._modules = tapped(network)
        self._pooled: dict[int, torch.Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        """Begin to take features."""
        for level, module in enumerate(self._modules):
            self._handles.append(module.register_forward_hook(self._hook(level)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the network as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _hook(self, level: int) -> Any:
        def pool(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
            del module, inputs
            if level not in self._pooled:  # Mirrorings and draws of dropout come later.
                flat = output.detach().flatten(2).float()
                self._pooled[level] = torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)

        return pool

    def restart(self) -> None:
        """Forget what was taken: the next pass is the first one of a batch."""
        self._pooled = {}

    def features(self) -> torch.Tensor:
        """Return the features (n, feature) of the pass after `restart`."""
        levels = [self._pooled[level] for level in range(len(self._modules))]
        return torch.cat(levels, dim=1)
