"""Length of the endocardium in one long-axis plane, from hinge to hinge around the apex."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from popscan.protocols.cine_lax.labels import LV

Floats = NDArray[np.float64]

#: Pixels have corners, which would lengthen an outline by a quarter: smoothed by so many pixels.
_SMOOTHED = 1.0
_PADDING = 6


def endocardium_mm(labels: NDArray[np.uint8], matrix: Floats, *, hinges: Floats) -> float:
    """Return the length of the cavity's border without the valve's line; NaN without a border.

    Parameters
    ----------
    labels : ndarray, shape (x, y)
        One frame of a plane.
    matrix : ndarray, shape (2, 2)
        Pixel steps to mm (`popscan.protocols.cine_lax.geometry.in_plane`).
    hinges : ndarray, shape (2, 2)
        Ends of the valve's line, in mm of the plane.
    """
    pieces, n = ndimage.label(labels == LV)
    if n == 0:
        return math.nan
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    soft = ndimage.gaussian_filter(np.pad(largest, _PADDING).astype(float), _SMOOTHED)
    outlines = find_contours(soft, 0.5)
    if not outlines:
        return math.nan
    points = (max(outlines, key=len)[:-1] - _PADDING) @ matrix.T
    ends = [int(np.linalg.norm(points - hinge, axis=1).argmin()) for hinge in hinges]
    first, second = sorted(ends)
    one = points[first : second + 1]
    other = np.concatenate([points[second:], points[: first + 1]])
    base = hinges.mean(axis=0)
    # The arc along the valve stays near its line; the other one goes around the apex.
    arc = max((one, other), key=lambda part: float(np.linalg.norm(part - base, axis=1).max()))
    return float(np.linalg.norm(np.diff(arc, axis=0), axis=1).sum())
