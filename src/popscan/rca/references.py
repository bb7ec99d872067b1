"""Reference cases with trusted labels: which they are, and what is kept of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.crops import heart_crop
from popscan.protocols.cine_sax.frame import heart_frame
from popscan.records import SubjectError
from popscan.register import Frame
from popscan.register.crops import Crop, CropGrid


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One reference case in one phase of the heart.

    Attributes
    ----------
    unit
        Who it is; a subject is never judged by its own reference.
    phase
        ``ED`` or ``ES``.
    crop
        Image and trusted labels in the heart's frame.
    frame
        Pose of the heart, for subjects whose own segmentation has none.
    """

    unit: str
    phase: str
    crop: Crop
    frame: Frame


def make_reference(
    unit: str,
    phase: str,
    image: NDArray[Any],
    labels: NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    grid: CropGrid,
) -> Reference:
    """Return a reference case.

    Parameters
    ----------
    unit, phase
        Name, and ``ED`` or ``ES``.
    image, labels : ndarray, shape (x, y, z)
        One frame and its trusted labels, RV, MYO and LV all present.
    spacing_mm
        Voxel distances.
    grid
        Where subjects will be compared with it.

    Raises
    ------
    SubjectError
        As the frame and the crop of the protocol, and
        ``constant_image``.
    """
    frame = heart_frame(labels, spacing_mm=spacing_mm)
    crop = heart_crop(image, labels, spacing_mm=spacing_mm, grid=grid, frame=frame)
    if not crop.image.any():
        raise SubjectError("constant_image", "the image has one value all around the heart")
    return Reference(unit=unit, phase=phase, crop=crop, frame=frame)


def choose(
    candidates: Mapping[str, str], *, n: int, seed: int, keep: Sequence[str] = ()
) -> list[str]:
    """Choose reference cases, as many of each group as there are others.

    References of one group would judge hearts of another by how far they differ, which is no
    fault of their segmentation.

    Parameters
    ----------
    candidates
        Unit -> group; all the same group where nothing is to be balanced.
    n
        How many.
    seed
        Of the order within groups, which depends on a unit's name alone: more candidates change
        little.
    keep
        Units of an earlier choice, which stay as long as they are candidates.

    Returns
    -------
    list of str
        At most `n` units, sorted.
    """
    queues: dict[str, list[str]] = {}
    for unit in sorted(candidates, key=lambda u: hashlib.sha256(f"{seed}:{u}".encode()).digest()):
        queues.setdefault(candidates[unit], []).append(unit)
    chosen = [unit for unit in keep if unit in candidates][:n]
    counts = {group: sum(unit in queue for unit in chosen) for group, queue in queues.items()}
    waiting = {g: [u for u in queue if u not in chosen] for g, queue in queues.items()}
    while len(chosen) < n and any(waiting.values()):
        group = min((g for g in sorted(waiting) if waiting[g]), key=lambda g: counts[g])
        chosen.append(waiting[group].pop(0))
        counts[group] += 1
    return sorted(chosen)


def to_arrays(references: Sequence[Reference], grid: CropGrid) -> dict[str, NDArray[Any]]:
    """Return plain arrays for an ``.npz`` without pickle; no reference is allowed."""
    crops = [r.crop for r in references]
    empty = np.zeros((0, *grid.shape))
    return {
        "unit": np.array([r.unit for r in references], dtype=np.str_),
        "phase": np.array([r.phase for r in references], dtype=np.str_),
        "image": np.stack([c.image for c in crops]) if crops else empty.astype(np.float32),
        "labels": np.stack([c.labels for c in crops]) if crops else empty.astype(np.uint8),
        "inside": np.stack([c.inside for c in crops]) if crops else empty.astype(bool),
        "axes": np.stack([r.frame.axes for r in references]) if crops else np.zeros((0, 3, 3)),
        "spacing_mm": np.array(grid.spacing_mm),
        "centre_mm": np.array(grid.centre_mm),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[Reference], CropGrid]:
    """Return what `to_arrays` described."""
    nx, ny, nz = arrays["image"].shape[1:]
    dx, dy, dz = (float(s) for s in arrays["spacing_mm"])
    cx, cy, cz = (float(c) for c in arrays["centre_mm"])
    grid = CropGrid(shape=(nx, ny, nz), spacing_mm=(dx, dy, dz), centre_mm=(cx, cy, cz))
    references = [
        Reference(
            unit=str(arrays["unit"][i]),
            phase=str(arrays["phase"][i]),
            crop=Crop(
                image=arrays["image"][i], labels=arrays["labels"][i], inside=arrays["inside"][i]
            ),
            frame=Frame(centre_mm=np.zeros(3), axes=arrays["axes"][i], length_mm=float("nan")),
        )
        for i in range(len(arrays["unit"]))
    ]
    return references, grid
