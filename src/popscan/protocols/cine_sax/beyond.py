"""Stacks that end within the ventricles: how large a slice may be that was never acquired.

The base of the right ventricle descends by about two centimetres in systole. A stack that reaches
the valves at end-diastole hardly shows the right ventricle in its most basal slice at
end-systole; where that slice is full of it, one or more basal slices are likely to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.volumes import find_phases

Floats = NDArray[np.float64]
#: RV area in a slice at ES, of the largest one at ES, from which that slice holds the RV.
RV_FILLED = 0.5


def rv_share_at_base(areas: Floats) -> float:
    """Return the RV's end-systolic area in the stack's most basal slice, of its largest.

    Parameters
    ----------
    areas : ndarray, shape (z,)
        Areas at end-systole from base to apex, in any unit.

    Returns
    -------
    float
        0 to 1; NaN without any RV.

    Examples
    --------
    >>> rv_share_at_base(np.array([6.0, 12.0, 3.0]))
    0.5
    """
    return float(areas[0] / areas.max()) if areas.any() else float("nan")


def beyond_stack(
    labels: NDArray[np.uint8], *, frame_labels: Sequence[str] | None = None
) -> Mapping[str, Floats]:
    """Return how large one more slice at the base would be, where the stack ends too early.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
        `Label` values.
    frame_labels
        Names of the frames, where ED and ES are named.

    Returns
    -------
    dict
        Structure -> voxels of the stack's most basal slice in each frame, shape (t,): the missing
        slice is taken to be as large. 0 where the RV leaves that slice at end-systole, and
        without RV or end-systole.
    """
    counts = {
        label: np.count_nonzero(labels == label, axis=(0, 1)).astype(float) for label in STRUCTURES
    }
    none = {name: np.zeros(labels.shape[3]) for name in STRUCTURES.values()}
    curve = counts[Label.LV].sum(axis=0)
    _, es = find_phases(np.where(curve > 0, curve, np.nan), frame_labels=frame_labels)
    if es is None:
        return none
    step = 1 if base_is_first(labels) else -1
    if not rv_share_at_base(counts[Label.RV][::step, es]) >= RV_FILLED:
        return none
    return {name: counts[label][::step][0] for label, name in STRUCTURES.items()}
