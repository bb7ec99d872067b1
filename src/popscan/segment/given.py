"""Labels that came with the images: drawn by a person, or by another program."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from popscan.columns import Column, text
from popscan.labelset import GIVEN
from popscan.records import LabelMap, Scan, SubjectError
from popscan.segment.labelled import Labelled

#: What the method says of a subject.
COLUMNS: Mapping[str, Column] = {
    "labels_by": text("given: the labels came with the images; nothing was segmented"),
}


def given_labels(scan: Scan, *, given: LabelMap | None = None) -> Labelled:
    """Return the reference labels as the segmentation: nothing is segmented here.

    Parameters
    ----------
    scan
        The scan.
    given
        Labels that the source had. Where they are of one frame only and the series has no time
        axis, every frame has the same.

    Raises
    ------
    SubjectError
        ``no_labels`` without any.
    """
    if given is None:
        raise SubjectError(
            "no_labels",
            f"{scan.view}: no usable label file came with the images; method `given` expects one",
        )
    labels = given.array
    if len(given.frames) == 1:
        labels = np.repeat(labels[..., list(given.frames)], scan.array.shape[3], axis=3)
    return Labelled(labels=labels, values={"labels_by": GIVEN})
