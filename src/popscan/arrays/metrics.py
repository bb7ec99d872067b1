"""Agreement of two segmentations: overlap, surface distances and volumes.

One expensive function (`surface_distances_mm`), cheap ones on its result. Masks are boolean
arrays of one shape, 2D or 3D; spacing has one value per axis. What is undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.morphology import Code
from popscan.records import LabelMap

Mask = NDArray[np.bool_]
Directed = tuple[NDArray[np.float64], NDArray[np.float64]]


def _check(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")


def mask_dice(a: Mask, b: Mask) -> float:
    """Return the Dice overlap ``2 |a and b| / (|a| + |b|)``; NaN when both are empty.

    Examples
    --------
    >>> mask_dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    _check(a, b)
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else float("nan")


def dice(a: NDArray[Any], b: NDArray[Any], label: int) -> float:
    """Return the Dice overlap of one label of two label arrays; NaN when neither has it."""
    return mask_dice(np.asarray(a) == int(label), np.asarray(b) == int(label))


def _surface(mask: Mask) -> Mask:
    """Return the voxels of `mask` with a face on its outside (the border of the array is one)."""
    return mask & ~ndimage.binary_erosion(mask, border_value=0)


def _box(mask: Mask) -> tuple[slice, ...]:
    axes = range(mask.ndim)
    ranges = []
    for axis in axes:
        hit = np.flatnonzero(mask.any(axis=tuple(i for i in axes if i != axis)))
        ranges.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(ranges)


def surface_distances_mm(a: Mask, b: Mask, *, spacing_mm: Sequence[float]) -> Directed:
    """Return the distances of a's surface voxels to b's surface, and of b's to a's.

    Parameters
    ----------
    a, b
        Masks of one shape.
    spacing_mm
        Distance of voxel centres along each axis.

    Returns
    -------
    Two arrays in mm, both empty if either mask is empty.
    """
    _check(a, b)
    if len(spacing_mm) != a.ndim:
        raise ValueError(f"{a.ndim} axes but {len(spacing_mm)} spacings")
    if not (a.any() and b.any()):
        return np.empty(0), np.empty(0)
    # Outside the common box there is no surface: the same distances, from far fewer voxels.
    box = _box(a | b)
    edge_a, edge_b = _surface(a[box]), _surface(b[box])
    to_b = ndimage.distance_transform_edt(~edge_b, sampling=spacing_mm)[edge_a]
    to_a = ndimage.distance_transform_edt(~edge_a, sampling=spacing_mm)[edge_b]
    return to_b, to_a


def hausdorff95_mm(distances: Directed) -> float:
    """Return the larger of the two directed 95th percentiles; NaN if a mask was empty."""
    return max((float(np.percentile(d, 95)) for d in distances if d.size), default=float("nan"))


def mean_surface_distance_mm(distances: Directed) -> float:
    """Return the mean over all surface voxels of both masks; NaN if a mask was empty."""
    both = np.concatenate(distances)
    return float(both.mean()) if both.size else float("nan")


def mask_volume_ml(mask: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Return the volume of a mask; 0 if it is empty."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000.0


def score_labels(
    labels: NDArray[np.uint8],
    reference: LabelMap,
    spacing_mm: Sequence[float],
    *,
    structures: Mapping[Code, str],
    frame_labels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Compare a segmentation with a reference, per structure and labelled frame.

    Parameters
    ----------
    labels
        Segmentation, shape (x, y, z, t).
    reference
        Reference labels on the same grid; only its `frames` are compared.
    spacing_mm
        Voxel spacing along x, y, z.
    structures
        Code -> name, in the order of the rows.
    frame_labels
        Name of each frame in order; frames beyond its end have none.

    Returns
    -------
    Rows ``structure, frame, phase, dice, hd95_mm, msd_mm, volume_ml, reference_volume_ml``.
    Dice is NaN where neither has the structure, distances are NaN where one has not.
    """
    _check(labels, reference.array)
    names = dict(enumerate(frame_labels or ()))
    rows: list[dict[str, Any]] = []
    for frame in reference.frames:
        for label, name in structures.items():
            found = labels[..., frame] == int(label)
            truth = reference.array[..., frame] == int(label)
            distances = surface_distances_mm(found, truth, spacing_mm=spacing_mm)
            rows.append(
                {
                    "structure": name,
                    "frame": int(frame),
                    "phase": names.get(frame, ""),
                    "dice": mask_dice(found, truth),
                    "hd95_mm": hausdorff95_mm(distances),
                    "msd_mm": mean_surface_distance_mm(distances),
                    "volume_ml": mask_volume_ml(found, spacing_mm=spacing_mm),
                    "reference_volume_ml": mask_volume_ml(truth, spacing_mm=spacing_mm),
                }
            )
    return rows
