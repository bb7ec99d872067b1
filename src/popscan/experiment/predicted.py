"""Trials that classify subjects, or say how unlike the training subjects they are.

Both use the one trainer: a classifier predicts an attribute of the recipe's ``target``; a normative
model (task ``reconstruct``) learns the images of the subjects that it may be trained on, and what
it cannot reproduce is the anomaly. Its threshold is chosen on held-out subjects of the same
composition as its training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from popscan.experiment.design import Trial, may_train
from popscan.experiment.occlusion import occlude
from popscan.experiment.subjects import Units, restrict
from popscan.experiment.trial import Training, TrialResult, trial_recipe
from popscan.records import PopscanError, SubjectError
from popscan.segment.networks import context_slices
from popscan.train.cubes import stacks_of_units, turned
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.recipe import Recipe
from popscan.train.slices import network_outputs
from popscan.train.targets import Target, find_target

#: What a prediction was made from.
IMAGES, VOLUMES = "images", "volumes"
#: Normalised intensity from which on a voxel counts, of the image or of what is made of it.
_HEAD = 0.1


def run_predicting(
    pack: Pack,
    section: Mapping[str, Any],
    trial: Trial,
    *,
    training: Units,
    held_out: Units,
    test: Units,
    work: Path,
    device: str = "cpu",
    quiet: bool = True,
) -> TrialResult:
    """Train and test one cell of the grid of an experiment that classifies or reconstructs.

    Parameters
    ----------
    pack, section, trial, training, test, work, device, quiet
        As in `popscan.experiment.trial.run_trial`.
    held_out
        Subjects by group on which the threshold of a normative model is chosen.

    Returns
    -------
    TrialResult
        Rows per test subject: ``subject, group, input, truth`` (1 or 0), ``score, flagged``, and
        the attributes that are audited; and per structure, of occlusions: ``structure, drop``.

    Raises
    ------
    SubjectError
        ``not_finite`` if the training diverged, ``one_class`` if it would see a single class.
    PopscanError
        For a recipe that cannot be.
    """
    recipe, how = trial_recipe(section, trial), section["mitigation"]
    if unusable := [key for key in ("crop_px", "group_steps") if how.get(key)]:
        raise PopscanError(f"{unusable[0]} does not go with task {recipe.task}")
    if len(recipe.planes) > 1:
        raise PopscanError(f"task {recipe.task}: one plane is expected, not {recipe.planes}")
    plane = recipe.planes[0] if recipe.planes else ""
    sets = [_in_plane(restrict(pack, _flat(units)), plane) for units in (training, held_out, test)]
    seen, held, tested = sets
    train = Training(recipe, work, device=device, quiet=quiet)
    values = {"n_train": len(seen.subjects), "n_train_slices": len(seen), "steps": recipe.steps}
    if recipe.task == "reconstruct":
        rows, more = _anomalies(train, seen, held, tested, section=section, recipe=recipe)
    else:
        rows, more = _classes(train, seen, tested, section=section, recipe=recipe)
    return TrialResult(rows=rows, values=values | more, weights=train.weights)


def _flat(units: Units) -> list[str]:
    return [unit for several in units.values() for unit in several]


def _in_plane(pack: Pack, plane: str) -> Pack:
    return turned(pack, plane) if plane else pack


def _about(pack: Pack, own: slice, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a subject's group, and its values of the other attributes that are audited."""
    names = [section["attribute"], *section.get("audit", ())]
    found = {name: str(pack.attributes[name][own][0]) for name in dict.fromkeys(names)}
    return {"group": found.pop(section["attribute"]), **found}


def anomaly_scores(network: torch.nn.Module, pack: Pack, *, context: int) -> dict[str, float]:
    """Return each subject's mean absolute difference between image and reconstruction.

    Over the voxels of the head: those that are not dark in both; NaN where there are none.
    """
    scores = {}
    for name, own in stacks_of_units(pack).items():
        images = torch.from_numpy(pack.images[own]).float() / INTENSITY_SCALE
        made = network_outputs(network, images, context=context)[:, 0]
        head = torch.maximum(images, made) > _HEAD
        error = (images - made).abs()[head]
        scores[name] = float(error.mean()) if error.numel() else float("nan")
    return scores


