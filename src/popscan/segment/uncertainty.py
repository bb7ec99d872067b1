"""How sure the networks are: entropy, information, flip-risk, temperature, Monte-Carlo dropout.

Tensors have axes (n, label, x, y), probabilities sum to 1 over the labels, background first.
Entropies are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from popscan.records import PopscanError


def predictive_entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (n, x, y) of the mean probabilities: all uncertainty, 0 to ln labels.

    Examples
    --------
    >>> even = torch.full((1, 4, 1, 1), 0.25)
    >>> round(float(predictive_entropy(even)), 4) == round(math.log(4), 4)
    True
    """
    # Several times faster than `torch.special.entr`, and off by less than 1e-10.
    surprise = probabilities.clamp_min(1e-12).log_().mul_(probabilities)
    return surprise.sum(dim=1).neg_().clamp_min_(0)


def mutual_information(samples: torch.Tensor) -> torch.Tensor:
    """Return what the samples disagree about: entropy of their mean less their mean entropy.

    The part of the uncertainty that is the model's (another training would say otherwise), not
    the image's (Houlsby et al. 2011, arXiv:1112.5745; Gal 2016).

    Parameters
    ----------
    samples
        Probabilities of each sample, shape (sample, n, label, x, y).

    Returns
    -------
    Shape (n, x, y), 0 where all samples agree.
    """
    each = torch.stack([predictive_entropy(sample) for sample in samples]).mean(dim=0)
    return (predictive_entropy(samples.mean(dim=0)) - each).clamp_min(0)


def flip_risk(probabilities: torch.Tensor) -> torch.Tensor:
    """Return how unsure it is which structure a voxel is, given that it is one: 0 to 1.

    Entropy of the foreground labels' probabilities among themselves, over the logarithm of their
    number; after the flip-risk of Achara et al., "label flips" of semantic segmentation. The border
    of a structure to the background does not raise it, the border between two structures does.
    """
    foreground = probabilities[:, 1:].clamp_min(0)
    among = foreground / foreground.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return predictive_entropy(among) / math.log(foreground.shape[1])


def most_likely(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the likeliest label (n, x, y) as uint8; the lowest of several equal ones.

    One comparison per label over whole planes: many times faster than an argmax over an axis
    that is not the innermost.
    """
    best = probabilities[:, 0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for label in range(1, probabilities.shape[1]):
        above = probabilities[:, label] > best
        labels[above] = label
        best = torch.maximum(best, probabilities[:, label])
    return labels


def temper(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return probabilities after temperature scaling: above 1 less sure, below 1 surer.

    Applied to the mean of all samples, which is where an ensemble has to be calibrated (Guo et al.,
    ICML 2017; Rahaman and Thiery, NeurIPS 2021). The likeliest label stays the likeliest.

    Raises
    ------
    PopscanError
        If the temperature is not positive.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise PopscanError(f"temperature {temperature!r} is not a positive number")
    if temperature == 1.0:
        return probabilities
    powered = probabilities.clamp_min(0).pow(1.0 / temperature)
    return powered / powered.sum(dim=1, keepdim=True)


@contextmanager
def dropped(network: torch.nn.Module, *, rate: float, seed: int) -> Iterator[None]:
    """Silence random feature channels of a network: one draw of Monte-Carlo dropout.

    The network's own dropout layers are used where it has any that do something (a rate above 0);
    else the outputs of its deepest convolutions (at least half as many channels as the widest), as
    in dropout injection (Ledda et al., Information Sciences 2023). A draw silences the same
    channels for every slice, so that it stands for one network and volumes of one draw belong
    together (Gal and Ghahramani, ICML 2016).

    Parameters
    ----------
    network
        In evaluation mode; unchanged afterwards.
    rate
        Share of the channels, 0 up to 1.
    seed
        Which draw.
    """
    if not 0 <= rate < 1:
        raise PopscanError(f"dropout rate {rate!r} is not between 0 and 1")
    masks: dict[int, torch.Tensor] = {}

    def hook(index: int, axis: int) -> Any:
        def silence(_module, _inputs, output: torch.Tensor) -> torch.Tensor:
            if index not in masks:
                rng = np.random.default_rng([seed, index])
                kept = (rng.random(output.shape[axis]) >= rate) / (1.0 - rate)
                masks[index] = torch.tensor(kept, dtype=torch.float32)
            mask = masks[index].to(output.device, output.dtype)
            shape = [1] * output.ndim
            shape[axis] = -1
            return output * mask.view(shape)

        return silence

    places = enumerate(_droppable(network))
    handles = [m.register_forward_hook(hook(i, axis)) for i, (m, axis) in places]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _droppable(network: torch.nn.Module) -> list[tuple[torch.nn.Module, int]]:
    """Return modules whose outputs are silenced, each with the axis of its channels.

    What follows a linear layer, as in transformers, has its channels last.
    """
    convolutions: list[torch.nn.Conv2d | torch.nn.Conv3d] = []
    own: list[tuple[torch.nn.Module, int]] = []
    axis = 1
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            axis = -1
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
            axis = 1
            convolutions.append(module)
        elif isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0:
            own.append((module, axis))
    widest = max((m.out_channels for m in convolutions), default=0)
    return own or [(m, 1) for m in convolutions if m.out_channels >= widest / 2]
