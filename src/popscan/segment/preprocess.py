"""From intensities as stored to what the networks see."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.intensity import black_and_white

#: Intensities beyond this range (after scaling to 0..1) are cut off.
LOWEST, HIGHEST = -0.5, 2.0


def normalise(
    array: NDArray[Any], *, low_pct: float = 1.0, high_pct: float = 99.0
) -> NDArray[np.float32]:
    """Scale so that the given percentiles of the whole array become 0 and 1.

    Robust to a few bright voxels, and unchanged by any positive scaling or shift of the input.
    A constant array becomes 0 everywhere.

    Parameters
    ----------
    array
        Finite intensities of any shape: a whole scan, never single slices, so that slices keep
        their brightness relative to each other.
    low_pct, high_pct
        Percentiles.
    """
    values = np.asarray(array, dtype=np.float32)
    low, high = black_and_white(values, low_pct=low_pct, high_pct=high_pct)
    if not high > low:
        return np.zeros_like(values)
    scaled = (values - low) / (high - low)
    return np.clip(scaled, LOWEST, HIGHEST, out=scaled)


def slices(array: NDArray[Any]) -> torch.Tensor:
    """Return (x, y, z, t) as a stack of slices (t * z, x, y), z running fastest."""
    x, y, z, t = array.shape
    stack = np.ascontiguousarray(array.transpose(3, 2, 0, 1)).reshape(t * z, x, y)
    return torch.from_numpy(stack)


def unslice(stack: NDArray[Any], *, n_slices: int) -> NDArray[Any]:
    """Return a stack (t * z, x, y) as (x, y, z, t): the inverse of `slices`."""
    n, x, y = stack.shape
    return np.ascontiguousarray(stack.reshape(n // n_slices, n_slices, x, y).transpose(2, 3, 1, 0))


def neighbours(index: torch.Tensor, *, n_slices: int, context: int) -> torch.Tensor:
    """Return each slice's neighbours in its own stack.

    Parameters
    ----------
    index
        Positions in a stack of stacks (t * z), shape (n,).
    n_slices
        Slices per stack, z.
    context
        How many neighbours on each side; 0 gives the slices alone.

    Returns
    -------
    Positions, shape (n, 1 + 2 context), the slice itself in the middle; beyond the end of its
    stack, the end.
    """
    first = index - index % n_slices
    reach = torch.arange(-context, context + 1)
    z = (index % n_slices)[:, None] + reach
    return first[:, None] + z.clamp(0, n_slices - 1)
