"""What a bundle should know of its training scans, from these scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from popscan.segment.bundle import MODEL
from popscan.segment.content import ARRAY, digests_of
from popscan.segment.trainingfile import write_training
from popscan.train.packs import Case
from popscan.yamlfile import read_yaml


def store_digests(folder: Path, cases: Sequence[Case]) -> int:
    """Write salted digests of training images into a bundle, in place of those that it has.

    Parameters
    ----------
    folder
        Of the bundle; its salt is taken.
    cases
        Scans that the bundle was trained on; of each the labelled frames.

    Returns
    -------
    int
        Slices whose digests were written.
    """
    salt = str(read_yaml(folder / MODEL)["trained_on"]["salt"])
    parts = [digests_of(c.scan.array, salt=salt, frames=c.labels.frames) for c in cases]
    digests = np.unique(np.concatenate(parts), axis=0)
    write_training(folder, {ARRAY: digests})
    return len(digests)
