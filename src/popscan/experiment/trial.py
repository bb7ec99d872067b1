"""One trial: train on a composition, segment the test subjects, score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.metrics import dice
from popscan.experiment.crops import Centre, centre_distance, crop, label_centres, uncrop
from popscan.experiment.design import RECIPE_FIELDS, Trial
from popscan.experiment.subjects import restrict
from popscan.records import PopscanError, SubjectError
from popscan.segment.networks import context_slices, n_phases
from popscan.train.cubes import back_turned, stacks_of_units, turned
from popscan.train.loop import fit
from popscan.train.packs import Pack
from popscan.train.recipe import Recipe, load_recipe, parse_recipe
from popscan.train.sampler import Sampler
from popscan.train.targets import Target


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial found.

    Attributes
    ----------
    rows
        Per test subject, structure and frame: ``subject, group, structure, frame, dice``.
    values
        One row of numbers on the training.
    weights
        Averaged weights of the network(s) by name.
    """

    rows: list[dict[str, Any]]
    values: dict[str, Any]
    weights: dict[str, dict[str, torch.Tensor]]


def trial_recipe(section: Mapping[str, Any], trial: Trial) -> Recipe:
    """Return a trial's recipe: the shared one with the trial's network, seed and mitigation.

    Parameters
    ----------
    section
        As of `popscan.experiment.design.trial_section`.
    trial
        Which trial.

    Raises
    ------
    PopscanError
        For a recipe, network or mitigation that cannot be.
    """
    shared = section["recipe"]
    if isinstance(shared, str):
        plain = load_recipe(shared).as_dict()
    else:
        plain = parse_recipe({"name": "experiment", **shared}).as_dict()
    how = section["mitigation"]
    plain |= dict(section["architecture"])
    plain |= {"name": trial.name, "seed": trial.seed, "shares": {}, "init_from": ""}
    given = {key: how[key] for key in RECIPE_FIELDS if how.get(key)}
    plain["mitigation"] = {"attribute": section["attribute"], **given} if given else {}
    if how.get("crop_px"):
        if plain.get("planes"):
            raise PopscanError(f"arm {trial.mitigation}: crop_px does not go with planes")
        plain["patch"] = min(plain["patch"], how["crop_px"])
    return parse_recipe(plain, where=f"arm {trial.mitigation}")


def predict(
    network: torch.nn.Module, pack: Pack, *, arguments: Mapping[str, Any], batch: int = 32
) -> NDArray[np.uint8]:
    """Label every slice of a pack, each seen as the network's arguments say; (n, size, size)."""
    device = next(network.parameters()).device
    slices = Sampler(
        {"test": pack}, {}, context=context_slices(arguments), phases=n_phases(arguments)
    )
    found = []
    with torch.inference_mode():
        for start in range(0, len(pack), batch):
            index = torch.arange(start, min(start + batch, len(pack)))
            scores = network.eval()(slices.take(index)[0].to(device))
            found.append(scores.argmax(dim=1).to(torch.uint8).cpu().numpy())
    return np.concatenate(found)


def predict_planes(
    network: torch.nn.Module,
    pack: Pack,
    *,
    planes: Sequence[str],
    arguments: Mapping[str, Any],
    batch: int = 64,
) -> NDArray[np.uint8]:
    """Label every slice of a pack of cubes by the mean probability over planes; (n, size, size)."""
    found = np.zeros(pack.labels.shape, np.uint8)
    for name, own in stacks_of_units(pack).items():
        total = torch.zeros(())
        for plane in planes:
            cut = turned(restrict(pack, [name]), plane)
            slices = Sampler({"test": cut}, {}, context=context_slices(arguments))
            parts = []
            with torch.inference_mode():
                for start in range(0, len(cut), batch):
                    index = torch.arange(start, min(start + batch, len(cut)))
                    images = slices.take(index)[0].to(next(network.parameters()).device)
                    parts.append(network.eval()(images).float().softmax(dim=1).cpu())
            total = total + back_turned(torch.cat(parts), plane)
        found[own] = total.argmax(dim=0).movedim(2, 0).to(torch.uint8).numpy()
    return found


