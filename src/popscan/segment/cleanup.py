"""Islands: what no heart has, and networks leave now and then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.records import STRUCTURES, Label

#: Voxels touch across faces, edges and corners: slices 10 mm apart shift against each other.
_TOUCH = np.ones((3, 3, 3), dtype=bool)


def _islands(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """Return all but the largest piece of a mask (x, y, z), and how many pieces that is."""
    pieces, n = ndimage.label(mask, structure=_TOUCH)
    if n < 2:
        return np.zeros_like(mask), 0
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return mask & (pieces != int(sizes.argmax())), n - 1


def keep_largest(labels: NDArray[np.uint8]) -> int:
    """Set islands to background, in place; return how many there were.

    Per frame of `labels` (x, y, z, t): first whatever is not connected with the largest piece
    of the heart, then of each structure all but its largest piece.
    """
    removed = 0
    inside = np.argwhere((labels != int(Label.BACKGROUND)).any(axis=(2, 3)))
    if not len(inside):
        return removed
    # Connected pieces are searched where the heart is, not in the whole field of view.
    (x0, y0), (x1, y1) = inside.min(axis=0), inside.max(axis=0) + 1
    labels = labels[x0:x1, y0:y1]
    for frame in range(labels.shape[3]):
        volume = labels[..., frame]
        islands, n = _islands(volume != int(Label.BACKGROUND))
        volume[islands] = int(Label.BACKGROUND)
        removed += n
        for label in STRUCTURES:
            islands, n = _islands(volume == int(label))
            volume[islands] = int(Label.BACKGROUND)
            removed += n
    return removed
