"""Islands, holes and other things that no heart has and networks leave now and then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.morphology import components
from popscan.protocols.cine_sax.anatomy import impossible_slices
from popscan.protocols.cine_sax.labels import STRUCTURES, Label

#: What is larger than this share of the structure it belongs to, or lies in, is no slip to mend:
#: at the outflow tract an RV is in two pieces in truth.
_SLIP = 0.2
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


def _clearly_whole(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return in which frames (t) a mask is one piece in each slice and these overlap: no islands.

    Most hearts are so, and to see it is several times faster than to search pieces in 3D.
    """
    count = components(mask, in_plane=True).count
    steps = (mask[:, :, :-1] & mask[:, :, 1:]).any(axis=(0, 1)).sum(axis=0)
    whole = (count <= 1).all(axis=0) & (steps >= (count > 0).sum(axis=0) - 1)
    return np.asarray(whole, dtype=bool)


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
    box = labels[x0:x1, y0:y1]
    for wanted in (None, *STRUCTURES):
        mask = box != int(Label.BACKGROUND) if wanted is None else box == int(wanted)
        for frame in np.flatnonzero(~_clearly_whole(mask)):
            islands, n = _islands(mask[..., frame])
            box[..., frame][islands] = int(Label.BACKGROUND)
            removed += n
    return removed


def _neighbours(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that share a side with a mask (x, y) and are not in it."""
    return ndimage.binary_dilation(mask) & ~mask


def _absorb(plane: NDArray[np.uint8], piece: NDArray[np.bool_]) -> None:
    """Give a piece of a slice the label that most of the pixels around it have."""
    around = plane[_neighbours(piece)]
    plane[piece] = np.bincount(around, minlength=1).argmax() if around.size else 0


def _mend_slice(plane: NDArray[np.uint8]) -> None:
    for label in STRUCTURES:
        pieces, n = ndimage.label(plane == int(label), structure=_TOUCH[1])
        sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
        for piece in range(1, n + 1):
            if sizes[piece - 1] < _SLIP * sizes.max():
                _absorb(plane, pieces == piece)
    for closed in ((Label.RV,), (Label.LV,), (Label.MYO, Label.LV)):
        mask = np.isin(plane, closed)
        holes, n = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
        for hole in range(1, n + 1):
            inside = holes == hole
            empty = (plane[inside] == int(Label.BACKGROUND)).all()
            if empty or np.count_nonzero(inside) < _SLIP * np.count_nonzero(mask):
                _absorb(plane, inside)
    # A septum of one pixel where the cavities touch.
    plane[(plane == int(Label.LV)) & _neighbours(plane == int(Label.RV))] = int(Label.MYO)


def mend_slices(labels: NDArray[np.uint8]) -> int:
    """Repair anatomically impossible slices, in place; return how many there were.

    In every slice that breaks a law of anatomy, small pieces of a structure, and
    background or small pieces that a structure encloses, take the label that most of the pixels
    around them have; where RV and LV touch, a septum of one pixel is drawn. Pieces of a fifth of
    the structure and more stay, and so do other slices.

    Parameters
    ----------
    labels
        Shape (x, y, z, t).
    """
    inside = np.argwhere((labels != int(Label.BACKGROUND)).any(axis=(2, 3)))
    if not len(inside):
        return 0
    (x0, y0), (x1, y1) = inside.min(axis=0), inside.max(axis=0) + 1
    # A rim of background, so that a heart at the border of the image is mended like any other.
    box = np.pad(labels[x0:x1, y0:y1], ((1, 1), (1, 1), (0, 0), (0, 0)))
    broken = np.argwhere(impossible_slices(box)["any"])
    for z, t in broken:
        _mend_slice(box[:, :, z, t])
    labels[x0:x1, y0:y1] = box[1:-1, 1:-1]
    return len(broken)
