"""Scores of a segmentation against a reference, with seen and unseen subjects told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import mask_dice, score_labels
from popscan.records import Label, LabelMap, SubjectError
from popscan.segment.bundle import Bundle
from popscan.segment.errors import confusion, take_apart

#: What lies within the epicardium.
_WITHIN = (Label.LV, Label.MYO)


def score_segmentation(
    unit: str,
    labels: NDArray[np.uint8],
    reference: LabelMap,
    spacing_mm: Sequence[float],
    *,
    bundle: Bundle,
    frame_labels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of `popscan.arrays.metrics.score_labels` with whose they are.

    Each row begins with ``unit`` and ``seen_in_training``: whether the bundle was trained on this
    subject. Means must never mix the two; a model scores itself too well on what it has seen. It
    ends with the kinds of error of `popscan.segment.errors.take_apart`.

    Raises
    ------
    SubjectError
        ``bad_labels`` where a code is none of `Label`.
    """
    for name, array in (("labels", labels), ("reference labels", reference.array)):
        if array.size and (highest := int(array.max())) > max(Label):
            raise SubjectError(
                "bad_labels", f"{name}: code {highest}; 0 to {int(max(Label))} are expected"
            )
    seen = bundle.was_trained_on(unit)
    rows = score_labels(labels, reference, spacing_mm, frame_labels=frame_labels)
    kinds = {
        frame: take_apart(confusion(labels[..., frame], reference.array[..., frame]))
        for frame in reference.frames
    }
    return [
        {"unit": unit, "seen_in_training": seen, **row, **kinds[row["frame"]][row["structure"]]}
        for row in rows
    ]


def score_contours(
    labels: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    *,
    endocardium: NDArray[np.bool_],
    epicardium: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Compare a segmentation with contours of the LV, plane by plane, where there is one.

    Parameters
    ----------
    labels, reference
        Segmentation and filled contours, `Label` values, shape (x, y, z, t).
    endocardium, epicardium
        Planes that have a contour, shape (z, t).

    Returns
    -------
    Rows ``contour`` (``endocardium``: the cavity; ``epicardium``: cavity and wall), ``slice``,
    ``frame``, ``dice``; 0 where the segmentation has nothing on the plane.
    """
    rows = []
    kinds = {"endocardium": (endocardium, (Label.LV,)), "epicardium": (epicardium, _WITHIN)}
    for contour, (planes, inside) in kinds.items():
        for z, t in np.argwhere(planes):
            found, truth = (np.isin(a[:, :, z, t], inside) for a in (labels, reference))
            dice = mask_dice(found, truth)
            rows.append({"contour": contour, "slice": int(z), "frame": int(t), "dice": dice})
    return rows
