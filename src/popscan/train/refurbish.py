"""Refurbishing: suspicious labels are replaced by the network's, in the middle of a training.

A network learns what most labels agree on before it learns the wrong ones, so that half-way its
own labels are better than those that contradict it most (after Ouyang et al.'s refurbishing of
labels that stand out; here the loss decides which they are, docs/learning.md).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from popscan.records import PopscanError
from popscan.train.checkpoint import TrainState
from popscan.train.recipe import Recipe
from popscan.train.sampler import Sampler
from popscan.train.snapshots import write_snapshot
from popscan.train.suspects import near, network_of

#: The averaged network that decided, so that an interrupted training goes on with the same labels.
FILE = "refurbish.safetensors"


def refurbished(
    recipe: Recipe, sampler: Sampler, network: torch.nn.Module, *, batch: int = 32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the labels of all slices, those that stand out replaced, and which ones these are.

    Parameters
    ----------
    recipe
        With `learning.refurbish`, the share of the labelled slices that is replaced: those of the
        largest loss near the structures. Slices without a label are left alone.
    sampler
        Holds the slices.
    network
        Labels the square of the training patch in the middle of a slice; around it nothing changes.
    batch
        Slices at once.

    Returns
    -------
    labels, rows
        Shape (slices, size, size), and the rows that were replaced, worst first.
    """
    labels = sampler.labels.clone()
    low = (labels.shape[1] - recipe.patch) // 2
    square = slice(low, low + recipe.patch)
    labelled = torch.nonzero((labels > 0).flatten(1).any(dim=1) & (sampler.weights > 0))[:, 0]
    losses, made = [], []
    with torch.inference_mode():
        for rows in labelled.split(batch):
            images, own = sampler.take(rows)
            own = own[:, square, square].long()
            logits = network(images[..., square, square])
            each, inside = F.cross_entropy(logits, own, reduction="none"), near(own)
            losses.append((each * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)))
            made.append(logits.argmax(dim=1).to(labels.dtype))
    order = torch.cat(losses).argsort(descending=True, stable=True)
    worst = order[: round(recipe.learning.refurbish * len(labelled))]
    labels[labelled[worst], square, square] = torch.cat(made)[worst]
    return labels, labelled[worst]


def refurbish(folder: Path, state: TrainState, sampler: Sampler, recipe: Recipe) -> None:
    """Replace labels once `learning.refurbish_after` steps are done; called before every step.

    Raises
    ------
    PopscanError
        If a training goes on behind that step and what decided is gone.
    """
    how, path = recipe.learning, folder / FILE
    if not how.refurbish or sampler.refurbished or state.step < how.refurbish_after:
        return
    if state.step == how.refurbish_after:
        write_snapshot(path, state, recipe)
    if not path.exists():
        raise PopscanError(f"{path} is not there, so the training cannot go on with its labels")
    sampler.labels, _ = refurbished(recipe, sampler, network_of(recipe, path))
    sampler.refurbished = True
