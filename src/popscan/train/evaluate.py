"""How good a model is: every case segmented at its own resolution and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from popscan.segment.bundle import Bundle
from popscan.train.packs import Case
from popscan.train.recipe import Recipe


def draft_bundle(recipe: Recipe, network: torch.nn.Module) -> Bundle:
    """Return a network in the middle of its training as a bundle in memory."""
    return Bundle(
        name=recipe.name,
        networks=(network.eval(),),
        arguments=(recipe.architecture_arguments,),
        spacing_mm=recipe.spacing_mm,
        patch=recipe.patch,
        normalisation={},
        input_range={"inplane_mm": (0.0, 99.0), "slice_distance_mm": (0.0, 99.0)},
        digest="",
        device=torch.device("cpu"),
        labels=recipe.codes,
        about={"trained_on": {"salt": "", "sha256": []}},
    )


def mean_dice(scores: pd.DataFrame) -> float:
    """Return the mean Dice over structures and frames; NaN without rows.

    First per structure and phase over subjects, then over those, so that a subject without one
    structure does not weigh the others differently.
    """
    if scores.empty:
        return float("nan")
    return float(scores.groupby(["structure", "phase"])["dice"].mean().mean())


def validator(
    recipe: Recipe, cases: Iterable[Case], *, score: Callable[..., pd.DataFrame]
) -> Callable[[torch.nn.Module], Mapping[str, float]]:
    """Return a function that gives the mean Dice of a network on `cases`, for `fit`.

    Parameters
    ----------
    recipe
        What is trained.
    cases
        Labelled scans that are not trained on.
    score
        ``(cases, *, bundle) -> score rows``, as `mean_dice` takes them.
    """
    cases = [replace(case) for case in cases]

    def validate(network: torch.nn.Module) -> Mapping[str, float]:
        scores = score(cases, bundle=draft_bundle(recipe, network))
        return {"validation_dice": float(np.round(mean_dice(scores), 6))}

    return validate
