"""Dice without a reference: predicted from how sure the networks were and from the shape found.

In the spirit of reverse classification and Dice regression (Robinson et al., MICCAI 2018; Valindria
et al., IEEE TMI 2017), but from a handful of numbers that segmentation yields anyway: a linear
model per structure, in closed form, stored as plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.morphology import Code
from popscan.segment.errors import dice_of
from popscan.segment.samples import Tally

Floats = NDArray[np.float64]

#: What is known of a structure in one frame, in the order of the model's coefficients.
FEATURES = (
    "implied_dice",
    "heart_dice",
    "entropy",
    "information",
    "flip_risk",
    "volume_spread",
    "kept_share",
    "slice_share",
    "gap_share",
    "area_jump",
    "log_volume",
)


def features(
    tally: Tally,
    labels: NDArray[np.uint8],
    *,
    structures: Mapping[Code, str],
    spacing_mm: Sequence[float],
) -> dict[str, Floats]:
    """Return what `FEATURES` names for each structure and frame.

    Parameters
    ----------
    tally
        Sums per slice, of all samples of a segmentation.
    labels
        The final labels (x, y, z, t), cleaned up.
    structures
        Label -> name.
    spacing_mm
        Distance of voxel centres along x, y, z.

    Returns
    -------
    dict
        Name of each structure -> shape (t, feature). A row of NaN where the structure is not
        labelled. With a single sample information and spread are 0.
    """
    n_slices, n_frames = labels.shape[2], labels.shape[3]
    frames = tally.by_frame(n_slices)
    implied = [dice_of(frames.expected[t], structures) for t in range(n_frames)]
    found = {}
    for label, name in structures.items():
        k = int(label)
        voxels = np.maximum(frames.expected[:, k].sum(axis=1), 1e-9)
        volumes = frames.volumes[:, :, k]
        several = len(volumes) > 1
        spread = volumes.std(axis=0, ddof=1) if several else np.zeros(n_frames)
        areas = np.count_nonzero(labels == k, axis=(0, 1)).astype(float)
        ml = areas.sum(axis=0) * float(np.prod(spacing_mm)) / 1000.0
        columns = {
            "implied_dice": [d[name] for d in implied],
            "heart_dice": [_mean(d.values()) for d in implied],
            "entropy": frames.entropy[:, k] / voxels,
            "information": frames.information[:, k] / voxels,
            "flip_risk": frames.flip_risk[:, k] / voxels,
            "volume_spread": spread / np.maximum(volumes.mean(axis=0), 1.0),
            "kept_share": np.minimum(ml * 1000.0 / (voxels * tally.pixel_mm2 * spacing_mm[2]), 1.5),
            **_course(areas),
            "log_volume": np.log(np.maximum(ml, 1e-3)),
        }
        table = np.stack([np.asarray(columns[f], dtype=float) for f in FEATURES], axis=1)
        table[ml <= 0] = np.nan
        found[name] = table
    return found


def _mean(values: Any) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return float(np.mean(finite)) if finite else 0.0


def _course(areas: Floats) -> dict[str, Floats]:
    """Return how a structure runs through the stack, from its areas (z, t)."""
    held = areas > 0
    count = held.sum(axis=0)
    before = np.maximum.accumulate(held, axis=0)
    after = np.maximum.accumulate(held[::-1], axis=0)[::-1]
    gaps = (before & after & ~held).sum(axis=0)
    jumps = np.abs(np.diff(areas, axis=0)).sum(axis=0)
    total = np.maximum(areas.sum(axis=0), 1.0)
    return {
        "slice_share": count / areas.shape[0],
        "gap_share": gaps / np.maximum(count + gaps, 1),
        "area_jump": jumps / total,
    }


def fit_ridge(table: ArrayLike, target: ArrayLike, *, strength: float = 20.0) -> dict[str, Any]:
    """Fit a linear model with a penalty on its coefficients, in closed form.

    Parameters
    ----------
    table
        Features, shape (case, feature). Rows with NaN, here or in `target`, are left out.
    target
        Shape (case,).
    strength
        Penalty on the squared coefficients of the standardised features, in cases: 1 counts as
        much as one case.

    Returns
    -------
    dict
        ``intercept``, ``mean``, ``sd``, ``coefficients``: plain numbers and lists.
    """
    x, y = np.asarray(table, dtype=float), np.asarray(target, dtype=float)
    usable = np.isfinite(x).all(axis=1) & np.isfinite(y)
    x, y = x[usable], y[usable]
    if len(y) < 2:
        raise ValueError("fewer than two usable cases")
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 1e-12, sd, 1.0)
    z = (x - mean) / sd
    solved = np.linalg.solve(z.T @ z + strength * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    return {
        "intercept": float(y.mean()),
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "coefficients": solved.tolist(),
    }


def predict(model: Mapping[str, Any], table: ArrayLike) -> Floats:
    """Return predicted Dice, within 0 and 1, of each row; 0 for a row of NaN.

    A structure that was not found has no features; every organ has it, so its Dice is 0.
    """
    x = np.asarray(table, dtype=float)
    z = (x - np.asarray(model["mean"])) / np.asarray(model["sd"])
    # Far outside of what it was fitted on a linear model says nothing: five sd are enough.
    z = np.clip(z, -5.0, 5.0)
    raw = float(model["intercept"]) + z @ np.asarray(model["coefficients"], dtype=float)
    return np.where(np.isfinite(x).all(axis=1), np.clip(raw, 0.0, 1.0), 0.0)


def expected_dice(
    tally: Tally,
    labels: NDArray[np.uint8],
    *,
    structures: Mapping[Code, str],
    spacing_mm: Sequence[float],
    about: Mapping[str, Any],
) -> dict[str, float]:
    """Return the Dice to expect of each structure: mean over the frames, and the lowest frame.

    Parameters
    ----------
    tally, labels, structures, spacing_mm
        As in `features`.
    about
        What a bundle says of itself; ``expected_dice`` holds a model per structure.

    Returns
    -------
    dict
        ``expected_dice_NAME``, ``expected_dice_NAME_lowest``; NaN without a model in the bundle.
    """
    stored = about.get("expected_dice", {})
    usable = list(stored.get("features", ())) == list(FEATURES)
    table = features(tally, labels, structures=structures, spacing_mm=spacing_mm) if usable else {}
    found: dict[str, float] = {}
    for name in (structures[code] for code in sorted(structures)):
        mean = lowest = math.nan
        if name in table and name in stored["models"]:
            values = predict(stored["models"][name], table[name])
            mean, lowest = round(float(values.mean()), 4), round(float(values.min()), 4)
        found[f"expected_dice_{name}"] = mean
        found[f"expected_dice_{name}_lowest"] = lowest
    return found
