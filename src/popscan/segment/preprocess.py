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
    low, high = black_and_white(array, low_pct=low_pct, high_pct=high_pct)
    values = torch.from_numpy(np.array(array, np.float32))
    return scaled(values, low=float(low), high=float(high)).numpy()


def scaled(values: torch.Tensor, *, low: float, high: float) -> torch.Tensor:
    """Return float32 intensities with `low` as 0 and `high` as 1, cut off; 0 if they are equal."""
    if not high > low:
        return torch.zeros_like(values)
    return values.sub(low).div_(high - low).clamp_(LOWEST, HIGHEST)


def slices(array: NDArray[Any]) -> torch.Tensor:
    """Return (x, y, z, t) as a stack of slices (t * z, x, y), z running fastest.

    What comes from NIfTI has x running fastest in memory and is not copied; the stack is a view.
    """
    x, y, z, t = array.shape
    stack = np.require(array.transpose(3, 2, 1, 0), requirements=["C", "W"])
    return torch.from_numpy(stack.reshape(t * z, y, x)).transpose(1, 2)


def unslice(stack: torch.Tensor, *, n_slices: int) -> NDArray[Any]:
    """Return a stack (t * z, x, y) as an array (x, y, z, t): the inverse of `slices`."""
    n, x, y = stack.shape
    return (
        stack.reshape(n // n_slices, n_slices, x, y).permute(2, 3, 1, 0).contiguous().cpu().numpy()
    )


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


def opposite_frames(n_frames: int) -> list[int]:
    """Return for every frame of a cycle one in which the organ looks most unlike it.

    That is the first (where series of a cycle are triggered) or the one after a third of the cycle
    (near the other extreme), whichever is farther away in the cycle; a frame that is alone has
    only itself.

    Examples
    --------
    >>> opposite_frames(2)
    [1, 0]
    >>> opposite_frames(9)
    [3, 3, 0, 0, 0, 0, 0, 3, 3]
    """
    early, late = 0, min(n_frames - 1, max(1, n_frames // 3))

    def apart(a: int, b: int) -> int:
        return min((a - b) % n_frames, (b - a) % n_frames)

    return [late if apart(t, late) > apart(t, early) else early for t in range(n_frames)]