def _anomalies(
    train: Training,
    seen: Pack,
    held: Pack,
    tested: Pack,
    *,
    section: Mapping[str, Any],
    recipe: Recipe,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    if not len(held):
        raise PopscanError("task reconstruct: experiment.n_held_out of at least 1 is expected")
    network, context = train("network", seen), context_slices(recipe.architecture_arguments)
    healthy = np.array(list(anomaly_scores(network, held, context=context).values()))
    healthy = healthy[np.isfinite(healthy)]
    if not len(healthy):
        raise SubjectError("not_finite", "no held-out subject has a voxel to be scored")
    threshold = float(np.quantile(healthy, 1 - section["flagged_pct"] / 100, method="higher"))
    rows = []
    own = stacks_of_units(tested)
    for name, score in anomaly_scores(network, tested, context=context).items():
        known = {key: str(column[own[name]][0]) for key, column in tested.attributes.items()}
        row = {"subject": name, **_about(tested, own[name], section), "input": IMAGES}
        row |= {"truth": float(not may_train(known, section.get("train_on", {})))}
        flagged = float(score > threshold) if np.isfinite(score) else float("nan")
        rows.append(row | {"score": round(score, 6), "flagged": flagged})
    return rows, {"threshold": round(threshold, 6), "n_held_out": len(held.subjects)}


def _classes(
    train: Training, seen: Pack, tested: Pack, *, section: Mapping[str, Any], recipe: Recipe
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    known = {name: str(seen.attributes[recipe.target][own][0])
             for name, own in stacks_of_units(seen).items()}  # fmt: skip
    if recipe.task != "classify" or len(set(known.values())) > 2:
        raise PopscanError(
            f"{recipe.target}: experiments classify two classes, not "
            f"{', '.join(sorted(set(known.values())))} (task {recipe.task})"
        )
    if len(set(known.values())) < 2:
        raise SubjectError("one_class", f"all training subjects have {recipe.target} "
                                        f"{', '.join(set(known.values()))}")  # fmt: skip
    target = find_target("classify", recipe.target, known)
    network = train("network", seen, target=target)
    context = context_slices(recipe.architecture_arguments)
    codes = dict(enumerate(recipe.labels, start=1))
    volumes = _by_volumes(seen, tested, target, codes)
    rows: list[dict[str, Any]] = []
    for name, own in stacks_of_units(tested).items():
        text = str(tested.attributes[recipe.target][own][0])
        if text not in target.classes:
            continue
        truth = float(text == target.classes[1])
        images = torch.from_numpy(tested.images[own]).float() / INTENSITY_SCALE
        outputs = network_outputs(network, images, context=context)
        of_images = float(outputs.softmax(dim=1)[:, 1].mean())
        about = {"subject": name, **_about(tested, own, section)}
        for source, score in ((IMAGES, of_images), (VOLUMES, volumes[name])):
            found = {"input": source, "truth": truth, "score": round(score, 6)}
            rows.append(about | found | {"flagged": float(score >= 0.5)})
    if section.get("occlusion"):
        rows += occlude(network, seen, tested, target=target, structures=codes, context=context)
    return rows, {"classes": list(target.classes)}


def volumes_of(pack: Pack, structures: Mapping[int, str]) -> dict[str, NDArray[np.float64]]:
    """Return each subject's structure volumes in mL, in the order of `structures`."""
    voxel_ml = pack.spacing_mm**3 / 1000
    return {
        name: voxel_ml
        * np.bincount(pack.labels[own].ravel(), minlength=256)[list(structures)].astype(np.float64)
        for name, own in stacks_of_units(pack).items()
    }


def _by_volumes(
    seen: Pack, tested: Pack, target: Target, structures: Mapping[int, str]
) -> dict[str, float]:
    """Return the probability of the second class by logistic regression on volumes."""
    known, own = volumes_of(seen, structures), stacks_of_units(seen)
    texts = [str(seen.attributes[target.attribute][own[name]][0]) for name in known]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(np.array(list(known.values())), [text == target.classes[1] for text in texts])
    volumes = volumes_of(tested, structures)
    found = model.predict_proba(np.array(list(volumes.values())))[:, 1]
    return dict(zip(volumes, map(float, found), strict=True))
