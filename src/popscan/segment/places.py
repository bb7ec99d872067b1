"""Points of a subject whose labels are known, from slices, and the frame that subjects share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import PopscanError

Floats = NDArray[np.float32]
#: Largest code of a label map.
_MOST = 255


@dataclass(frozen=True, kw_only=True)
class LabelledPoints:
    """Points of one subject whose labels are known.

    Attributes
    ----------
    places_mm : ndarray of float32, shape (n, 3)
        Where they are: x and y in the plane of a slice, z across.
    phase : ndarray of float32, shape (n,)
        When, as a share of the cycle.
    label : ndarray of uint8, shape (n,)
        Codes, 0 for background.
    slice_index : ndarray of int64, shape (n,)
        Which slice each is of.
    """

    places_mm: Floats
    phase: Floats
    label: NDArray[np.uint8]
    slice_index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    def picked(self, rows: NDArray[np.int64]) -> LabelledPoints:
        """Return some of the points."""
        return LabelledPoints(
            places_mm=self.places_mm[rows], phase=self.phase[rows], label=self.label[rows],
            slice_index=self.slice_index[rows],
        )  # fmt: skip


def slice_points(
    labels: NDArray[np.integer[Any]],
    spacing_mm: Sequence[float],
    *,
    phases: Sequence[float],
    slices: Sequence[int] | None = None,
    margin_mm: float = 15.0,
) -> LabelledPoints:
    """Return the voxel centres of slices as points, those near the structures.

    Parameters
    ----------
    labels
        (x, y, z, t).
    spacing_mm
        Distance of voxel centres along x, y, z.
    phases
        Share of the cycle of every frame, (t,).
    slices
        Which slices are known; all by default.
    margin_mm
        How far beyond the structures of the known slices, in the plane.

    Raises
    ------
    PopscanError
        If no known slice has a label, phases and frames differ in number, a code is not one from
        0 to 255, a slice is not there or given twice, or a number is not finite.
    """
    if labels.ndim != 4 or len(phases) != labels.shape[3]:
        raise PopscanError(f"labels {labels.shape} are expected as (x, y, z, t), a phase a frame")
    known = list(range(labels.shape[2]) if slices is None else slices)
    _check(labels, spacing_mm, phases=phases, known=known, margin_mm=margin_mm)
    inside: NDArray[np.bool_] = np.any(labels[:, :, known] > 0, axis=(2, 3))
    if not inside.any():
        raise PopscanError("no slice has a label: there is nothing to fit a shape to")
    window = []
    for axis in (0, 1):
        held = np.flatnonzero(inside.any(axis=1 - axis))
        margin = math.ceil(margin_mm / spacing_mm[axis])
        window.append(np.arange(held[0] - margin, held[-1] + margin + 1))
    x, y, z, t = np.meshgrid(*window, known, np.arange(len(phases)), indexing="ij")
    in_image = (x >= 0) & (x < labels.shape[0]) & (y >= 0) & (y < labels.shape[1])
    x, y, z, t = (part[in_image] for part in (x, y, z, t))
    places = np.stack([x, y, z], axis=1) * np.asarray(spacing_mm, dtype=float)[None, :3]
    return LabelledPoints(
        places_mm=places.astype(np.float32),
        phase=np.asarray(phases, np.float32)[t],
        label=labels[x, y, z, t].astype(np.uint8),
        slice_index=z.astype(np.int64),
    )


def _check(
    labels: NDArray[np.integer[Any]],
    spacing_mm: Sequence[float],
    *,
    phases: Sequence[float],
    known: Sequence[int],
    margin_mm: float,
) -> None:
    """Refuse what points cannot be made of."""
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= _MOST:
        raise PopscanError(
            f"labels: codes from 0 to {_MOST} are expected; found {labels.min()} to {labels.max()}"
        )
    n = labels.shape[2]
    if len(set(known)) < len(known) or any(not 0 <= k < n for k in known):
        raise PopscanError(f"slices: numbers from 0 to {n - 1} are expected, each once")
    if not np.isfinite(np.asarray(phases, float)).all():
        raise PopscanError(f"phases: shares of the cycle are expected; found {list(phases)}")
    if len(spacing_mm) < 3 or not all(0 < s < math.inf for s in spacing_mm[:3]):
        raise PopscanError(f"spacing: three lengths above 0 are expected; found {spacing_mm}")
    if not 0 <= margin_mm < math.inf:
        raise PopscanError(f"margin: a length from 0 is expected; found {margin_mm}")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a subject's structures are, so that all subjects lie over one another.

    Attributes
    ----------
    origin_mm
        Centroid of the structures.
    angle
        Direction, in the plane, from the centroid of the first label to that of the last, in
        radians; 0 where there is only one.
    """

    origin_mm: tuple[float, float, float]
    angle: float


def frame_of(points: LabelledPoints) -> Frame:
    """Return the frame of points whose labels are known.

    Raises
    ------
    PopscanError
        If all of them are background.
    """
    inside = points.label > 0
    if not inside.any():
        raise PopscanError("no point has a label: there is nothing to fit a shape to")
    origin = points.places_mm[inside].astype(float).mean(axis=0)
    codes = np.unique(points.label[inside])
    ends = [points.places_mm[points.label == k].astype(float).mean(axis=0) for k in codes[[0, -1]]]
    along = ends[1] - ends[0]
    angle = math.atan2(along[1], along[0]) if codes.size > 1 else 0.0
    return Frame(origin_mm=(origin[0], origin[1], origin[2]), angle=angle)


def in_frame(places_mm: Floats, frame: Frame) -> Floats:
    """Return places (n, 3) in the coordinates of a frame."""
    away = places_mm - np.asarray(frame.origin_mm, np.float32)
    c, s = math.cos(frame.angle), math.sin(frame.angle)
    turned = np.stack([c * away[:, 0] + s * away[:, 1], c * away[:, 1] - s * away[:, 0]], axis=1)
    return np.concatenate([turned, away[:, 2:]], axis=1).astype(np.float32)


def placed(points: LabelledPoints, frame: Frame) -> LabelledPoints:
    """Return points in the coordinates of a frame."""
    return replace(points, places_mm=in_frame(points.places_mm, frame))
