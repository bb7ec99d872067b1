"""The one training loop: resumable at any moment, deterministic by seed."""

from __future__ import annotations

import copy
import csv
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from popscan.records import PopscanError
from popscan.register.network import PairNetwork
from popscan.train.adversarial import harden
from popscan.train.augment import augment
from popscan.train.checkpoint import (
    TrainState,
    learning_rate,
    load_state,
    new_state,
    origin_of,
    save_state,
    update_average,
)
from popscan.train.groups import group_loss, head_loss, watched
from popscan.train.kspace import SweepSampler, undersampled_loss
from popscan.train.losses import LOSSES
from popscan.train.packs import Pack
from popscan.train.pairs import PairSampler, pair_loss
from popscan.train.partial import dropped, partial_loss
from popscan.train.private import check_subjects, own_slices, private_gradients
from popscan.train.recipe import Recipe
from popscan.train.refurbish import refurbish
from popscan.train.sampler import Sampler
from popscan.train.snapshots import keep_snapshot
from popscan.train.sweeps import SweepPack
from popscan.train.targets import Target, reconstruction_loss, target_loss

#: Called with the averaged network now and then; returns numbers for the learning curve.
Validate = Callable[[torch.nn.Module], Mapping[str, float]]

#: What draws the batches of a task.
AnySampler = Sampler | SweepSampler | PairSampler

CHECKPOINT = "checkpoint.safetensors"
CURVE = "curve.csv"
_COLUMNS = ("step", "loss", "learning_rate", "validation_dice", "seconds")


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
    return batch_loss(state, sampler, recipe, images=images, labels=labels, picked=picked)


def _private_step(state: TrainState, sampler: Sampler, recipe: Recipe) -> float:
    """Write the private gradient of a step into the network; return the loss."""

    def own(subject: int) -> torch.Tensor | None:
        picked = own_slices(recipe.private, sampler, subject, seed=recipe.seed, step=state.step)
        return _slice_loss(state, sampler, recipe, picked) if len(picked) else None

    return private_gradients(
        own, list(state.network.parameters()), recipe.private,
        n=sampler.n_subjects, seed=recipe.seed, step=state.step,
    )  # fmt: skip


def _drawn_loss(state: TrainState, sampler: AnySampler, recipe: Recipe) -> torch.Tensor:
    """Draw a batch and return its loss."""
    if isinstance(sampler, Sampler):
        picked = sampler.pick(recipe.batch, state.generator)
        return _slice_loss(state, sampler, recipe, picked)
    network = state.network.train()
    if isinstance(sampler, PairSampler):
        pairs = sampler.draw(recipe.batch, state.generator)
        assert isinstance(network, PairNetwork)
        return pair_loss(network, pairs, autocast=recipe.autocast)
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
    """Write the gradient of a loss into the network; return the loss."""
    state.optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip_norm)
    return float(loss.detach())


