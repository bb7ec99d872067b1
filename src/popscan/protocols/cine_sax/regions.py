"""Base, middle and apex: agreement of two segmentations along the long axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import (
    hausdorff95_mm,
    mask_dice,
    mean_surface_distance_mm,
    surface_distances_mm,
)
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.records import LabelMap

REGIONS = ("base", "mid", "apex")


def slice_regions(labels: NDArray[np.uint8]) -> list[str]:
    """Return the region of every slice of one frame.

    The labelled slices are split into thirds (Cerqueira et al. 2002,
    doi:10.1161/hc0402.102975); which end is the base is decided by the areas: the base's third is
    the larger. Slices without any label are ``outside``.

    Parameters
    ----------
    labels
        Reference labels, (x, y, z).

    Examples
    --------
    >>> areas = [0, 9, 8, 4, 2, 0]
    >>> stack = np.stack([np.arange(9).reshape(3, 3) < a for a in areas], axis=2)
    >>> slice_regions(stack.astype(np.uint8))
    ['outside', 'base', 'base', 'mid', 'apex', 'outside']
    """
    areas = (labels != int(Label.BACKGROUND)).sum(axis=(0, 1))
    inside = np.flatnonzero(areas)
    regions = ["outside"] * len(areas)
    if not inside.size:
        return regions
    stack = np.arange(inside[0], inside[-1] + 1)
    thirds = np.array_split(stack, 3)
    ends = [areas[part].mean() if part.size else 0.0 for part in (thirds[0], thirds[-1])]
    if ends[1] > ends[0]:
        thirds = np.array_split(stack[::-1], 3)
    for name, part in zip(REGIONS, thirds, strict=True):
        for z in part:
            regions[int(z)] = name
    return regions


def score_regions(
    labels: NDArray[np.uint8],
    reference: LabelMap,
    spacing_mm: Sequence[float],
    *,
    frame_labels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Compare a segmentation with a reference per structure, labelled frame and region.

    Parameters
    ----------
    labels
        Segmentation, shape (x, y, z, t).
    reference
        Reference labels on the same grid; only its `frames` are compared.
    spacing_mm
        Voxel spacing along x, y, z.
    frame_labels
        Name of each frame in order (``ED``, ``ES``).

    Returns
    -------
    Rows ``structure, frame, phase, region, dice, hd95_mm, msd_mm, missed_slices,
    spurious_slices``. Dice is over the voxels of all slices of the region, distances are in plane
    over its slices that both have the structure in; a missed slice has it in the reference only, a
    spurious one in the segmentation only (``outside`` can only have spurious ones).
    """
    names = dict(enumerate(frame_labels or ()))
    rows: list[dict[str, Any]] = []
    for frame in reference.frames:
        regions = np.array(slice_regions(reference.array[..., frame]))
        for region in (*REGIONS, "outside"):
            where = np.flatnonzero(regions == region)
            for label, name in STRUCTURES.items():
                found = labels[..., where, frame] == int(label)
                truth = reference.array[..., where, frame] == int(label)
                rows.append(
                    {"structure": name, "frame": int(frame), "phase": names.get(frame, "")}
                    | {"region": region}
                    | _compare(found, truth, spacing_mm)
                )
    return rows


def _compare(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> dict[str, Any]:
    in_found, in_truth = found.any(axis=(0, 1)), truth.any(axis=(0, 1))
    there: list[NDArray[np.float64]] = []
    back: list[NDArray[np.float64]] = []
    for z in np.flatnonzero(in_found & in_truth):
        pair = surface_distances_mm(found[..., z], truth[..., z], spacing_mm=spacing_mm[:2])
        there.append(pair[0])
        back.append(pair[1])
    distances = (np.concatenate([*there, []]), np.concatenate([*back, []]))
    return {
        "dice": mask_dice(found, truth),
        "hd95_mm": hausdorff95_mm(distances),
        "msd_mm": mean_surface_distance_mm(distances),
        "missed_slices": int((in_truth & ~in_found).sum()),
        "spurious_slices": int((in_found & ~in_truth).sum()),
    }
