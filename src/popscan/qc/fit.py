"""Check of labels that came with the images: do they lie on what they outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.label_fit import label_fit
from popscan.qc.model import Measured, Spec, not_assessed

#: A gain below this share of the variance is noise.
_LEAST_GAIN = 0.03


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


def misfit_spec(measure: Any) -> Spec:
    """Return the check of labels against the image, measured by a protocol's own function."""
    return Spec(
        measure=measure, kind="segmentation", unit="%",
        meaning="How much less of the variance labels explain than they would if they were moved: "
        "labels of another visit, shifted or mirrored",
        bad="high", review=25.0, fail=None,
        source="own definition; limits set on 47 slices of ACDC with an expert's labels",
    )  # fmt: skip