def score(
    pack: Pack, found: NDArray[np.uint8], *, attribute: str, structures: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Return the Dice of every structure in every frame of every subject, over all slices."""
    rows = []
    for name in dict.fromkeys(pack.unit.tolist()):
        for frame in sorted(set(pack.frame[pack.unit == name].tolist())):
            own = (pack.unit == name) & (pack.frame == frame)
            group = str(pack.attributes[attribute][own][0])
            for label, structure in structures.items():
                value = dice(found[own], pack.labels[own], label)
                row = {"subject": name, "group": group, "structure": structure}
                rows.append(row | {"frame": int(frame), "dice": round(value, 6)})
    return rows


class Training:
    """Trains networks below one folder, each going on from its checkpoint."""

    def __init__(self, recipe: Recipe, work: Path, *, device: str, quiet: bool) -> None:
        self.recipe, self.work, self.device, self.quiet = recipe, work, device, quiet
        self.weights: dict[str, dict[str, torch.Tensor]] = {}

    def __call__(
        self,
        name: str,
        pack: Pack,
        *,
        recipe: Recipe | None = None,
        init: Any = None,
        target: Target | None = None,
    ) -> torch.nn.Module:
        """Train one network and return its averaged weights' network."""
        how = recipe or self.recipe
        state = fit(
            how,
            {plane: turned(pack, plane) for plane in how.planes if how.task == "segment"}
            or {"train": pack},
            self.work / name,
            init=init,
            target=target,
            device=self.device,
            quiet=self.quiet,
        )
        weights = {k: v.cpu() for k, v in state.averaged.state_dict().items()}
        if not all(bool(v.isfinite().all()) for v in weights.values() if v.is_floating_point()):
            raise SubjectError("not_finite", f"training {name}: its weights are no numbers")
        self.weights[name] = weights
        return state.averaged


def run_trial(
    pack: Pack,
    section: Mapping[str, Any],
    trial: Trial,
    *,
    training: Mapping[str, Sequence[str]],
    test: Mapping[str, Sequence[str]],
    work: Path,
    device: str = "cpu",
    quiet: bool = True,
) -> TrialResult:
    """Train and test one cell of the grid.

    Parameters
    ----------
    pack
        Slices of all subjects of the experiment.
    section, trial
        As of `popscan.experiment.design.trial_section`; which trial.
    training, test
        Subjects by group.
    work
        Folder of the checkpoints; called again after an interruption, it goes on from there.
    device
        Where the networks are.
    quiet
        Print no progress.

    Raises
    ------
    SubjectError
        ``not_finite`` if a training diverged.
    PopscanError
        For a recipe that cannot be.
    """
    recipe, how = trial_recipe(section, trial), section["mitigation"]
    arguments = recipe.architecture_arguments
    train = Training(recipe, work, device=device, quiet=quiet)
    seen = restrict(pack, [u for units in training.values() for u in units])
    held = restrict(pack, [u for units in test.values() for u in units])
    values: dict[str, Any] = {"n_train_slices": len(seen)}
    shown, centres = held, dict[str, Centre]()
    if size := how.get("crop_px"):
        centres = label_centres(held.labels, held.unit)
        if how["crop_by"] == "cascade":
            whole = trial_recipe(
                {**section, "mitigation": {**how, "crop_px": 0, **_nothing()}}, trial
            )
            locator = train("locator", seen, recipe=whole)
            located = label_centres(predict(locator, held, arguments=arguments), held.unit)
            values["locator_error_px"] = centre_distance(centres, located)
            centres = located
        seen = crop(seen, size, label_centres(seen.labels, seen.unit))
        shown = crop(held, size, centres)
    network = train("network", seen)
    found = _segmented(network, shown, recipe)
    if how.get("group_steps"):
        found = _by_group(train, seen, shown, found, section=section)
    if size:
        # Scored on the whole image: what of a heart lies outside of its crop is missed.
        found = uncrop(found, held, centres)
    structures = dict(enumerate(recipe.labels, start=1))
    rows = score(held, found, attribute=section["attribute"], structures=structures)
    values |= {"n_train": sum(map(len, training.values())), "steps": recipe.steps}
    return TrialResult(rows=rows, values=values, weights=train.weights)


def _segmented(network: torch.nn.Module, pack: Pack, recipe: Recipe) -> NDArray[np.uint8]:
    arguments = recipe.architecture_arguments
    if recipe.planes:
        return predict_planes(network, pack, planes=recipe.planes, arguments=arguments)
    return predict(network, pack, arguments=arguments)


def _nothing() -> dict[str, Any]:
    return dict.fromkeys(RECIPE_FIELDS)


def _by_group(
    train: Training,
    seen: Pack,
    held: Pack,
    found: NDArray[np.uint8],
    *,
    section: Mapping[str, Any],
) -> NDArray[np.uint8]:
    """Label each group's test subjects by the network tuned on that group alone.

    A group without training subjects keeps what the common network found.
    """
    attribute, steps = section["attribute"], int(section["mitigation"]["group_steps"])
    found = found.copy()
    recipe = replace(
        train.recipe,
        steps=steps,
        schedule_steps=0,
        warmup_steps=min(train.recipe.warmup_steps, steps // 10),
        learning_rate=train.recipe.learning_rate / 3,
    )
    start = train.weights["network"]
    for place, group in enumerate(section["groups"]):
        own = held.attributes[attribute] == group
        members = seen.attributes[attribute] == group
        if own.any() and members.any():
            pack = restrict(seen, sorted(set(seen.unit[members].tolist())))
            tuned = train(f"group-{place}", pack, recipe=recipe, init=start)
            part = restrict(held, sorted(set(held.unit[own].tolist())))
            found[own] = _segmented(tuned, part, recipe)
    return found
