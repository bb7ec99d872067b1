"""What several stages read of a subject: image, labels, numbers that may be anything."""

from __future__ import annotations

import math
from typing import SupportsFloat

from popscan.records import LabelMap, Scan, Subject
from popscan.study.context import ShardContext


def to_number(value: object) -> float:
    """Return a number; NaN for what is none."""
    if not isinstance(value, SupportsFloat | str):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def read_digests(context: ShardContext, subject: Subject) -> dict[str, str]:
    """Digests of the labels and of the images that they were drawn on."""
    image = context.image_stage(subject)
    return {stage: context.digest(stage, subject) for stage in ("segment", image)}


def scan_and_labels(
    context: ShardContext, subject: Subject, *, voxels: bool = True
) -> tuple[Scan, LabelMap]:
    """Read a subject's image, or its grid alone, and the labels that the model gave it."""
    from popscan.io.nifti import read_grid, read_labels, read_scan

    image = context.path(context.image_stage(subject), subject, context.names.image(subject))
    scan = read_scan(image) if voxels else read_grid(image)
    return scan, read_labels(context.path("segment", subject, context.names.labels(subject)))
