"""Where the heart is: a window for the networks, from a first look at a few slices."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage

from popscan.arrays.resampling import Window

#: Pixels of the training grid kept around what the first look found.
_MARGIN = 18
#: Fewer pixels than this in the best piece are no heart.
_LEAST_PIXELS = 60


def scout_frames(n_frames: int) -> list[int]:
    """Return which frames to look at first: near end-diastole, and near end-systole."""
    return sorted({0, n_frames // 3})


def scout_slices(n_slices: int, n_frames: int) -> list[int]:
    """Return which slices of a stack (t * z) to look at first.

    Up to three slices of the middle half, where the heart is largest, at the first frame
    (near end-diastole) and after a third of the cycle (near end-systole).
    """
    low, high = (n_slices - 1) * 0.3, (n_slices - 1) * 0.65
    chosen = sorted({round(z) for z in np.linspace(low, high, 3)})
    return [t * n_slices + z for t in scout_frames(n_frames) for z in chosen]


def heart_window(heart: torch.Tensor, *, patch: int, multiple: int) -> Window | None:
    """Return the window around the most convincing piece, or None where there is no heart.

    Parameters
    ----------
    heart
        Probability of any structure in the slices looked at, shape (n, x, y), training spacing.
    patch
        Side the networks were trained with; the window is never smaller.
    multiple
        Sides are multiples of this.

    Notes
    -----
    The slices are averaged first: a heart is at one place in all of them, a false alarm is not.
    """
    mean = heart.mean(dim=0).cpu().numpy()
    pieces, n = ndimage.label(mean > 0.25)
    if not n:
        return None
    mass = ndimage.sum_labels(mean, pieces, range(1, n + 1))
    best = int(np.argmax(mass)) + 1
    if np.count_nonzero(pieces == best) < _LEAST_PIXELS:
        return None
    (xs, ys) = ndimage.find_objects(pieces)[best - 1]
    spans = [(s.start, s.stop) for s in (xs, ys)]
    sides = [max(patch, stop - start + 2 * _MARGIN) for start, stop in spans]
    size = tuple(math.ceil(side / multiple) * multiple for side in sides)
    centre = tuple((start + stop - 1) / 2 for start, stop in spans)
    return Window.around((centre[0], centre[1]), (size[0], size[1]))
