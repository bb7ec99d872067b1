"""Training that knows of groups: their weights in the loss, and a classifier of the groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from popscan.records import PopscanError
from popscan.segment.networks import bottleneck
from popscan.train.mitigation import Mitigation

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_HIDDEN = 32


@dataclass
class GroupState:
    """What a training knows of its groups between two steps.

    Attributes
    ----------
    names
        The groups, in the order of their codes.
    dro : Tensor, shape (groups,)
        Weights of Group DRO; they add up to 1.
    head
        Classifier of the groups, where there is one.
    """

    names: tuple[str, ...]
    dro: torch.Tensor
    head: torch.nn.Module | None = None


class _Reverse(torch.autograd.Function):
    """Identity whose gradient is turned round (Ganin et al. 2016)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: float) -> torch.Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.weight * gradients[0], None


@contextmanager
def watched(network: torch.nn.Module, *, on: bool = True) -> Iterator[list[torch.Tensor]]:
    """Collect the bottleneck's output of every forward pass made within; nothing if not `on`."""
    seen: list[torch.Tensor] = []
    if not on:
        yield seen
        return
    handle = bottleneck(network).register_forward_hook(lambda *args: seen.append(args[2]))
    try:
        yield seen
    finally:
        handle.remove()


def new_groups(
    how: Mitigation,
    names: Sequence[str],
    network: torch.nn.Module,
    *,
    shape: tuple[int, int, int, int],
) -> GroupState | None:
    """Return the state before the first step; None where the recipe knows no groups.

    Parameters
    ----------
    how
        The recipe's mitigation.
    names
        Groups of the training slices.
    network
        Its bottleneck's width is found by a forward pass.
    shape
        Of a batch of images, (n, channels, x, y).
    """
    if not how.attribute:
        return None
    head = None
    if how.has_head:
        with torch.no_grad(), watched(network) as seen:
            network(torch.zeros(shape))
        width = int(seen[0].shape[1])
        head = torch.nn.Sequential(
            torch.nn.Linear(width, _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, len(names))
        )
    return GroupState(tuple(names), torch.full((len(names),), 1 / len(names)), head)


def group_loss(
    loss: Loss,
    logits: torch.Tensor,
    labels: torch.Tensor,
    codes: torch.Tensor,
    *,
    how: Mitigation,
    state: GroupState,
    shares: torch.Tensor,
    sizes: torch.Tensor,
) -> torch.Tensor:
    """Return the loss of a batch with the groups' weights; moves those of Group DRO.

    Parameters
    ----------
    loss
        Function of logits and labels of any number of slices.
    logits, labels
        (n, label, x, y) and (n, x, y).
    codes
        Group of each slice, (n,).
    how, state
        What is to be done, and where it stands.
    shares, sizes
        How often each group is drawn (adding up to 1), and its number of subjects; (groups,).
    """
    if not (how.reweigh or how.dro_step):
        return loss(logits, labels)
    present = codes.unique()
    losses = torch.stack([loss(logits[codes == g], labels[codes == g]) for g in present])
    if how.reweigh:
        # In expectation every group counts alike, however rarely it is drawn.
        batch = torch.stack([(codes == g).float().mean() for g in present])
        return (losses * batch / (len(shares) * shares[present])).sum()
    with torch.no_grad():
        penalised = losses.detach() + how.dro_adjustment / sizes[present].sqrt()
        state.dro[present] *= (how.dro_step * penalised).exp()
        state.dro /= state.dro.sum()
    return (losses * state.dro[present]).sum()


def head_loss(
    features: torch.Tensor,
    codes: torch.Tensor,
    *,
    how: Mitigation,
    state: GroupState,
    shares: torch.Tensor,
    progress: float,
) -> torch.Tensor:
    """Return the classifier's loss on bottleneck features (n, c, x, y).

    Against the network (`adversary`) its reversed gradient grows over the first part of the
    training, as in Ganin et al. 2016; `progress` is 0 to 1. Rare groups count as much as others.
    """
    assert state.head is not None
    pooled = features.float().mean(dim=(2, 3))
    if how.adversary:
        ramp = 2 / (1 + math.exp(-10 * progress)) - 1
        pooled = _Reverse.apply(pooled, how.adversary * ramp)
    weights = 1 / (len(shares) * shares)
    found = F.cross_entropy(state.head(pooled), codes, weight=weights)
    return found * (1.0 if how.adversary else how.classifier)


def group_codes(
    values: Sequence[str], *, attribute: str, where: str
) -> tuple[tuple[str, ...], torch.Tensor]:
    """Return the groups' names, sorted, and the code of each value.

    Raises
    ------
    PopscanError
        If there is nothing.
    """
    if not len(values):
        raise PopscanError(f"{where}: no slice has an attribute {attribute!r}")
    names = tuple(sorted(set(map(str, values))))
    index = {name: code for code, name in enumerate(names)}
    return names, torch.tensor([index[str(value)] for value in values])
