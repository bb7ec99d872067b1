"""Everything a training needs to go on exactly where it was, in safetensors and JSON."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from popscan.recon.architectures import build_reconstruction
from popscan.records import PopscanError
from popscan.register.architectures import build_registration
from popscan.segment.headed import build_headed
from popscan.segment.implicit import build_implicit
from popscan.segment.networks import build_network, by_phase, n_channels
from popscan.train.fields import FieldPack
from popscan.train.groups import GroupState, new_groups
from popscan.train.packs import Pack, pack_digest
from popscan.train.points import PointPack
from popscan.train.recipe import Recipe
from popscan.train.sweeps import SweepPack

#: Key of `origin_of` -> what is different where it differs.
_OTHER = {
    "packs": "training data (another cohort, split or selection of slices)",
    "init": "weights than the recipe that this one starts from has now",
}
#: Task -> what builds its networks, where they are not those that segment.
_BUILDERS: Mapping[str, Callable[..., torch.nn.Module]] = {
    "classify": build_headed, "regress": build_headed, "undersampled": build_reconstruction,
    "register": build_registration, "deform": build_registration,
    "implicit": build_implicit,
}  # fmt: skip
#: What is trained on.
AnyPack = Pack | SweepPack | FieldPack | PointPack
_INSTEAD = "train in another folder, or remove the checkpoint to start again"


@dataclass
class TrainState:
    """A training between two steps.

    Attributes
    ----------
    network, averaged
        The weights that are optimised and their exponential moving average.
    optimiser
        AdamW with its moments.
    generator
        Source of all draws of batches and augmentation.
    step
        Steps done.
    groups
        What the training knows of its groups, where the recipe has a mitigation.
    """

    network: torch.nn.Module
    averaged: torch.nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    groups: GroupState | None = None


def new_state(
    recipe: Recipe,
    *,
    n_labels: int,
    init: dict[str, torch.Tensor] | None = None,
    groups: Sequence[str] = (),
    device: str = "cpu",
) -> TrainState:
    """Return the state before the first step; weights from the seed, or `init` where given."""
    channels = n_channels(recipe.architecture_arguments)
    build = _BUILDERS.get(recipe.task, build_network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build(recipe.architecture, n_labels, **recipe.architecture_arguments)
        state = new_groups(
            recipe.mitigation, groups, network, shape=(1, channels, recipe.patch, recipe.patch)
        )
    if init is not None:
        network.load_state_dict(first_layer_fitted(init, network.state_dict()))
    network.to(device)
    trained = list(network.parameters())
    if state is not None:
        state.dro = state.dro.to(device)
        if state.head is not None:
            trained += state.head.to(device).parameters()
    optimiser = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    return TrainState(network, averaged, optimiser, generator, groups=state)


def first_layer_fitted(
    weights: dict[str, torch.Tensor], like: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return weights for a network that sees other neighbouring slices or phases than theirs did.

    Kernels of the first layer get zeros for slices and phases that are new, so that at first the
    network does just what it did without them. Those of an opposite phase that is seen no more are
    added to the own phase's: the network does what it did where both looked the same.

    Raises
    ------
    PopscanError
        If the network sees fewer neighbouring slices than theirs did.
    """
    fitted = {}
    for name, value in weights.items():
        target = like[name]
        if value.ndim == target.ndim == 4 and value.shape[1] != target.shape[1]:
            known, grown = by_phase(value), torch.zeros_like(target)
            own = by_phase(grown)
            if known.shape[1] > own.shape[1]:
                known = known.sum(dim=1, keepdim=True)
            own = own[:, : known.shape[1]]
            spare = (own.shape[2] - known.shape[2]) // 2
            if spare < 0:
                raise PopscanError("a network cannot start from one that sees more neighbours")
            own[:, :, spare : spare + known.shape[2]] = known
            value = grown
        fitted[name] = value
    return fitted


