"""Intensities of whole scans."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A percentile of so many voxels is exact to well below the noise.
_ENOUGH = 400_000
#: So many outer slices of one value are no margin: scanners and interpolation make one or two.
_OWN = 2


def content_box(array: NDArray[Any]) -> tuple[slice, ...]:
    """Return where a scan has content: without the margins that a program put around it.

    An outer slice (row, column) belongs to the margin where all of its values, in every frame, are
    equal to the first one of the array, or, at the far end, to the last one. One or two on a side
    are the scan's own. A single other value (a burnt-in mark) makes a slice content.

    Parameters
    ----------
    array
        Shape (x, y), (x, y, z) or (x, y, z, ...); not empty.

    Returns
    -------
    tuple of slice
        Of the first three axes (or of both); the whole array where all values are equal.

    Examples
    --------
    >>> content_box(np.pad(np.arange(1.0, 10.0).reshape(3, 3), 5))
    (slice(5, 8, None), slice(5, 8, None))
    """
    box = tuple(slice(0, n) for n in array.shape[:3])
    while (inner := _peeled(array, box)) != box:
        if not _varies(array[inner]):
            return box  # a patch of one value in another is content
        box = inner  # inside of a margin of one value there may be one of another
    return box


def _peeled(array: NDArray[Any], box: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return the box without margins of one value; the same where nothing would be left."""
    part, inner = array[box], []
    for axis, old in enumerate(box):
        start, stop = _blank_ends(np.moveaxis(part, axis, 0))
        low = old.start + (start if start > _OWN else 0)
        high = old.stop - (stop if stop > _OWN else 0)
        if low >= high:
            return box
        inner.append(slice(low, high))
    return tuple(inner)


def _varies(array: NDArray[Any]) -> bool:
    return bool((array != array.flat[0]).any())


def _blank_ends(moved: NDArray[Any]) -> tuple[int, int]:
    """Return how many slices of one value there are before and after the content."""
    n, first, last = len(moved), moved.flat[0], moved.flat[-1]
    start = next((i for i in range(n) if not (moved[i] == first).all()), n)
    stop = next((i for i in range(n) if not (moved[n - 1 - i] == last).all()), n)
    return start, stop


def black_and_white(
    array: NDArray[Any], *, low_pct: float = 1.0, high_pct: float = 99.0
) -> tuple[np.float32, np.float32]:
    """Return two percentiles of an array, of large ones from an evenly thinned copy.

    Margins that a program put around the scan (`content_box`) do not count. Every so many-th voxel
    is taken, with a step that shares no factor with the length of any axis but the first: so all
    slices and frames have their part.

    Parameters
    ----------
    array
        Finite, not empty, of two or more axes.
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
    array = array[content_box(array)]
    step, inner = max(1, array.size // _ENOUGH), math.prod(array.shape[1:])
    while math.gcd(step, inner) > 1:
        step += 1
    # By index: a flat view of an array that lies in memory in another order would be a copy of it.
    chosen = np.unravel_index(np.arange(0, array.size, step), array.shape)
    low, high = np.percentile(array[chosen].astype(np.float32), [low_pct, high_pct])
    return np.float32(low), np.float32(high)
