"""Scores of a segmentation against a reference, with seen and unseen subjects distinguished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import score_labels
from popscan.arrays.morphology import Code
from popscan.records import LabelMap, SubjectError
from popscan.segment.errors import confusion, take_apart


class TrainedOn(Protocol):
    """What knows the subjects of its training: a model bundle, or what stands for one."""

    def was_trained_on(self, unit: str) -> bool:
        """Whether it was trained on a subject."""
        ...


def score_segmentation(
    unit: str,
    labels: NDArray[np.uint8],
    reference: LabelMap,
    spacing_mm: Sequence[float],
    *,
    bundle: TrainedOn,
    structures: Mapping[Code, str],
    frame_labels: Sequence[str] | None = None,
    seen: bool | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of `popscan.arrays.metrics.score_labels` with whose they are.

    Each row begins with ``unit`` and ``seen_in_training``: whether the bundle was trained on this
    subject. Means must never mix the two; a model scores itself too well on what it has seen.
    `seen` says so where the images were compared (`Bundle.recognise`), else the name decides. A
    row ends with the kinds of error of `popscan.segment.errors.take_apart`.

    Parameters
    ----------
    structures
        Code -> name, in the order of the rows.

    Raises
    ------
    SubjectError
        ``bad_labels`` where a code is above the largest of `structures`.
    """
    largest = max(structures)
    for name, array in (("labels", labels), ("reference labels", reference.array)):
        if array.size and (highest := int(array.max())) > largest:
            raise SubjectError(
                "bad_labels", f"{name}: code {highest}; 0 to {int(largest)} are expected"
            )
    seen = bundle.was_trained_on(unit) if seen is None else seen
    rows = score_labels(
        labels, reference, spacing_mm, structures=structures, frame_labels=frame_labels
    )
    kinds = {
        frame: take_apart(
            confusion(labels[..., frame], reference.array[..., frame], largest=largest), structures
        )
        for frame in reference.frames
    }
    return [
        {"unit": unit, "seen_in_training": seen, **row, **kinds[row["frame"]][row["structure"]]}
        for row in rows
    ]
