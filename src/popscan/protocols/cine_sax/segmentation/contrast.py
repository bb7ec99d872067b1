"""What of a cine is held against the training scans: voxels, and blood against muscle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.intensity import black_and_white
from popscan.protocols.cine_sax.labels import Label
from popscan.records import Scan

#: Intensities of this many voxels of a tissue are enough for their median.
_ENOUGH = 20_000


def blood_contrast(
    scan: Scan, labels: NDArray[np.uint8], frames: Sequence[int] | None = None
) -> float:
    """Return how much brighter blood is than muscle, of the range from black to white.

    The difference of the medians of LV cavity and myocardium, over the difference of the 99th and
    1st percentile of the whole scan: about 0.5 for bright-blood cine (bSSFP), negative where blood
    is black.

    Parameters
    ----------
    scan
        Intensities (x, y, z, t).
    labels
        `Label` values of its voxels, of experts or of a model.
    frames
        The frames to look at; None for all of them.

    Returns
    -------
    float
        NaN where one of the two is not labelled or the scan is constant.
    """
    black, white = black_and_white(scan.array)
    medians = []
    for label in (Label.LV, Label.MYO):
        parts = [
            scan.array[..., t][labels[..., t] == int(label)]
            for t in (range(labels.shape[3]) if frames is None else frames)
        ]
        values = np.concatenate(parts)
        medians.append(
            np.median(values[:: 1 + len(values) // _ENOUGH]) if len(values) else math.nan
        )
    blood, muscle = medians
    return float((blood - muscle) / (white - black)) if white > black else math.nan


def measure_input(
    scan: Scan, labels: NDArray[np.uint8], frames: Sequence[int] | None = None
) -> dict[str, tuple[float, ...]]:
    """Return what a bundle's ``input_range`` is about, each with its values for one scan."""
    return {
        "inplane_mm": tuple(scan.spacing_mm[:2]),
        "slice_distance_mm": (scan.spacing_mm[2],),
        "blood_contrast": (blood_contrast(scan, labels, frames),),
    }
