"""What a segmentation network knows of a slice at its bottleneck, and where it looked for it.

Any network will do: the bottleneck is found by running it, as the last tensor at the smallest
in-plane size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.records import PopscanError


@contextmanager
def _hooked(
    network: torch.nn.Module, seen: Callable[[torch.nn.Module, torch.Tensor], None]
) -> Iterator[None]:
    def hook(module: torch.nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            seen(module, output)

    handles = [module.register_forward_hook(hook) for module in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def bottleneck(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the last tensor at the smallest in-plane size, (n, channels, x, y).

    Parameters
    ----------
    network
        In evaluation mode.
    images
        Shape (n, channels, x, y) as the network takes them.

    Returns
    -------
    torch.Tensor
        With its graph, if gradients are on.

    Raises
    ------
    PopscanError
        If the network has no convolution whose output has two in-plane axes.
    """
    return _run(network, images)[0]


def _run(network: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bottleneck and output of one pass."""
    tensors: list[torch.Tensor] = []
    sizes: set[tuple[int, ...]] = set()

    def seen(module: torch.nn.Module, output: torch.Tensor) -> None:
        # Convolutions show which two axes are in-plane; transformers also have channels last.
        if isinstance(module, torch.nn.Conv2d):
            sizes.add(tuple(output.shape[2:]))
        tensors.append(output)

    with _hooked(network, seen):
        output = network(images)
    if not sizes:
        raise PopscanError("the network has no 2D convolution: it has no bottleneck to look into")
    smallest = min(sizes, key=lambda size: size[0] * size[1])
    deepest = [t for t in tensors if tuple(t.shape[2:]) == smallest][-1]
    return deepest, output


def pooled(features: torch.Tensor) -> torch.Tensor:
    """Return mean and standard deviation of every channel over the slice, (n, 2 channels)."""
    mean = features.mean(dim=(2, 3))
    # The variance of a single pixel is 0, its root has no gradient there.
    spread = (features.var(dim=(2, 3), unbiased=False) + 1e-8).sqrt()
    return torch.cat([mean, spread], dim=1)


def latent_features(network: torch.nn.Module, images: torch.Tensor) -> NDArray[np.float32]:
    """Return one subject's features: pooled bottleneck, mean over its slices.

    Parameters
    ----------
    network
        In evaluation mode.
    images
        Slices of one subject, (n, channels, x, y).

    Returns
    -------
    ndarray of float32, shape (2 channels of the bottleneck,)
        Means, then standard deviations.
    """
    with torch.inference_mode():
        return pooled(bottleneck(network, images).float()).mean(dim=0).cpu().numpy()


def saliencies(
    network: torch.nn.Module, images: torch.Tensor, directions: Sequence[NDArray[np.floating]]
) -> list[NDArray[np.float32]]:
    """Return where the segmentation looks, then where attributes are predicted from.

    Gradient times input, in absolute value: of the logits of all pixels of the organ, and of
    each attribute's score, which is linear in the latent features.

    Parameters
    ----------
    network
        In evaluation mode.
    images
        Slices of one subject, (n, channels, x, y).
    directions
        Weights of the latent features in the score of each attribute.

    Returns
    -------
    list of ndarray of float32, shape (n, x, y)
        The task's, then one per direction; summed over input channels.
    """
    x = images.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        deepest, logits = _run(network, x)
        latent = pooled(deepest.float()).mean(dim=0)
        best, label = logits.float().max(dim=1)
        weights = [torch.as_tensor(np.asarray(d), dtype=torch.float32) for d in directions]
        targets = [(best * (label > 0)).sum(), *(latent @ w.to(latent.device) for w in weights)]
        maps = []
        for target in targets:
            (gradient,) = torch.autograd.grad(target, x, retain_graph=True)
            maps.append((gradient * x).abs().sum(dim=1).detach().cpu().numpy())
    return maps
