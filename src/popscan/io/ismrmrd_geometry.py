"""Where the image of an ISMRMRD file lies in the patient, and when its frames were acquired."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.geometry import slice_distance_mm
from popscan.io.ismrmrd_header import Encoding
from popscan.io.ismrmrd_lines import Lines
from popscan.records import SubjectError

Floats = NDArray[np.float64]

#: LPS -> RAS.
_TO_RAS = np.array([-1.0, -1.0, 1.0])
#: Directions differ by rounding alone below this, in radians; positions below this, in mm.
_SAME_DIRECTION, _SAME_PLACE_MM = 2e-3, 0.1
#: Gaps of a stack may differ by this share.
_REGULAR = 0.1
#: Length of a tick of the time stamps in ms, by vendor.
_TICKS_MS = {"siemens": 2.5}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the image lies.

    Attributes
    ----------
    affine, spacing_mm
        As in `popscan.records.Scan`.
    order
        Slices in order along their normal: number in the file's order.
    known
        Whether the file says how the image lies in the patient.
    """

    affine: Floats
    spacing_mm: tuple[float, float, float]
    order: NDArray[np.int64]
    known: bool


def geometry_of(
    lines: Lines, encoding: Encoding, *, pixel_mm: tuple[float, float], matrix: tuple[int, int],
    name: str,
) -> Geometry:  # fmt: skip
    """Place the image: a slice's ``position`` is that of the pixel ``n // 2`` in both directions.

    There the centre of k-space puts the origin of the field of view. The distance of slices comes
    from their positions; of a single slice it is the thickness.

    Parameters
    ----------
    lines
        With the directions (LPS) in their headers.
    encoding
        For the thickness.
    pixel_mm, matrix
        Of the image along readout and phase encoding.
    name
        Of the file, for messages.

    Raises
    ------
    SubjectError
        ``mixed_slices`` where slices are not parallel, lie beside each other or move while they are
        acquired; ``irregular_slices``; ``slice_distance_unknown`` where a stack has no positions.
    """
    places = np.stack([_one_place(lines, z, name) for z in range(lines.n_slices)])
    directions = places[:, 3:].reshape(-1, 3, 3)
    lengths = np.linalg.norm(directions, axis=2)
    if not np.isfinite(places).all() or not lengths.any():
        return _unplaced(lines, encoding, pixel_mm, name)
    if np.abs(lengths - 1).max() > 0.01 or not _right_angles(directions):
        raise SubjectError("bad_header", f"{name}: directions that are no unit vectors at angles")
    turned = np.abs(directions - directions[0]).max()
    if turned > _SAME_DIRECTION:
        raise SubjectError(
            "mixed_slices",
            f"{name}: slices that are not parallel ({math.degrees(turned):.1f} degrees apart): "
            "one stack expected",
        )
    read, phase, normal = directions[0]
    along = places[:, :3] @ normal
    order = np.argsort(along, kind="stable")
    distance = _distance(
        along[order], places[order, :3], normal, pixel_mm=pixel_mm, encoding=encoding, name=name
    )
    corner = places[order[0], :3] - (matrix[0] // 2) * pixel_mm[0] * read
    corner = corner - (matrix[1] // 2) * pixel_mm[1] * phase
    affine = np.eye(4)
    columns = (read * pixel_mm[0], phase * pixel_mm[1], normal * distance, corner)
    affine[:3] = np.stack([column * _TO_RAS for column in columns], axis=1)
    return Geometry(affine=affine, spacing_mm=(*pixel_mm, distance), order=order, known=True)


def _one_place(lines: Lines, z: int, name: str) -> Floats:
    """Position and directions of a slice, which all its lines share; shape (12,)."""
    own = lines.slice == z
    keys = ("position", "read_dir", "phase_dir", "slice_dir")
    values = np.concatenate([lines.heads[key][own] for key in keys], axis=1)
    spread = np.ptp(values, axis=0)
    if spread[:3].max() > _SAME_PLACE_MM or spread[3:].max() > _SAME_DIRECTION:
        raise SubjectError(
            "mixed_slices",
            f"{name}: lines of slice {z + 1} lie in different places ({spread[:3].max():.1f} mm "
            "apart): slices are mixed, or the patient was moved",
        )
    return np.asarray(values[0], dtype=float)


def _right_angles(directions: Floats) -> bool:
    products = directions @ directions.transpose(0, 2, 1)
    return bool(np.abs(products - np.eye(3)).max() < 0.02)


def _distance(
    along: Floats,
    positions: Floats,
    normal: Floats,
    *,
    pixel_mm: tuple[float, float],
    encoding: Encoding,
    name: str,
) -> float:
    if len(along) == 1:
        return _thickness(encoding, pixel_mm)
    distance, irregularity = slice_distance_mm(along)
    aside = positions - positions[0] - np.outer(along - along[0], normal)
    if np.abs(aside).max() > max(pixel_mm) / 2:
        raise SubjectError(
            "mixed_slices",
            f"{name}: slices beside each other ({np.abs(aside).max():.1f} mm): one stack expected",
        )
    if distance <= _SAME_PLACE_MM or irregularity > _REGULAR:
        gaps = ", ".join(f"{gap:.1f}" for gap in np.diff(along)[:20])
        raise SubjectError("irregular_slices", f"{name}: distances of slices: {gaps} mm")
    return round(distance, 5)


def _thickness(encoding: Encoding, pixel_mm: tuple[float, float]) -> float:
    thickness = encoding.fov_mm[2]
    return thickness if 0 < thickness < 1e3 else max(pixel_mm)


def _unplaced(
    lines: Lines, encoding: Encoding, pixel_mm: tuple[float, float], name: str
) -> Geometry:
    if lines.n_slices > 1:
        raise SubjectError(
            "slice_distance_unknown",
            f"{name}: {lines.n_slices} slices whose headers hold no positions",
        )
    spacing = (*pixel_mm, _thickness(encoding, pixel_mm))
    return Geometry(
        affine=np.diag([*spacing, 1.0]),
        spacing_mm=spacing,
        order=np.zeros(1, dtype=np.int64),
        known=False,
    )


def frame_times_ms(lines: Lines, encoding: Encoding, *, tick_ms: float) -> Floats | None:
    """Return times of the frames out of the lines' time stamps; None where they don't say.

    Of cardiac phases it is the median time since the trigger; of repetitions the time since the
    first, in the mean of all slices.

    Parameters
    ----------
    lines, encoding
        As read.
    tick_ms
        Length of a tick; 0: that of the vendor, where it is known.
    """
    vendor = encoding.vendor.lower()
    tick = tick_ms or next((ms for key, ms in _TICKS_MS.items() if key in vendor), 0.0)
    if not tick or lines.n_frames < 2:
        return None
    if lines.time_axis == "phase":
        stamps = lines.heads["physiology_time_stamp"][:, 0]
        medians = [np.median(stamps[lines.frame == t]) for t in range(lines.n_frames)]
        times = np.array(medians, dtype=float)
    else:
        stamps = lines.heads["acquisition_time_stamp"].astype(float)
        series = [_since_first(stamps, lines, z) for z in range(lines.n_slices)]
        times = np.mean(series, axis=0)
    return times * tick if np.all(np.diff(times) > 0) else None


def _since_first(stamps: Floats, lines: Lines, z: int) -> Floats:
    own = lines.slice == z
    means = [stamps[own & (lines.frame == t)].mean() for t in range(lines.n_frames)]
    return np.array(means) - means[0]
