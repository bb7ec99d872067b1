"""One trial: train on a composition, segment the test subjects, score them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.metrics import dice
from popscan.arrays.resampling import Window
from popscan.experiment.design import RECIPE_FIELDS, Trial
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.records import SubjectError
from popscan.segment.networks import context_slices, n_phases
from popscan.segment.preprocess import normalise
from popscan.train.loop import fit
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.recipe import Recipe, load_recipe, parse_recipe
from popscan.train.sampler import Sampler

Centre = tuple[float, float]


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
        plain["patch"] = min(plain["patch"], how["crop_px"])
    return parse_recipe(plain, where=f"arm {trial.mitigation}")


def restrict(pack: Pack, units: Sequence[str]) -> Pack:
    """Return the slices of some subjects."""
    keep = np.isin(pack.unit, list(units))
    names = ("images", "labels", "unit", "frame", "slice_index", "usable")
    parts = {name: getattr(pack, name)[keep] for name in names}
    values = {name: column[keep] for name, column in pack.attributes.items()}
    return replace(pack, **parts, attributes=values)


def heart_centres(labels: NDArray[np.uint8], unit: NDArray[np.str_]) -> dict[str, Centre]:
    """Return the middle of the box around each subject's labels; of the image where none is."""
    centres = {}
    for name in dict.fromkeys(unit.tolist()):
        inside = (labels[unit == name] != int(Label.BACKGROUND)).any(axis=0)
        if inside.any():
            xs, ys = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            centres[name] = (float(xs[0] + xs[-1]) / 2, float(ys[0] + ys[-1]) / 2)
        else:
            centres[name] = ((labels.shape[1] - 1) / 2, (labels.shape[2] - 1) / 2)
    return centres


def crop(pack: Pack, size: int, centres: Mapping[str, Centre]) -> Pack:
    """Return squares of `size` around each subject's centre, normalised anew.

    What lies outside of them no longer has a say in how bright the heart is.
    """
    images = np.zeros((len(pack), size, size), np.int16)
    labels = np.zeros((len(pack), size, size), np.uint8)
    for name, centre in centres.items():
        own = pack.unit == name
        window = Window.around(centre, (size, size))
        seen = window.cut(torch.from_numpy(pack.images[own]).float()).numpy()
        images[own] = (normalise(seen) * INTENSITY_SCALE).round().astype(np.int16)
        labels[own] = window.cut(torch.from_numpy(pack.labels[own])).numpy()
    return replace(pack, images=images, labels=labels)


def uncrop(
    found: NDArray[np.uint8], whole: Pack, centres: Mapping[str, Centre]
) -> NDArray[np.uint8]:
    """Return labels found in crops of `whole` on its own grid; background outside of them."""
    full = np.zeros(whole.labels.shape, np.uint8)
    size = (found.shape[1], found.shape[2])
    shape = (whole.labels.shape[1], whole.labels.shape[2])
    for name, centre in centres.items():
        own = np.flatnonzero(whole.unit == name)
        window = Window.around(centre, size)
        full[own] = window.paste(torch.from_numpy(found[own]), shape).numpy()
    return full


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


def score(pack: Pack, found: NDArray[np.uint8], *, attribute: str) -> list[dict[str, Any]]:
    """Return the Dice of every structure in every frame of every subject, over all slices."""
    rows = []
    for name in dict.fromkeys(pack.unit.tolist()):
        for frame in sorted(set(pack.frame[pack.unit == name].tolist())):
            own = (pack.unit == name) & (pack.frame == frame)
            group = str(pack.attributes[attribute][own][0])
            for label, structure in STRUCTURES.items():
                value = dice(found[own], pack.labels[own], label)
                row = {"subject": name, "group": group, "structure": structure}
                rows.append(row | {"frame": int(frame), "dice": round(value, 6)})
    return rows


class _Training:
    """Trains networks below one folder, each going on from its checkpoint."""

    def __init__(self, recipe: Recipe, work: Path, *, device: str, quiet: bool) -> None:
        self.recipe, self.work, self.device, self.quiet = recipe, work, device, quiet
        self.weights: dict[str, dict[str, torch.Tensor]] = {}

    def __call__(
        self, name: str, pack: Pack, *, recipe: Recipe | None = None, init: Any = None
    ) -> torch.nn.Module:
        state = fit(
            recipe or self.recipe,
            {"train": pack},
            self.work / name,
            init=init,
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
    train = _Training(recipe, work, device=device, quiet=quiet)
    seen = restrict(pack, [u for units in training.values() for u in units])
    held = restrict(pack, [u for units in test.values() for u in units])
    values: dict[str, Any] = {"n_train_slices": len(seen)}
    shown, centres = held, dict[str, Centre]()
    if size := how.get("crop_px"):
        centres = heart_centres(held.labels, held.unit)
        if how["crop_by"] == "cascade":
            whole = trial_recipe(
                {**section, "mitigation": {**how, "crop_px": 0, **_nothing()}}, trial
            )
            locator = train("locator", seen, recipe=whole)
            located = heart_centres(predict(locator, held, arguments=arguments), held.unit)
            values["locator_error_px"] = _distance(centres, located)
            centres = located
        seen = crop(seen, size, heart_centres(seen.labels, seen.unit))
        shown = crop(held, size, centres)
    network = train("network", seen)
    found = predict(network, shown, arguments=arguments)
    if how.get("group_steps"):
        found = _by_group(train, seen, shown, found, section=section, arguments=arguments)
    if size:
        # Scored on the whole image: what of a heart lies outside of its crop is missed.
        found = uncrop(found, held, centres)
    rows = score(held, found, attribute=section["attribute"])
    values |= {"n_train": sum(map(len, training.values())), "steps": recipe.steps}
    return TrialResult(rows=rows, values=values, weights=train.weights)


def _nothing() -> dict[str, Any]:
    return dict.fromkeys(RECIPE_FIELDS)


def _by_group(
    train: _Training,
    seen: Pack,
    held: Pack,
    found: NDArray[np.uint8],
    *,
    section: Mapping[str, Any],
    arguments: Mapping[str, Any],
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
            found[own] = predict(tuned, part, arguments=arguments)
    return found


def _distance(a: Mapping[str, Centre], b: Mapping[str, Centre]) -> float:
    """Mean distance of two sets of centres, in pixels."""
    return round(float(np.mean([math.dist(a[name], b[name]) for name in a])), 3)
