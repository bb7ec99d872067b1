"""One step of training: a batch's loss, as the recipe defines it, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import torch

from popscan.records import PopscanError
from popscan.train.adversarial import harden
from popscan.train.augment import augment
from popscan.train.checkpoint import TrainState, learning_rate, update_average
from popscan.train.fields import FieldSampler, deformation_loss
from popscan.train.groups import group_loss, head_loss, watched
from popscan.train.kspace import SweepSampler, undersampled_loss
from popscan.train.losses import LOSSES
from popscan.train.pairs import PairSampler, pair_loss
from popscan.train.partial import dropped, partial_loss
from popscan.train.points import PointSampler, implicit_loss
from popscan.train.private import own_slices, private_gradients
from popscan.train.recipe import Recipe
from popscan.train.sampler import Sampler
from popscan.train.series import SeriesSampler, series_loss
from popscan.train.targets import reconstruction_loss, target_loss

if TYPE_CHECKING:
    from popscan.register.architectures import Registers
    from popscan.segment.hierarchical import Hierarchical

#: What draws the batches of a task.
AnySampler = Sampler | SweepSampler | PairSampler | FieldSampler | PointSampler


def batch_loss(
    state: TrainState,
    sampler: Sampler,
    recipe: Recipe,
    *,
    images: torch.Tensor,
    labels: torch.Tensor,
    picked: torch.Tensor,
) -> torch.Tensor:
    """Return the loss of a batch of slices `picked` by the sampler, as the recipe defines it."""
    groups, how = state.groups, recipe.mitigation
    device = next(state.network.parameters()).device
    images, labels = images.to(device), labels.to(device)
    if recipe.task == "probabilistic":
        return drawn_loss(state, recipe, images=images, labels=labels)
    with (
        watched(state.network, on=groups is not None and groups.head is not None) as features,
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.autocast),
    ):
        logits = state.network(images)
    if recipe.task == "reconstruct":
        return reconstruction_loss(logits, images)
    if sampler.targets is not None:
        return target_loss(logits, sampler.targets[picked].to(device), task=recipe.task)
    loss = partial(LOSSES[recipe.loss], **recipe.loss_arguments)
    if sampler.shown is not None:
        loss = _of_shown(sampler.shown[picked], recipe, state.generator, device=device)
    if groups is None:
        return loss(logits.float(), labels)
    codes, shares = sampler.group[picked].to(device), sampler.group_shares.to(device)
    sizes = sampler.group_sizes.to(device)
    total = group_loss(
        loss, logits.float(), labels, codes, how=how, state=groups, shares=shares, sizes=sizes
    )
    if groups.head is not None:
        done = state.step / max(1, recipe.steps)
        total = total + head_loss(
            features[0], codes, how=how, state=groups, shares=shares, progress=done
        )
    return total


def drawn_loss(
    state: TrainState, recipe: Recipe, *, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the losses of a draw of the posterior and of the prior's means, plus divergence.

    With a weight of the means it is the hybrid of Sohn et al. (NeurIPS 2015): from the posterior
    alone a network learns to read labels off the latent variables long before off the image.
    """
    network = cast("Hierarchical", state.network)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=recipe.autocast):
        drawn, mean, apart = network.explained(images, labels, state.generator)
    loss = partial(LOSSES[recipe.loss], **recipe.loss_arguments)
    total = loss(drawn.float(), labels)
    if recipe.mean_weight:
        total = total + recipe.mean_weight * loss(mean.float(), labels)
    return total + recipe.latent_weight * apart.mean() / labels[0].numel()


def _of_shown(
    shown: torch.Tensor, recipe: Recipe, generator: torch.Generator, *, device: torch.device
) -> partial[torch.Tensor]:
    """Return the loss of slices whose label maps show `shown` (n, label), some of it dropped."""
    how = recipe.learning
    return partial(
        partial_loss,
        shown=dropped(shown, how.label_dropout, generator).to(device),
        missing=how.missing,
        exclusive=how.exclusive,
        **recipe.loss_arguments,
    )


