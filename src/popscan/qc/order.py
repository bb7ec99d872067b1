"""Do the slices of a stack lie in their order? Neighbours in the body look like each other.

A file that was put together by the names of its slices (1, 10, 2, ...), from interleaved slices, or
with two exchanged has the right voxels, spacing and volumes, and a wrong anatomy: everything that
looks at neighbours or counts from one end is wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.qc.context import ScanContext
from popscan.qc.model import Measured, not_assessed

Floats = NDArray[np.float64]
#: With fewer slices one has too few neighbours to say where it belongs.
LEAST_SLICES = 5
#: Details smaller than this differ from slice to slice and are smoothed away.
SMOOTH_MM = 8.0
#: Share of either side of the image that is cut off: arms, background, folded tissue.
MARGIN = 0.2
#: Slices less like each other than this say nothing: beyond the organ, or all noise.
FAINT = 0.3
#: What is left of a constant slice, relative to its norm, is rounding.
ROUNDING = 1e-9
#: The outermost slices have one neighbour each: a move that needs them needs so much more gain.
END_WEIGHT = 0.2


def slice_order(ctx: ScanContext) -> Measured:
    """Gain in likeness of neighbouring slices if a part of the stack were moved or turned round.

    Likeness is the correlation of the smoothed middle of two slices, averaged over the frames; the
    gain is the sum over the neighbours that a move parts and joins, and below 0 where the order is
    right; moves of the outermost slices count `END_WEIGHT` of it. A stack that is turned round as a
    whole is not found (its neighbours are the same), and an outermost slice exchanged with the next
    only sometimes: `benchmarks/slice_order.py` counts.
    """
    if ctx.n_slices < LEAST_SLICES:
        return not_assessed(f"fewer than {LEAST_SLICES} slices")
    if ctx.blank_planes.any():
        return not_assessed("there are blank slices")
    gain, part, goal = best_move(likeness(ctx.mean_image, ctx.spacing_mm[:2]))
    first, last = part[0] + 1, part[1] + 1
    which = f"slice {first}" if first == last else f"slices {first} to {last}"
    place = f"before slice {goal + 1}" if goal < ctx.n_slices else "at the end"
    how = f"{which} would lie better {place}"
    if goal == part[1] + 1:
        how = f"{which} would lie better in the opposite order"
    return Measured(gain, how if gain > 0 else "no other order fits better")


def likeness(volume: NDArray[np.floating], spacing_mm: tuple[float, float]) -> Floats:
    """Correlation of every two slices' smoothed middles.

    Parameters
    ----------
    volume : ndarray, shape (x, y, z)
        Grey values.
    spacing_mm
        In the plane.

    Returns
    -------
    ndarray, shape (z, z)
        At least `FAINT`; constant slices correlate with nothing.
    """
    trim_x, trim_y = (int(MARGIN * n) for n in volume.shape[:2])
    middle = volume[trim_x : volume.shape[0] - trim_x, trim_y : volume.shape[1] - trim_y]
    sigma = [SMOOTH_MM / step for step in spacing_mm]
    slices = np.moveaxis(middle, 2, 0).astype(np.float64)
    planes = [ndimage.gaussian_filter(plane, sigma) for plane in slices]
    rows = np.stack(planes).reshape(len(planes), -1)
    whole = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    # A constant slice is not exactly constant once it is smoothed.
    rows = np.divide(rows, size, out=np.zeros_like(rows), where=size > ROUNDING * whole)
    return np.maximum(rows @ rows.T, FAINT)


def best_move(similarity: Floats) -> tuple[float, tuple[int, int], int]:
    """Find the move of one part of a sequence that makes neighbours most like each other.

    A part is turned round where it stands, or moved to another place.

    Parameters
    ----------
    similarity : ndarray, shape (n, n)
        Symmetric likeness.

    Returns
    -------
    gain
        Of the sum over neighbours, weighed by `END_WEIGHT` where an end takes part; may be
        negative.
    part
        First and last index of the part.
    goal
        Index before which it goes; the one behind `part` where it is turned round.
    """
    n = len(similarity)
    e = np.zeros((n + 2, n + 2))  # Index 0 and n + 1: beyond the ends, like nothing.
    e[1:-1, 1:-1] = similarity
    best, part, goal = -np.inf, (0, 0), 0
    for i in range(1, n + 1):
        for j in range(i + 1, n + 2):  # The part is i .. j - 1.
            weight = 1.0 if i > 1 else END_WEIGHT
            cut = e[i - 1, i] + e[j - 1, j]
            if j - i > 1 and (i, j) != (1, n + 1):
                gain = (weight if j <= n else END_WEIGHT) * (e[i - 1, j - 1] + e[i, j] - cut)
                if gain > best:
                    best, part, goal = float(gain), (i - 1, j - 2), j - 1
            k = np.arange(j + 1, n + 2)
            if not k.size:
                continue
            gains = e[i - 1, j] + e[k - 1, i] + e[j - 1, k] - cut - e[k - 1, k]
            gains = np.where(k <= n, weight, END_WEIGHT) * gains
            at = int(np.argmax(gains))
            if gains[at] > best:
                best, part, goal = float(gains[at]), (i - 1, j - 2), int(k[at]) - 1
    return best, part, goal
