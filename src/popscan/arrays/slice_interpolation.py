"""Volume of a structure whose shape is interpolated between its slices.

Shape-based interpolation of signed distances (Raya and Udupa, IEEE TMI 1990;9:32,
doi:10.1109/42.52980), monotone along the slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from popscan.arrays.morphology import bounding_box

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def signed_distance_mm(mask: Mask, spacing_mm: Sequence[float]) -> Floats:
    """Distance of every voxel centre of a plane from the mask's edge, positive inside.

    What lies beyond the plane is outside of the mask.

    Examples
    --------
    >>> signed_distance_mm(np.array([[False, True, True, True, False]]), (1.0, 1.0)).tolist()
    [[-0.5, 0.5, 0.5, 0.5, -0.5]]
    """
    half = 0.5 * float(np.sqrt(spacing_mm[0] * spacing_mm[1]))
    padded = np.pad(mask, 1)
    inside = ndimage.distance_transform_edt(padded, sampling=spacing_mm[:2])
    outside = ndimage.distance_transform_edt(~padded, sampling=spacing_mm[:2])
    found: Floats = np.where(padded, inside - half, half - outside)[1:-1, 1:-1]
    return found


def interpolated_volume_mm3(mask: Mask, *, spacing_mm: Sequence[float], steps: int = 6) -> float:
    """Volume of a mask with its shape interpolated between slices.

    Between its first and last slice signed distances are interpolated, `steps` levels a gap; beyond
    them half a slice distance is added as a disc, as summation does. Slices in between without the
    mask are taken as missing, and bridged.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    spacing_mm
        Distance of voxel centres along x, y, z.
    steps
        Levels between two slices.

    Returns
    -------
    float
        0 for an empty mask; of a single slice its disc.
    """
    held = np.flatnonzero(mask.any(axis=(0, 1)))
    pixel, distance = spacing_mm[0] * spacing_mm[1], float(spacing_mm[2])
    areas = mask[:, :, held].sum(axis=(0, 1)) * pixel
    if held.size < 2:
        return float(areas.sum() * distance)
    box = bounding_box(np.asarray(mask.any(axis=2)))
    inside = np.pad(mask[box][:, :, held], ((2, 2), (2, 2), (0, 0)))
    fields = [signed_distance_mm(inside[:, :, k], spacing_mm) for k in range(held.size)]
    shape = PchipInterpolator(held * distance, np.stack(fields), axis=0)
    count = int(held[-1] - held[0]) * steps
    levels = held[0] * distance + (np.arange(count) + 0.5) * distance / steps
    edge = float(np.sqrt(pixel))
    between = np.clip(shape(levels) / edge + 0.5, 0.0, 1.0).sum() * pixel * distance / steps
    return float(between + 0.5 * (areas[0] + areas[-1]) * distance)
