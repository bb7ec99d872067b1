"""How good a model is: every case segmented at its own resolution and scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.inference import Segmentation, segment
from popscan.segment.bundle import Bundle
from popscan.segment.scores import score_segmentation
from popscan.train.packs import Case
from popscan.train.recipe import Recipe

#: Myocardial density, g/mL.
_DENSITY = 1.05


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


def score_case(
    case: Case, *, bundle: Bundle, **options: Any
) -> tuple[list[dict[str, Any]], Segmentation]:
    """Segment one case and return its score rows, with its attributes, and the segmentation."""
    scan, labels = case.scan, case.labels
    found = segment(scan, bundle=bundle, **options)
    rows = score_segmentation(
        case.unit,
        found.labels,
        labels,
        scan.spacing_mm,
        bundle=bundle,
        structures=STRUCTURES,
        frame_labels=scan.meta.get("frame_labels"),
    )
    return [row | dict(case.attributes) for row in rows], found


def score_cases(cases: Iterable[Case], *, bundle: Bundle, **options: Any) -> pd.DataFrame:
    """Return the score rows of all cases; `options` go to `segment`."""
    rows = [row for case in cases for row in score_case(case, bundle=bundle, **options)[0]]
    return pd.DataFrame(rows)


def mean_dice(scores: pd.DataFrame) -> float:
    """Return the mean Dice over structures and frames; NaN without rows.

    First per structure and phase over subjects, then over those, so that a subject without one
    structure does not weigh the others differently.
    """
    if scores.empty:
        return float("nan")
    return float(scores.groupby(["structure", "phase"])["dice"].mean().mean())


def volume_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Return per subject the differences (found - reference) in volumes, EF and mass.

    Columns ``lvedv_ml, lvesv_ml, lvef_pct, lvm_g, rvedv_ml, rvef_pct``. Only subjects with frames
    named ED and ES have them.
    """
    rows = []
    for unit, part in scores.groupby("unit"):
        keyed = part.set_index(["structure", "phase"])
        if not {(s, p) for s in STRUCTURES.values() for p in ("ED", "ES")} <= set(keyed.index):
            continue
        found, truth = (
            _biomarkers(keyed[column]) for column in ("volume_ml", "reference_volume_ml")
        )
        rows.append({"unit": unit} | {k: found[k] - truth[k] for k in found})
    return pd.DataFrame(rows)


def _biomarkers(volume: Mapping[Any, float] | pd.Series) -> dict[str, float]:
    lv, rv = STRUCTURES[Label.LV], STRUCTURES[Label.RV]
    ed, es = float(volume[lv, "ED"]), float(volume[lv, "ES"])
    rv_ed, rv_es = float(volume[rv, "ED"]), float(volume[rv, "ES"])
    return {
        "lvedv_ml": ed,
        "lvesv_ml": es,
        "lvef_pct": 100 * (ed - es) / ed if ed else float("nan"),
        "lvm_g": float(volume[STRUCTURES[Label.MYO], "ED"]) * _DENSITY,
        "rvedv_ml": rv_ed,
        "rvef_pct": 100 * (rv_ed - rv_es) / rv_ed if rv_ed else float("nan"),
    }


def validator(recipe: Recipe, cases: Iterable[Case]) -> Any:
    """Return a function that gives the mean Dice of a network on `cases`, for `fit`."""
    cases = [replace(case) for case in cases]

    def validate(network: torch.nn.Module) -> Mapping[str, float]:
        scores = score_cases(cases, bundle=draft_bundle(recipe, network))
        return {"validation_dice": float(np.round(mean_dice(scores), 6))}

    return validate
