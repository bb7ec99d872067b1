"""Volume and labels of structures whose shapes are interpolated between slices.

Shape-based interpolation of signed distances (Raya and Udupa, IEEE TMI 1990;9:32,
doi:10.1109/42.52980), monotone along the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from popscan.arrays.morphology import bounding_box
from popscan.records import PopscanError

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
#: Largest code of a label map.
_MOST = 255


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


def interpolated_labels(
    labels: NDArray[np.integer[Any]],
    places_mm: ArrayLike,
    at_mm: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    layers: Sequence[Sequence[int]],
) -> NDArray[np.uint8]:
    """Label maps of planes between slices, from the signed distances in the slices.

    Parameters
    ----------
    labels : ndarray, shape (x, y, z)
        Codes up to 255, 0 for background.
    places_mm
        Where the slices are, increasing, (z,).
    at_mm
        Where labels are wanted, (n,). Beyond the first and the last slice they are those of it.
    spacing_mm
        Distance of voxel centres along x and y.
    layers
        Each a code and those that lie within it: they are interpolated as one structure, and later
        layers are painted over earlier ones.

    Returns
    -------
    ndarray of uint8, shape (x, y, n)
        Towards a slice without it a structure shrinks, and ends about half-way, on either side by
        itself. The order of the slices does not matter. All 0 without layers.

    Raises
    ------
    PopscanError
        If there is no slice, their places are not as many or do not increase, a place is not a
        finite number, or a layer's code is not one from 0 to 255.
    """
    places, at = np.asarray(places_mm, float), np.asarray(at_mm, float)
    if labels.ndim != 3 or not labels.shape[2] or places.shape != labels.shape[2:]:
        raise PopscanError(
            f"labels {labels.shape} at {places.shape} places: one a slice is expected"
        )
    if not (np.isfinite(places).all() and np.isfinite(at).all()):
        raise PopscanError("places: finite numbers of millimetres are expected")
    if (np.diff(places) <= 0).any():
        raise PopscanError("places of slices that increase are expected")
    if odd := [layer for layer in layers if not layer or not 0 <= layer[0] <= _MOST]:
        raise PopscanError(f"layers: codes from 0 to {_MOST} are expected; found {odd}")
    found = np.zeros((*labels.shape[:2], at.size), np.uint8)
    for layer in layers:
        mask = np.isin(labels, layer)
        held = np.flatnonzero(mask.any(axis=(0, 1)))
        if not held.size:
            continue
        for run in np.split(held, np.flatnonzero(np.diff(held) > 1) + 1):
            inside = _run_at(mask, run, places, at, spacing_mm=spacing_mm)
            found[np.moveaxis(inside, 0, -1)] = layer[0]
    return found


def _run_at(
    mask: Mask, run: NDArray[np.intp], places: Floats, at: Floats, *, spacing_mm: Sequence[float]
) -> Mask:
    """Return where a structure is at other places, by neighbouring slices that show it.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    run
        Numbers of slices that follow each other, the structure in all of them; slices beside them
        are taken as without it.
    places, at
        In mm, (z,) and (n,).
    spacing_mm
        Distance of voxel centres along x and y.

    Returns
    -------
    ndarray of bool, shape (n, x, y)
    """
    fields = np.stack([signed_distance_mm(mask[:, :, k], spacing_mm) for k in run])
    numbers = np.arange(places.size)
    nearest = np.clip(numbers, run[0], run[-1]) - run[0]
    depth = fields.max(axis=(1, 2))[nearest] * ((numbers < run[0]) | (numbers > run[-1]))
    stack = fields[nearest] - 2 * depth[:, None, None]
    if places.size > 1:
        stack = PchipInterpolator(places, stack, axis=0)(np.clip(at, places[0], places[-1]))
    inside: Mask = np.broadcast_to(stack > 0, (at.size, *stack.shape[1:]))
    return inside


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
