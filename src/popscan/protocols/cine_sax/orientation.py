"""The defined orientation of a short-axis stack, and names for the planes of a cine exam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.geometry import is_axis_aligned, reorient
from popscan.protocols.cine_sax.planes import (
    angle_about_axis_deg,
    angle_between_planes_deg,
    circular_distance_deg,
)
from popscan.records import LabelMap, Scan

#: Direction of the left ventricle from base to apex in LPS: left, anterior, inferior.
TYPICAL_AXIS = np.array([1.0, -1.0, -1.0]) / np.sqrt(3.0)
#: A plane whose normal is within this angle of the typical axis is a short-axis plane. Patients'
#: axes differ from it by up to about 30 degrees, long-axis planes by 60 to 90.
SAX_CONE_DEG = 45.0
#: Where a plane through the axis cuts the short-axis planes, in the angle of
#: `planes.angle_about_axis_deg`: the three views stand about 60 degrees apart.
LONG_AXIS_ANGLES_DEG = {"4ch": 8.0, "2ch": 66.0, "3ch": 128.0}
#: Long-axis planes hold the axis: their normal is at least this far from it,
_LEAST_TILT_DEG = 60.0
#: and they pass the heart's centre within this distance.
_PAST_CENTRE_MM = 25.0
_RVOT_LEAST_MM = 8.0
_SAGITTAL = 0.88


#: Where the axes of a short-axis stack shall point, in RAS: left; posterior and inferior; and from
#: base to apex, which is to the left, anterior and inferior.
_SAX_TARGETS = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, -1.0], [-1.0, 1.0, -1.0]])


def sax_orientation(affine: ArrayLike) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Axis order and flips that bring a short-axis stack into the defined orientation.

    Axis 0 shall point to the patient's left, axis 1 to posterior and inferior, axis 2 from base to
    apex (left, anterior, inferior). Axis 2 is the slice axis and stays in its place.

    Parameters
    ----------
    affine : array_like, shape (4, 4)
        Voxel -> RAS.

    Returns
    -------
    order : tuple of int
        Axes for ``np.transpose``: ``(0, 1, 2)`` or ``(1, 0, 2)``.
    flips : tuple of bool
        Axes to reverse, after the transposition.
    """
    directions = np.asarray(affine, dtype=float)[:3, :3]
    directions = directions / np.linalg.norm(directions, axis=0)
    targets = _SAX_TARGETS / np.linalg.norm(_SAX_TARGETS, axis=1, keepdims=True)
    along = targets @ directions  # [target, axis]
    straight = abs(along[0, 0]) + abs(along[1, 1])
    swapped = abs(along[0, 1]) + abs(along[1, 0])
    order = (0, 1, 2) if straight >= swapped else (1, 0, 2)
    flips = (
        bool(along[0, order[0]] < 0),
        bool(along[1, order[1]] < 0),
        bool(along[2, 2] < 0),
    )
    return order, flips


def standard_orientation(
    scan: Scan, labels: LabelMap | None = None
) -> tuple[Scan, LabelMap | None]:
    """Bring a short-axis scan (and its labels) into the orientation that all stages expect.

    Axis 0 points to the patient's left, axis 1 to posterior and inferior, axis 2 from base to apex,
    as far as the acquisition says; axis 3 is the phase of the heart in order of time.

    Other views, and scans whose header has lost the orientation (no code, or every axis along a
    patient axis, which no short-axis stack is), come back as they are, the latter with
    ``meta["orientation_known"] = False``.

    Parameters
    ----------
    scan
        A scan in any orientation.
    labels
        Labels on its grid.
    """
    if scan.view != "sax":
        return scan, labels
    known = scan.meta.get("orientation_known", True) and not is_axis_aligned(scan.affine)
    meta = {**scan.meta, "orientation_known": bool(known)}
    if not known:
        return replace(scan, meta=meta), labels
    order, flips = sax_orientation(scan.affine)
    array, affine = reorient(scan.array, scan.affine, order, flips)
    if labels is not None:
        turned, _ = reorient(labels.array, scan.affine, order, flips)
        labels = replace(labels, array=np.ascontiguousarray(turned))
    spacing = scan.spacing_mm
    return (
        replace(
            scan,
            array=np.ascontiguousarray(array),
            affine=affine,
            spacing_mm=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
            meta=meta,
        ),
        labels,
    )


@dataclass(frozen=True, kw_only=True)
class PlaneView:
    """What a plane of a cine exam is.

    Attributes
    ----------
    view
        ``2ch``, ``3ch``, ``4ch``, ``rvot`` or ``other``.
    misfit
        How far it is from a textbook plane of that view (dimensionless, 0 is best): chooses
        between two planes of one view.
    """

    view: str
    misfit: float


def is_short_axis(normal: ArrayLike) -> bool:
    """Whether a plane with this normal (LPS, either sign) can be a short-axis plane."""
    return angle_between_planes_deg(normal, TYPICAL_AXIS) < SAX_CONE_DEG


def axis_of(normal: ArrayLike) -> NDArray[np.float64]:
    """Return the unit normal of the short-axis planes, signed from base to apex."""
    axis = np.asarray(normal, dtype=float)
    axis = axis / np.linalg.norm(axis)
    return axis if axis @ TYPICAL_AXIS >= 0 else -axis


def name_plane(
    normal: ArrayLike,
    position: ArrayLike,
    *,
    axis: ArrayLike | None = None,
    centre: ArrayLike | None = None,
) -> PlaneView:
    """Name a long-axis plane by how it lies to the left ventricle.

    Parameters
    ----------
    normal, position : array_like, shape (3,)
        Unit normal and a point of the plane, LPS.
    axis : array_like, shape (3,), optional
        Axis of the left ventricle from base to apex, LPS; that of the short-axis stack. Without it
        the typical one is taken, and the answer is less sure.
    centre : array_like, shape (3,), optional
        Centre of the heart, LPS. With it, planes that miss the left ventricle are recognised: the
        right ventricle's outflow tract (near sagittal), or ``other``.
    """
    normal = np.asarray(normal, dtype=float)
    axis = TYPICAL_AXIS if axis is None else np.asarray(axis, dtype=float)
    tilt = angle_between_planes_deg(normal, axis)
    angle = angle_about_axis_deg(normal, axis)
    distance = float("nan")
    if centre is not None and np.isfinite(np.asarray(centre, dtype=float)).all():
        # Positive where the heart's centre lies to the left of the plane.
        leftward = normal if normal[0] >= 0 else -normal
        distance = float(leftward @ (np.asarray(centre, float) - np.asarray(position, float)))
    sagittal = abs(normal[0]) > _SAGITTAL
    if sagittal and not distance <= _RVOT_LEAST_MM and not distance > 2 * _PAST_CENTRE_MM:
        return PlaneView(view="rvot", misfit=1 - abs(float(normal[0])))
    if tilt < _LEAST_TILT_DEG or abs(distance) > _PAST_CENTRE_MM:
        return PlaneView(view="other", misfit=0.0)
    view, off = min(
        ((name, circular_distance_deg(angle, typical)) for name, typical in _angles()),
        key=lambda item: item[1],
    )
    off_centre = 0.0 if np.isnan(distance) else abs(distance) / _PAST_CENTRE_MM
    return PlaneView(view=view, misfit=off / 30.0 + off_centre + (90.0 - tilt) / 30.0)


def _angles() -> Sequence[tuple[str, Any]]:
    return list(LONG_AXIS_ANGLES_DEG.items())
