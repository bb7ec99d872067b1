"""Reference cases with trusted labels: which they are, and what is kept of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.protocol import Protocol, load
from popscan.records import PopscanError, SubjectError
from popscan.register import Frame
from popscan.register.crops import Crop, CropGrid, crop
from popscan.register.itk import Spacing


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a protocol's organ is in a scan, and what is labelled there.

    Attributes
    ----------
    names
        Code -> name of the structures, in order.
    frame, fallback
        As `popscan.spaces.CropFrame` says.
    around
        Within a sentence, what crops lie around.
    """

    names: Mapping[int, str]
    frame: Callable[..., Frame]
    fallback: Callable[..., Frame]
    around: str

    @classmethod
    def of(cls, protocol: Protocol) -> Pose:
        """Return what a protocol declares.

        Raises
        ------
        PopscanError
            If it declares no crops.
        """
        crops = protocol.crops
        if crops is None:
            raise PopscanError(f"protocol {protocol.name} declares no frame for rca")
        return cls(
            names=protocol.labels.names,
            frame=load(crops.frame),
            fallback=load(crops.fallback),
            around=crops.around,
        )

    def crop(
        self,
        image: NDArray[Any],
        labels: NDArray[np.uint8],
        *,
        spacing_mm: Spacing,
        grid: CropGrid,
        frame: Frame,
    ) -> Crop:
        """Resample one frame of a scan, as `popscan.register.crops.crop`."""
        codes = [0, *self.names]
        return crop(image, labels, spacing_mm=spacing_mm, grid=grid, frame=frame, codes=codes)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One reference case in one phase.

    Attributes
    ----------
    unit
        Who it is; a subject is never judged by its own reference.
    phase
        Its name; empty without time axis.
    crop
        Image and trusted labels in the organ's frame.
    frame
        Pose of the organ, for subjects whose own segmentation has none.
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
    pose: Pose,
) -> Reference:
    """Return a reference case.

    Parameters
    ----------
    unit, phase
        Name, and name of the phase.
    image, labels : ndarray, shape (x, y, z)
        One frame and its trusted labels.
    spacing_mm
        Voxel distances.
    grid
        Where subjects will be compared with it.
    pose
        Of the protocol.

    Raises
    ------
    SubjectError
        As the frame and the crop of the protocol, and ``constant_image``.
    """
    frame = pose.frame(labels, spacing_mm=spacing_mm)
    held = pose.crop(image, labels, spacing_mm=spacing_mm, grid=grid, frame=frame)
    if not held.image.any():
        raise SubjectError("constant_image", f"the image has one value all around {pose.around}")
    return Reference(unit=unit, phase=phase, crop=held, frame=frame)


def choose(
    candidates: Mapping[str, str], *, n: int, seed: int, keep: Sequence[str] = ()
) -> list[str]:
    """Choose reference cases, as many of each group as there are others.

    References of one group would judge subjects of another by how far they differ, which is no
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
