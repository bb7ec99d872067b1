"""What a segmentation without a network gives: labels, and numbers on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labels of a scan.

    Attributes
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
        Codes of the protocol's label set.
    values
        Numbers and words for the table of segmentations.
    tally
        Samples of a network; None without one.
    """

    labels: NDArray[np.uint8]
    values: Mapping[str, Any] = field(default_factory=dict)
    tally: None = None
