"""Where the wall of the right ventricle meets that of the left one, from labels of one slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.labels import Label

Floats = NDArray[np.float64]

#: The right ventricle touches an arc of the left one of this many degrees, or it is not believed.
ARC_DEG = (40.0, 250.0)


@dataclass(frozen=True, kw_only=True)
class Insertion:
    """Both ends of the septum in one slice.

    Attributes
    ----------
    anterior_mm, inferior_mm : ndarray, shape (2,)
        Points on the epicardium, mm from the centre of voxel 0.
    middle : ndarray, shape (2,)
        Unit vector from the middle of the left ventricle to that of the septum.
    arc_deg
        Angle between both points as seen from the middle of the left ventricle.
    """

    anterior_mm: Floats
    inferior_mm: Floats
    middle: Floats
    arc_deg: float

    def swapped(self) -> Insertion:
        """Return the same with the two points exchanged."""
        return replace(self, anterior_mm=self.inferior_mm, inferior_mm=self.anterior_mm)


def find_insertion(labels: NDArray[np.uint8], *, spacing_mm: Sequence[float]) -> Insertion | None:
    """Find the two ends of the arc along which the right ventricle touches the left one.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y)
        `Label` values of one slice. Of several right-ventricular parts the largest counts.
    spacing_mm
        Voxel distances along x and y (further ones are ignored).

    Returns
    -------
    Insertion or None
        Which point is the anterior one is not known here; None where the ventricles do not touch,
        or along an arc that is not a septum's (`ARC_DEG`).
    """
    spacing = np.asarray(spacing_mm[:2], dtype=np.float64)
    left = (labels == Label.LV) | (labels == Label.MYO)
    right = _largest(labels == Label.RV)
    if not left.any() or not right.any():
        return None
    rim = left & ~ndimage.binary_erosion(left, border_value=0)
    # Networks leave a seam of background between wall and cavity now and then.
    away = ndimage.distance_transform_edt(~right, sampling=spacing)
    touching = np.argwhere(rim & (away <= 1.6 * spacing.max()))
    if len(touching) < 3:
        return None
    centre = np.argwhere(left).mean(axis=0) * spacing
    points = touching * spacing
    angles = np.arctan2(*(points - centre).T[::-1])
    order = np.argsort(angles)
    turned = angles[order]
    gaps = np.diff(turned, append=turned[0] + 2 * np.pi)
    widest = int(gaps.argmax())
    arc = 2 * np.pi - float(gaps[widest])
    if not ARC_DEG[0] <= np.rad2deg(arc) <= ARC_DEG[1]:
        return None
    first, last = order[(widest + 1) % len(order)], order[widest]
    middle = angles[first] + arc / 2
    return Insertion(
        anterior_mm=points[first],
        inferior_mm=points[last],
        middle=np.array([np.cos(middle), np.sin(middle)]),
        arc_deg=float(np.rad2deg(arc)),
    )


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, n_parts = ndimage.label(mask, np.ones((3, 3)))
    if n_parts < 2:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    return np.asarray(parts == 1 + int(sizes.argmax()))