def origin_of(
    recipe: Recipe, packs: Mapping[str, AnyPack], init: Mapping[str, torch.Tensor] | None
) -> dict[str, str]:
    """Return digests of what a training begins with: ``packs`` and ``init`` (empty for none).

    Kept in its checkpoint, so that it never goes on with other data or from other weights.
    """
    seen = [name for name in (recipe.mitigation.attribute, recipe.target) if name]
    used = {name: _digest(packs[name], seen) for name in (recipe.shares or packs)}
    weights = hashlib.sha256()
    for name, value in sorted((init or {}).items()):
        weights.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        weights.update(value.detach().cpu().contiguous().numpy().data)
    return {
        "packs": hashlib.sha256(json.dumps(used).encode()).hexdigest(),
        "init": weights.hexdigest() if init else "",
    }


def _digest(pack: AnyPack, attributes: Sequence[str]) -> str:
    if not isinstance(pack, Pack):
        return pack.digest()
    return pack_digest(pack, attributes=attributes)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate of a step: linear rise, then half a cosine down to the final fraction."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    span = max(1, (recipe.schedule_steps or recipe.steps) - recipe.warmup_steps)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - recipe.warmup_steps) / span)))
    return recipe.learning_rate * (recipe.final_fraction + (1 - recipe.final_fraction) * fall)


def update_average(state: TrainState, decay: float) -> None:
    """Move the averaged weights towards the current ones; faster at first."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for mean, now in zip(state.averaged.parameters(), state.network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)


def save_state(path: Path, state: TrainState, *, recipe: Recipe, origin: Mapping[str, str]) -> None:
    """Write a checkpoint; a reader sees the old one or the new one, never half of one.

    Parameters
    ----------
    path
        Where to.
    state, recipe
        The training and what it follows.
    origin
        What it began with, as `origin_of` describes it.
    """
    tensors = {f"network.{k}": v for k, v in state.network.state_dict().items()}
    tensors |= {f"averaged.{k}": v for k, v in state.averaged.state_dict().items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    tensors["generator"] = state.generator.get_state()
    about = {"step": str(state.step), "recipe": json.dumps(recipe.as_dict(), sort_keys=True)}
    about |= origin
    if state.groups is not None:
        tensors["groups.dro"] = state.groups.dro
        about["groups"] = json.dumps(state.groups.names)
        if state.groups.head is not None:
            tensors |= {f"head.{k}": v for k, v in state.groups.head.state_dict().items()}
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=about)
    os.replace(part, path)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())  # It is no mapping: it cannot be iterated itself.
            return {k: file.get_tensor(k) for k in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise PopscanError(f"{path}: not a readable checkpoint ({error})") from error


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_state(
    path: Path,
    *,
    recipe: Recipe,
    n_labels: int,
    origin: Mapping[str, str],
    groups: Sequence[str] = (),
    device: str = "cpu",
) -> TrainState:
    """Return the training that a checkpoint holds.

    Parameters
    ----------
    path
        The checkpoint.
    recipe, n_labels, groups, device
        As for `new_state`.
    origin
        What a training would begin with now, as `origin_of` describes it. Checkpoints of before
        this was kept are taken at their word.

    Raises
    ------
    PopscanError
        If the file cannot be read or belongs to another recipe, other groups, data or first
        weights.
    """
    tensors, about = _read(path)
    known = json.dumps(list(groups)) if recipe.mitigation.attribute else "[]"
    same = about.get("recipe") == json.dumps(recipe.as_dict(), sort_keys=True)
    if not same or about.get("groups", "[]") != known:
        raise PopscanError(
            f"{path}: this checkpoint belongs to another recipe than {recipe.name!r} as it is "
            f"now; {_INSTEAD}"
        )
    for key, words in _OTHER.items():
        if about.get(key, origin[key]) != origin[key]:
            raise PopscanError(f"{path}: this checkpoint began with other {words}; {_INSTEAD}")
    state = new_state(recipe, n_labels=n_labels, groups=groups, device=device)
    if state.groups is not None:
        state.groups.dro.copy_(tensors["groups.dro"])
        if state.groups.head is not None:
            state.groups.head.load_state_dict(_part(tensors, "head."))
    state.network.load_state_dict(_part(tensors, "network."))
    state.averaged.load_state_dict(_part(tensors, "averaged."))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _part(tensors, "optimiser.").items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    state.generator.set_state(tensors["generator"])
    state.step = int(about["step"])
    return state
