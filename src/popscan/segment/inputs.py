"""Checks of a model's input: refused where impossible, reported where unlike the training scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.intensity import black_and_white
from popscan.protocols.cine_sax.labels import Label
from popscan.records import Scan, SubjectError

#: How far outside of the range of the training scans a value is far: this many times its ends.
_FAR = 1.5
#: Intensities of this many voxels of a tissue are enough for their median.
_ENOUGH = 20_000


def check_scan(scan: Scan) -> None:
    """Refuse a scan that cannot be segmented.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite`` or ``bad_spacing``.
    """
    if scan.array.ndim != 4 or 0 in scan.array.shape:
        raise SubjectError(
            "wrong_shape", f"expected a scan (x, y, z, t), found shape {scan.array.shape}"
        )
    if not np.isfinite(scan.array).all():
        raise SubjectError("not_finite", "the scan holds NaN or infinite intensities")
    if not all(math.isfinite(s) and s > 0 for s in scan.spacing_mm):
        raise SubjectError("bad_spacing", f"voxel spacing {scan.spacing_mm} mm is not positive")


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


def input_warning(
    measured: Mapping[str, Sequence[float]], input_range: Mapping[str, Sequence[float]]
) -> str:
    """Return what of a scan is far outside of the training range, or nothing.

    Parameters
    ----------
    measured
        From `measure_input`; NaN is not judged.
    input_range
        The same names, each with the lowest and the highest value of the training scans; what is
        absent is not judged.
    """
    notes = []
    for name, (seen_low, seen_high) in input_range.items():
        values = [v for v in measured.get(name, ()) if math.isfinite(v)]
        lowest = seen_low / _FAR if seen_low > 0 else seen_low * _FAR
        highest = seen_high * _FAR if seen_high > 0 else seen_high / _FAR
        if values and (min(values) < lowest or max(values) > highest):
            span = "..".join(f"{v:.2f}" for v in sorted({min(values), max(values)}))
            notes.append(f"{name} {span}, trained for {seen_low}..{seen_high}")
    return "; ".join(notes)
