"""Errors of a segmentation taken apart: right, another structure, missed, made up.

One expensive step, `confusion`; everything else is read off its matrix. The matrix that a model
expects of itself (`popscan.segment.samples.Tally.expected`) is read by the same functions,
which gives the same numbers without a reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.morphology import Code

Floats = NDArray[np.float64]
#: Key of all structures together.
ALL = "all"


def confusion(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], *, largest: int
) -> Floats:
    """Count voxels by label: ``[j, k]`` are labelled j and in truth k.

    Parameters
    ----------
    prediction, reference
        Codes of a label set, one shape.
    largest
        Largest code of the set.

    Returns
    -------
    ndarray, shape (label, label).

    Examples
    --------
    >>> confusion(np.array([3, 3, 2], np.uint8), np.array([3, 2, 0], np.uint8), largest=3)[3]
    array([0., 0., 1., 1.])
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: {prediction.shape} and {reference.shape}")
    n = largest + 1
    pairs = prediction.astype(np.int64).ravel() * n + reference.ravel()
    return np.bincount(pairs, minlength=n * n).reshape(n, n).astype(np.float64)


def take_apart(matrix: Floats, structures: Mapping[Code, str]) -> dict[str, dict[str, float]]:
    """Return the kinds of error of each structure and of all together.

    Of the voxels that the reference gives to a structure: how many are labelled so (``correct``),
    labelled as another structure (``flipped``, the label-flip measure of Achara et al.), or as
    background (``missed``); these add up to 100. Of the voxels labelled as the structure: how many
    belong to no structure (``spurious``) or to another (``taken``).

    Parameters
    ----------
    matrix : ndarray, shape (label, label)
        As from `confusion`; labelled along axis 0, truth along axis 1.
    structures
        Code -> name.

    Returns
    -------
    dict
        Name, and `ALL` for all together -> ``correct_pct``, ``flipped_pct``, ``missed_pct``,
        ``spurious_pct``, ``taken_pct``. NaN where there is nothing to take a share of. For
        `ALL`, ``flipped`` counts every voxel of one structure labelled as another, and
        ``taken`` is the same voxels as a share of what is labelled.
    """
    inside = [int(code) for code in structures]
    groups = {name: [int(code)] for code, name in structures.items()} | {ALL: inside}
    return {name: _kinds(matrix, own, inside) for name, own in groups.items()}


def _kinds(matrix: Floats, own: list[int], inside: list[int]) -> dict[str, float]:
    correct = sum(float(matrix[k, k]) for k in own)
    swapped = [(j, k) for k in own for j in inside if j != k]
    flipped = sum(float(matrix[j, k]) for j, k in swapped)
    taken = sum(float(matrix[k, j]) for j, k in swapped)
    missed = float(matrix[0, own].sum())
    spurious = float(matrix[own, 0].sum())
    truth, labelled = correct + flipped + missed, correct + taken + spurious
    return {
        "correct_pct": _pct(correct, truth),
        "flipped_pct": _pct(flipped, truth),
        "missed_pct": _pct(missed, truth),
        "spurious_pct": _pct(spurious, labelled),
        "taken_pct": _pct(taken, labelled),
    }


def _pct(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole > 0 else math.nan


def dice_of(matrix: Floats, structures: Mapping[Code, str]) -> dict[str, float]:
    """Return each structure's Dice out of a confusion matrix; NaN where it is in neither.

    Of an expected matrix this is the Dice that the model's probabilities imply, if they are
    calibrated: ``2 sum(p in the mask) / (voxels of the mask + sum(p))``.
    """
    found = {}
    for label, name in structures.items():
        k = int(label)
        total = float(matrix[k].sum() + matrix[:, k].sum())
        found[name] = 2.0 * float(matrix[k, k]) / total if total > 0 else math.nan
    return found