def _slice_loss(
    state: TrainState, sampler: Sampler, recipe: Recipe, picked: torch.Tensor
) -> torch.Tensor:
    """Change the appearance of the slices `picked` and return their loss."""
    return _loss_of(state, sampler, recipe, picked)()


def _loss_of(
    state: TrainState, sampler: Sampler, recipe: Recipe, picked: torch.Tensor
) -> Callable[[], torch.Tensor]:
    """Change the appearance of the slices `picked`; return what computes their loss."""
    images, labels = sampler.take(picked)
    images, labels = augment(
        images, labels, how=recipe.augmentation, patch=recipe.patch, generator=state.generator
    )
    if recipe.adversarial and torch.rand((), generator=state.generator) < recipe.adversarial:
        images, labels = harden(
            state.network.eval(),
            images.to(device := next(state.network.parameters()).device),
            labels.to(device),
            generator=state.generator,
            **recipe.adversarial_arguments,
        )
    state.network.train()
    return partial(batch_loss, state, sampler, recipe, images=images, labels=labels, picked=picked)


def _private_step(state: TrainState, sampler: Sampler, recipe: Recipe) -> float:
    """Write the private gradient of a step into the network; return the loss."""

    def own(subject: int) -> Callable[[], torch.Tensor] | None:
        picked = own_slices(recipe.private, sampler, subject, seed=recipe.seed, step=state.step)
        return _loss_of(state, sampler, recipe, picked) if len(picked) else None

    return private_gradients(
        own, list(state.network.parameters()), recipe.private,
        n=sampler.n_subjects, seed=recipe.seed, step=state.step, generator=state.generator,
    )  # fmt: skip


def _drawn_loss(state: TrainState, sampler: AnySampler, recipe: Recipe) -> torch.Tensor:
    """Draw a batch and return its loss."""
    if isinstance(sampler, Sampler):
        picked = sampler.pick(recipe.batch, state.generator)
        return _slice_loss(state, sampler, recipe, picked)
    network = state.network.train()
    if isinstance(sampler, PairSampler):
        pairs = sampler.draw(recipe.batch, state.generator)
        return pair_loss(cast("Registers", network), pairs, autocast=recipe.autocast)
    if isinstance(sampler, FieldSampler):
        gradients = sampler.draw(recipe.batch, state.generator)
        return deformation_loss(network, gradients, state.generator, **recipe.loss_arguments)
    if isinstance(sampler, PointSampler):
        points = sampler.draw(recipe.batch, state.generator)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.autocast):
            return implicit_loss(network, points, **recipe.loss_arguments)
    if isinstance(sampler, SeriesSampler):
        series = sampler.draw_series(recipe.batch, state.generator)
        return series_loss(network, series, how=recipe.undersampling, autocast=recipe.autocast)
    examples = sampler.draw(recipe.batch, state.generator)
    return undersampled_loss(network, examples, autocast=recipe.autocast)


def train_step(state: TrainState, sampler: AnySampler, recipe: Recipe) -> float:
    """Do one step and return its loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    if isinstance(sampler, Sampler) and recipe.private.noise:
        value = _private_step(state, sampler, recipe)
    else:
        value = _backward(state, _drawn_loss(state, sampler, recipe), recipe)
    state.optimiser.step()
    state.step += 1
    update_average(state, recipe.ema_decay)
    return value


def _backward(state: TrainState, loss: torch.Tensor, recipe: Recipe) -> float:
    """Write the gradient of a loss into the network; return the loss.

    Raises
    ------
    PopscanError
        If one of them is not finite: all weights would be lost with it.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise PopscanError(
            f"recipe {recipe.name!r}: the loss of step {state.step + 1} is {value}; the training "
            "stops before it (try a smaller learning_rate)"
        )
    state.optimiser.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip_norm)
    if not math.isfinite(float(norm)):
        raise PopscanError(
            f"recipe {recipe.name!r}: the gradient of step {state.step + 1} is not finite; the "
            "training stops before it (try a smaller learning_rate)"
        )
    return value
