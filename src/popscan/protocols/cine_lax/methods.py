"""Sentences of a study's methods paragraph, and the phases of the cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.config import Segment
from popscan.protocols.cine_lax.labels import LV
from popscan.segment.proof import unproven


def sentences(config: Mapping[str, Any]) -> list[str]:
    """Return what was measured, and how."""
    return [
        _labels(Segment.of(config)),
        "Left-ventricular volumes are sums of 20 elliptical discs whose diameters are those of "
        "both planes; atrial volumes are those of an ellipsoid (8/(3 pi) A1 A2 / L, L the mean of "
        "both lengths), of the right atrium by the four-chamber plane alone.",
        "Mitral annular excursion is the mean displacement of the ends of the valve's line "
        "along the long axis from end-diastole to end-systole.",
    ]


def _labels(segment: Segment) -> str:
    """Return the sentence on where the labels are from."""
    if segment.method != "bundle":
        return (
            "Labels of the two- and four-chamber planes were given with the images; nothing was "
            "segmented."
        )
    if segment.model == "cine_lax":
        return (
            "Two- and four-chamber planes were segmented by a convolutional network of the U-Net "
            "type [@unet] that was trained on simulated hearts and on planes cut out of labelled "
            "short-axis stacks, and never held against labelled long-axis images."
        )
    if unproven(segment.model):
        return (
            "Two- and four-chamber planes were segmented by a neural network whose bundle states "
            "no agreement with labels of acquired images."
        )
    return "Two- and four-chamber planes were segmented by a neural network."


def phase_frames(
    labels: NDArray[np.uint8],
    *,
    frames: Sequence[int] | None = None,
    frame_labels: Sequence[str] | None = None,
) -> dict[str, int]:
    """Return the frames of end-diastole and end-systole: largest and smallest LV area.

    The area is the geometric mean of the planes', over frames in which every plane that ever
    shows the LV does; empty without such a frame.

    Parameters
    ----------
    labels : ndarray, shape (x, y, planes, t)
        Packed labels.
    frames
        Frames that are labelled; all by default.
    frame_labels
        Names of the frames where the source gives them; not needed here.
    """
    area = (labels == LV).sum(axis=(0, 1)).astype(float)
    area = area[area.any(axis=1)]
    if not area.size:
        return {}
    with np.errstate(divide="ignore"):
        mean = np.log(area).mean(axis=0)
    allowed = np.zeros(mean.shape, dtype=bool)
    allowed[list(range(mean.size) if frames is None else frames)] = True
    allowed &= np.isfinite(mean)
    if not allowed.any():
        return {}
    return {
        "ED": int(np.where(allowed, mean, -np.inf).argmax()),
        "ES": int(np.where(allowed, mean, np.inf).argmin()),
    }
