"""The one training loop: resumable at any moment, deterministic by seed."""

from __future__ import annotations

import copy
import csv
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from popscan.recon.architectures import SERIES
from popscan.records import PopscanError
from popscan.train.checkpoint import (
    AnyPack,
    TrainState,
    learning_rate,
    load_state,
    new_state,
    origin_of,
    save_state,
)
from popscan.train.fields import FieldPack, FieldSampler
from popscan.train.kspace import SweepSampler
from popscan.train.packs import Pack
from popscan.train.pairs import PairSampler
from popscan.train.points import PointPack, PointSampler
from popscan.train.private import check_subjects
from popscan.train.recipe import Recipe
from popscan.train.refurbish import refurbish
from popscan.train.sampler import Sampler
from popscan.train.series import SeriesSampler
from popscan.train.snapshots import keep_snapshot
from popscan.train.step import AnySampler, train_step
from popscan.train.sweeps import SweepPack
from popscan.train.targets import Target

#: Called with the averaged network now and then; returns numbers for the learning curve.
Validate = Callable[[torch.nn.Module], Mapping[str, float]]

CHECKPOINT = "checkpoint.safetensors"
CURVE = "curve.csv"
#: Task -> what it is trained on, where that is not slices.
_KINDS = {"undersampled": SweepPack, "deform": FieldPack, "implicit": PointPack}
_COLUMNS = ("step", "loss", "learning_rate", "validation_dice", "seconds")


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


def _sampler(recipe: Recipe, packs: Mapping[str, AnyPack], target: Target | None) -> AnySampler:
    """Return what draws the batches; the packs must be of the recipe's task."""
    kind = _KINDS.get(recipe.task, Pack)
    if odd := [name for name, pack in packs.items() if not isinstance(pack, kind)]:
        raise PopscanError(f"recipe {recipe.name!r}: packs {', '.join(odd)} are of another task")
    sweeps = {name: pack for name, pack in packs.items() if isinstance(pack, SweepPack)}
    fields = {name: pack for name, pack in packs.items() if isinstance(pack, FieldPack)}
    points = {name: pack for name, pack in packs.items() if isinstance(pack, PointPack)}
    stacks = {name: pack for name, pack in packs.items() if isinstance(pack, Pack)}
    if recipe.task == "undersampled":
        drawn = SeriesSampler if recipe.architecture in SERIES else SweepSampler
        return drawn(sweeps, recipe.shares, how=recipe.undersampling, width=recipe.patch)
    if recipe.task == "deform":
        return FieldSampler(fields, recipe.shares, how=recipe.augmentation)
    if recipe.task == "implicit":
        return PointSampler(points, recipe.shares, at_once=recipe.patch)
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
    packs: Mapping[str, AnyPack],
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
        another recipe, other packs or other first weights, or the loss is no longer finite.
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
    if isinstance(sampler, PointSampler):
        sampler.check(state.network)
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
