"""Checks of labels that came with the images: do they lie on what they outline, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.frame_fit import frame_fit
from popscan.arrays.label_fit import label_fit
from popscan.qc.model import Measured, Spec, not_assessed

#: A gain below this share of the variance is noise.
_LEAST_GAIN = 0.03
#: The same for another order of frames: of what it would explain, and of the whole variance.
_LEAST_FRAME_GAIN, _LEAST_FRAME_SHARE = 0.02, 0.005


def label_misfit(
    image: NDArray[Any], labels: NDArray[np.integer[Any]] | None, spacing_mm: tuple[float, ...]
) -> Measured:
    """Return by how much better labels would explain the image if they were moved (%).

    Parameters
    ----------
    image, labels
        Volumes (x, y, z).
    spacing_mm
        Along x, y (z).
    """
    fit = None if labels is None else label_fit(image, labels, (spacing_mm[0], spacing_mm[1]))
    if fit is None:
        return not_assessed("too little is labelled")
    gain = fit.best - fit.here
    return Measured(
        100.0 * gain / fit.best if gain > _LEAST_GAIN else 0.0,
        f"labels explain {100 * fit.here:.0f}% of the variance, moved by {fit.offset_mm:.1f} mm "
        f"{100 * fit.best:.0f}%",
    )


def label_share(
    image: NDArray[Any], labels: NDArray[np.integer[Any]] | None, spacing_mm: tuple[float, ...]
) -> Measured:
    """Return how much of the variance of the labelled voxels lies between labels (%).

    Parameters
    ----------
    image, labels, spacing_mm
        As `label_misfit`.
    """
    fit = None if labels is None else label_fit(image, labels, (spacing_mm[0], spacing_mm[1]))
    if fit is None:
        return not_assessed("too little is labelled")
    return Measured(100.0 * fit.here, "of the variance of the labelled voxels")


def label_frames_off(
    image: NDArray[Any],
    labels: NDArray[np.integer[Any]] | None,
    *,
    frames: Sequence[int] | None = None,
) -> Measured:
    """Return how far in the cycle labels lie from the frames that they fit best (% of the cycle).

    Parameters
    ----------
    image, labels
        Series (x, y, z, t).
    frames
        Frames that are labelled; by default those with any label.
    """
    fit = None if labels is None else frame_fit(image, labels, frames=frames)
    if fit is None:
        return not_assessed("fewer than two different labelled frames")
    if fit.best - fit.here <= max(_LEAST_FRAME_GAIN * fit.best, _LEAST_FRAME_SHARE):
        return Measured(0.0, "labels fit their own frames best")
    order = ", backwards" if fit.reversed else ""
    return Measured(
        fit.off_pct,
        f"labels explain {100 * fit.here:.0f}% of the variance, with frames elsewhere in the "
        f"cycle{order} {100 * fit.best:.0f}%",
    )


def frames_off_spec(measure: Any) -> Spec:
    """Return the check of the order of labelled frames, measured by a protocol's own function."""
    return Spec(
        measure=measure, kind="segmentation", unit="% of the cycle",
        meaning="How far labels lie from the frames whose images they fit best: labels that are "
        "late, run backwards, or of exchanged frames",
        bad="high", review=10.0, fail=None,
        source="own definition; limits set on 70 patients of ACDC and simulated series",
    )  # fmt: skip


def share_spec(measure: Any) -> Spec:
    """Return the check of how much labels explain, measured by a protocol's own function."""
    return Spec(
        measure=measure, kind="segmentation", unit="%",
        meaning="How much of the labelled voxels' variance lies between labels: little for labels "
        "of another subject",
        bad="low", review=30.0, fail=None,
        source="own definition; limits set on 70 slices of ACDC with an expert's labels",
    )  # fmt: skip


def misfit_spec(measure: Any) -> Spec:
    """Return the check of labels against the image, measured by a protocol's own function."""
    return Spec(
        measure=measure, kind="segmentation", unit="%",
        meaning="How much less of the variance labels explain than they would if they were moved: "
        "labels of another visit, shifted or mirrored",
        bad="high", review=25.0, fail=None,
        source="own definition; limits set on 47 slices of ACDC with an expert's labels",
    )  # fmt: skip
