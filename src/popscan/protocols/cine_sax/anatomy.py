"""What no short-axis slice of a heart looks like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.morphology import components, hole_voxels, touching
from popscan.protocols.cine_sax.labels import Label

Flags = NDArray[np.bool_]


def impossible_slices(labels: NDArray[np.uint8]) -> dict[str, Flags]:
    """Return which slices break which law of anatomy.

    The laws of Painchaud et al. 2020 (doi:10.1109/TMI.2020.3003240) that hold for slices of any
    height. That the myocardium is a closed ring is not among them: at the outflow tract it is
    open, in expert labels too.

    Parameters
    ----------
    labels
        Shape (x, y, z, t).

    Returns
    -------
    dict
        Law -> (z, t) bool, true where broken: ``hole_rv, hole_lv, pieces_rv, pieces_lv,
        pieces_myo, hole_between`` (voxels of background enclosed by the myocardium and LV
        together), ``rv_touches_lv``, and ``any``. All false for an empty array.
    """
    rv, myo, lv = (labels == int(k) for k in (Label.RV, Label.MYO, Label.LV))
    broken: dict[str, Flags] = {
        "hole_rv": hole_voxels(rv) > 0,
        "hole_lv": hole_voxels(lv) > 0,
        "hole_between": hole_voxels(myo | lv) > 0,
        "rv_touches_lv": touching(rv, lv),
    }
    for name, mask in (("rv", rv), ("myo", myo), ("lv", lv)):
        broken[f"pieces_{name}"] = components(mask, in_plane=True).count > 1
    broken["any"] = np.logical_or.reduce(list(broken.values()))
    return broken


def impossible_share(labels: NDArray[np.uint8]) -> float:
    """Return the share of labelled slices that break any law; NaN without a labelled slice.

    Examples
    --------
    >>> labels = np.zeros((5, 5, 2, 1), np.uint8)
    >>> labels[1:4, 1:4] = Label.MYO
    >>> labels[2, 2] = Label.LV
    >>> labels[2, 1, 1] = Label.BACKGROUND  # still one piece, still no hole
    >>> labels[2, 2, 1] = Label.RV
    >>> impossible_share(labels)
    0.0
    >>> labels[2, 2, 1] = Label.BACKGROUND
    >>> labels[2, 1, 1] = Label.MYO  # now a hole
    >>> impossible_share(labels)
    0.5
    """
    labelled = (labels != int(Label.BACKGROUND)).any(axis=(0, 1))
    if not labelled.any():
        return float("nan")
    return float(impossible_slices(labels)["any"][labelled].mean())