def _start(
    recipe: Recipe,
    folder: Path,
    *,
    init: dict[str, torch.Tensor] | None,
    origin: Mapping[str, str],
    groups: Sequence[str],
    device: str,
    n_outputs: int,
) -> TrainState:
    """Return the state to go on from, with the learning curve cut back to it."""
    if not (folder / CHECKPOINT).is_file():
        with (folder / CURVE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(_COLUMNS)
        return new_state(recipe, n_labels=n_outputs, init=init, groups=groups, device=device)
    state = load_state(
        folder / CHECKPOINT,
        recipe=recipe,
        n_labels=n_outputs,
        origin=origin,
        groups=groups,
        device=device,
    )
    with (folder / CURVE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] + [row for row in rows[1:] if row and int(row[0]) <= state.step]
    with (folder / CURVE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(kept)
    return state


def _n_outputs(recipe: Recipe, target: Target | None) -> int:
    if recipe.task == "reconstruct":
        return 1
    return recipe.n_labels if target is None else target.n_outputs


def _sampler(
    recipe: Recipe, packs: Mapping[str, Pack | SweepPack], target: Target | None
) -> AnySampler:
    """Return what draws the batches; the packs must be of the recipe's task."""
    sweeps = {name: pack for name, pack in packs.items() if isinstance(pack, SweepPack)}
    stacks = {name: pack for name, pack in packs.items() if isinstance(pack, Pack)}
    if odd := stacks if recipe.task == "undersampled" else sweeps:
        raise PopscanError(f"recipe {recipe.name!r}: packs {', '.join(odd)} are of another task")
    if recipe.task == "undersampled":
        return SweepSampler(sweeps, recipe.shares, how=recipe.undersampling, width=recipe.patch)
    _check_spacing(recipe, stacks)
    if recipe.task == "register":
        return PairSampler(
            stacks,
            recipe.shares,
            how=recipe.augmentation,
            patch=recipe.patch,
            n_labels=recipe.n_labels,
        )
    return Sampler.of(recipe, stacks, target)


def _check_spacing(recipe: Recipe, packs: Mapping[str, Pack]) -> None:
    for name in set(recipe.shares or packs) & set(packs):
        if packs[name].spacing_mm != recipe.spacing_mm:
            raise PopscanError(
                f"pack {name!r} is at {packs[name].spacing_mm} mm, recipe {recipe.name!r} is for "
                f"{recipe.spacing_mm} mm"
            )


def fit(
    recipe: Recipe,
    packs: Mapping[str, Pack | SweepPack],
    folder: Path,
    *,
    validate: Validate | None = None,
    init: dict[str, torch.Tensor] | None = None,
    target: Target | None = None,
    stop_after: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> TrainState:
    """Train, or go on training, in `folder`.

    Parameters
    ----------
    recipe
        What to do.
    packs
        Training slices by pack name.
    folder
        Where checkpoint and learning curve are kept; an interrupted training is continued from
        there and ends with the very weights it would have had (in float32 on one machine).
    validate
        Called with the averaged network every `recipe.validate_every` steps and at the end; its
        ``validation_dice`` is recorded and nothing else depends on it.
    init
        Weights to start from.
    target
        What a recipe that classifies or regresses predicts.
    stop_after
        Return after this step, with a checkpoint: for tests and for jobs with a time limit.
    device
        Where the network is (``cpu``, ``cuda``); slices are drawn and augmented on the CPU.
    quiet
        Print no progress.

    Returns
    -------
    The state after the last step; `averaged` holds the weights to ship.

    Raises
    ------
    PopscanError
        If the recipe and the packs do not fit each other, or `folder` holds a checkpoint of
        another recipe, other packs or other first weights.
    """
    sampler = _sampler(recipe, packs, target)
    folder.mkdir(parents=True, exist_ok=True)
    origin = origin_of(recipe, packs, init)
    state = _start(
        recipe,
        folder,
        init=init,
        origin=origin,
        groups=sampler.groups,
        device=device,
        n_outputs=_n_outputs(recipe, target),
    )
    if isinstance(sampler, Sampler) and recipe.private.noise:
        check_subjects(
            recipe.private, state.network, n=sampler.n_subjects, where=f"recipe {recipe.name!r}"
        )
    end = min(recipe.steps, stop_after or recipe.steps)
    started, losses = time.monotonic(), []
    while state.step < end:
        if isinstance(sampler, Sampler):
            refurbish(folder, state, sampler, recipe)
        losses.append(train_step(state, sampler, recipe))
        keep_snapshot(folder, state, recipe)
        last = state.step == end
        due = recipe.validate_every and state.step % recipe.validate_every == 0
        score = float("nan")
        if validate is not None and (due or state.step == recipe.steps):
            network = copy.deepcopy(state.averaged).cpu() if device != "cpu" else state.averaged
            score = float(validate(network)["validation_dice"])
        if state.step % recipe.log_every == 0 or last or score == score:
            _log(
                folder,
                recipe,
                state,
                losses=losses,
                score=score,
                seconds=time.monotonic() - started,
                quiet=quiet,
            )
            losses = []
        if state.step % recipe.checkpoint_every == 0 or last:
            save_state(folder / CHECKPOINT, state, recipe=recipe, origin=origin)
    if not recipe.steps:
        save_state(folder / CHECKPOINT, state, recipe=recipe, origin=origin)
    return state


def _log(
    folder: Path,
    recipe: Recipe,
    state: TrainState,
    *,
    losses: list[float],
    score: float,
    seconds: float,
    quiet: bool,
) -> None:
    known = [loss for loss in losses if loss == loss]  # Steps of nobody have none.
    loss = sum(known) / len(known) if known else float("nan")
    rate = learning_rate(recipe, state.step - 1)
    with (folder / CURVE).open("a", newline="", encoding="utf-8") as file:
        row = (state.step, f"{loss:.5f}", f"{rate:.3e}", f"{score:.5f}", f"{seconds:.1f}")
        csv.writer(file).writerow(row)
    if not quiet:
        dice = "" if score != score else f"  validation Dice {score:.4f}"
        print(
            f"{recipe.name}: step {state.step}/{recipe.steps}  loss {loss:.4f}{dice}  "
            f"{seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
