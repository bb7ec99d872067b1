"""Scores against contours of the left ventricle, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import mask_dice
from popscan.protocols.cine_sax.labels import Label

#: What lies within the epicardium.
_WITHIN = (Label.LV, Label.MYO)


def score_contours(
    labels: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    *,
    endocardium: NDArray[np.bool_],
    epicardium: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Compare a segmentation with contours of the LV, plane by plane, where there is one.

    Parameters
    ----------
    labels, reference
        Segmentation and filled contours, `Label` values, shape (x, y, z, t).
    endocardium, epicardium
        Planes that have a contour, shape (z, t).

    Returns
    -------
    Rows ``contour`` (``endocardium``: the cavity; ``epicardium``: cavity and wall), ``slice``,
    ``frame``, ``dice``; 0 where the segmentation has nothing on the plane.
    """
    rows = []
    kinds = {"endocardium": (endocardium, (Label.LV,)), "epicardium": (epicardium, _WITHIN)}
    for contour, (planes, inside) in kinds.items():
        for z, t in np.argwhere(planes):
            found, truth = (np.isin(a[:, :, z, t], inside) for a in (labels, reference))
            dice = mask_dice(found, truth)
            rows.append({"contour": contour, "slice": int(z), "frame": int(t), "dice": dice})
    return rows
