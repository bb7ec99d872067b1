"""Segmentations of which a network draws several: what is drawn, and how much the draws differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.records import PopscanError
from popscan.segment.bundle import Bundle
from popscan.segment.hierarchical import Hierarchical
from popscan.segment.uncertainty import dropped

#: Name of a draw, and what gives its probabilities (n, label, x, y) of images (n, channel, x, y).
Draw = tuple[str, Callable[[torch.Tensor], torch.Tensor]]

_FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


def latent_draws(
    bundle: Bundle, n: int, *, precision: torch.dtype = torch.float32
) -> Iterator[Draw]:
    """Yield `n` draws of the latent variables of every member; their seeds are 0, 1, ...

    Raises
    ------
    PopscanError
        If a network of the bundle draws nothing.
    """
    for number, network in enumerate(bundle.networks):
        if not isinstance(network, Hierarchical):
            raise PopscanError(
                f"model {bundle.name}: {type(network).__name__} draws no segmentations; a bundle "
                "of architecture hierarchical is expected"
            )
        for seed in range(n):

            def draw(
                images: torch.Tensor, network: Hierarchical = network, seed: int = seed
            ) -> torch.Tensor:
                generator = torch.Generator().manual_seed(seed)
                return _softmax(lambda x: network.sample(x, generator), images, precision)

            yield f"member{number} latent-{seed}", draw


def dropout_draws(
    bundle: Bundle, n: int, *, rate: float = 0.1, precision: torch.dtype = torch.float32
) -> Iterator[Draw]:
    """Yield `n` draws of Monte-Carlo dropout of every member."""
    for number, network in enumerate(bundle.networks):
        for seed in range(n):

            def draw(
                images: torch.Tensor, network: torch.nn.Module = network, seed: int = seed
            ) -> torch.Tensor:
                with dropped(network, rate=rate, seed=seed):
                    return _softmax(network, images, precision)

            yield f"member{number} dropout-{seed}", draw


def mirrored_draws(bundle: Bundle, *, precision: torch.dtype = torch.float32) -> Iterator[Draw]:
    """Yield what every member says of each of four mirrorings of the image."""
    for number, network in enumerate(bundle.networks):
        for index, axes in enumerate(_FLIPS):

            def draw(
                images: torch.Tensor,
                network: torch.nn.Module = network,
                axes: tuple[int, ...] = axes,
            ) -> torch.Tensor:
                return _softmax(network, images.flip(axes), precision).flip(axes)

            yield f"member{number} flip-{index}", draw


def _softmax(
    network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, precision: torch.dtype
) -> torch.Tensor:
    low = precision != torch.float32
    with torch.autocast(images.device.type, dtype=precision, enabled=low):
        logits = network(images)
    return logits.float().softmax(dim=1)


def pairwise_dice(samples: NDArray[np.uint8], structures: Mapping[int, str]) -> dict[str, float]:
    """Return the mean Dice of all pairs of samples, per structure.

    One minus it is the part of the generalised energy distance that the samples have among
    themselves: 1 where all agree.

    Parameters
    ----------
    samples
        Labels, shape (sample, ...).
    structures
        Code -> name.

    Returns
    -------
    dict
        Name -> mean Dice; a pair of which one alone lacks the structure counts as 0, NaN where no
        sample has it or there is one sample only.

    Examples
    --------
    >>> pairwise_dice(np.array([[1, 1, 0], [1, 0, 0]], np.uint8), {1: "a"})["a"].__round__(3)
    0.667
    """
    flat = samples.reshape(len(samples), -1)
    found = {}
    for code, name in structures.items():
        inside = flat == int(code)
        inside = inside[:, inside.any(axis=0)].astype(np.float32)
        shared, sizes = inside @ inside.T, inside.sum(axis=1)
        pairs = [
            2.0 * float(shared[i, j]) / float(sizes[i] + sizes[j])
            for i, j in combinations(range(len(flat)), 2)
            if sizes[i] + sizes[j] > 0
        ]
        found[name] = float(np.mean(pairs)) if pairs else math.nan
    return found
