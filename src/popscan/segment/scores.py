"""Scores of a segmentation against a reference, with seen and unseen subjects told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import score_labels
from popscan.records import LabelMap
from popscan.segment.bundle import Bundle


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
    subject. Means must never mix the two; a model scores itself too well on what it has seen.
    """
    seen = bundle.was_trained_on(unit)
    rows = score_labels(labels, reference, spacing_mm, frame_labels=frame_labels)
    return [{"unit": unit, "seen_in_training": seen} | row for row in rows]
