"""What stored phase values stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

#: What half a turn is often stored as: radians, milliradians.
RADIANS, MILLIRADIANS = math.pi, 1000.0 * math.pi
#: Share of half a turn that phase spans at least, and the share that noise in air fills.
_SPANNED, _FILLED = 0.05, 0.98


def half_turn(stored: ArrayLike, halves: Sequence[float]) -> float | None:
    """Return what half a turn is stored as, if the range of the values leaves one answer.

    Values up to 1500 could be milliradians or 4096ths, unless noise in the air fills the turn.

    Parameters
    ----------
    stored
        Phase images, any shape.
    halves
        What half a turn can be stored as; what is no number above 0 is passed over.

    Returns
    -------
    float or None
        One of `halves`; None where none fits, or several do.
    """
    values = np.asarray(stored, dtype=np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    fitting = sorted({half for half in halves if _SPANNED * half < largest <= 1.001 * half})
    if fitting and (len(fitting) == 1 or largest > _FILLED * fitting[0]):
        return fitting[0]
    return None
