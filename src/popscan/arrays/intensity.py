"""Intensities of whole scans."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A percentile of so many voxels is exact to well below the noise.
_ENOUGH = 400_000


def black_and_white(
    array: NDArray[Any], *, low_pct: float = 1.0, high_pct: float = 99.0
) -> tuple[np.float32, np.float32]:
    """Return two percentiles of an array, of large ones from an evenly thinned copy.

    Every so many-th voxel is taken, with a step that shares no factor with the length of any axis
    but the first: so all slices and frames have their part.

    Parameters
    ----------
    array
        Finite, of any shape, not empty.
    low_pct, high_pct
        Percentiles.

    Examples
    --------
    >>> frames = np.zeros((100, 100, 10, 20), np.float32)
    >>> frames[..., 10:] = 1.0
    >>> low, high = black_and_white(frames)
    >>> float(low), float(high)
    (0.0, 1.0)
    """
    step, inner = max(1, array.size // _ENOUGH), math.prod(array.shape[1:])
    while math.gcd(step, inner) > 1:
        step += 1
    # By index: a flat view of an array that lies in memory in another order would be a copy of it.
    chosen = np.unravel_index(np.arange(0, array.size, step), array.shape)
    low, high = np.percentile(array[chosen].astype(np.float32), [low_pct, high_pct])
    return np.float32(low), np.float32(high)
