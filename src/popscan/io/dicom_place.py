"""How planes lie beside the grid of a stack: position along its axis, tilt, shift."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.geometry import plane_normal
from popscan.io.dicom_header import Plane
from popscan.io.dicom_turn import TURNS, Turn
from popscan.protocols.cine_sax.orientation import axis_of
from popscan.protocols.cine_sax.planes import angle_between_planes_deg

Floats = NDArray[np.float64]
#: Planes within this angle count as parallel.
PARALLEL_DEG = 1.0


class Grid:
    """The pixel grid of a stack.

    Parameters
    ----------
    plane
        One of its planes.
    """

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    @cached_property
    def normal(self) -> Floats:
        """Unit normal, LPS, signed from base to apex."""
        return axis_of(plane_normal(self.plane.orientation))

    @cached_property
    def points(self) -> Floats:
        """Middle and corners of the plane's field of view, shape (5, 3)."""
        last = ((self.plane.columns - 1), (self.plane.rows - 1))
        shares = ((0.5, 0.5), (0, 0), (1, 0), (0, 1), (1, 1))
        return np.array([_point(self.plane, x * last[0], y * last[1]) for x, y in shares])

    def tilt_deg(self, plane: Plane) -> float:
        """Angle between a plane and those of the stack."""
        return float(angle_between_planes_deg(plane_normal(plane.orientation), self.normal))

    def turn_deg(self, plane: Plane) -> float:
        """Largest angle between its rows and columns and those of the stack."""
        a, b = np.array(self.plane.orientation), np.array(plane.orientation)
        cosine = max(-1.0, min(1.0, float(min(a[:3] @ b[:3], a[3:] @ b[3:]))))
        return math.degrees(math.acos(cosine))

    def is_parallel(self, plane: Plane) -> bool:
        """Whether a plane lies as those of the stack do."""
        return self.turn_deg(plane) < PARALLEL_DEG

    def along_mm(self, plane: Plane) -> Floats:
        """Position of a plane along the stack's axis, at each of `points`.

        All are the same for a plane that is parallel to the stack's; one that is tilted comes
        nearer to its neighbours on one side.
        """
        if self.is_parallel(plane):
            return np.full(5, float(np.dot(self.normal, plane.position)))
        normal = axis_of(plane_normal(plane.orientation))
        ahead = (np.array(plane.position) - self.points) @ normal / float(self.normal @ normal)
        return np.asarray(self.points @ self.normal + ahead)

    def shift(self, plane: Plane) -> tuple[tuple[int, int], float]:
        """Return the pixels (x, y) by which a plane lies off this grid, and the mm.

        Of a tilted plane, or one of another matrix, the middle counts.
        """
        first = self.plane
        row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
        if self.is_parallel(plane):
            offset = np.array(plane.position) - np.array(first.position)
        else:
            i, j = (plane.columns - 1) / 2, (plane.rows - 1) / 2
            own = i * first.column_spacing_mm * row + j * first.row_spacing_mm * column
            offset = _point(plane, i, j) - np.array(first.position) - own
        x_mm, y_mm = float(offset @ row), float(offset @ column)
        steps = (round(x_mm / first.column_spacing_mm), round(y_mm / first.row_spacing_mm))
        return steps, math.hypot(x_mm, y_mm)

    def same_shape(self, plane: Plane) -> bool:
        """Whether a plane has the same matrix."""
        return (self.plane.rows, self.plane.columns) == (plane.rows, plane.columns)


def turned_onto(plane: Plane, grid: Grid) -> Plane:
    """Describe a plane with its axes in the order and direction of a grid's.

    Where somebody swapped the directions of encoding for some slices, their rows lie along the
    columns of the others: the same pixels, stored in another order.
    """
    if grid.turn_deg(plane) < 45:
        return plane
    return min((_turned(plane, turn) for turn in TURNS), key=grid.turn_deg)


def _turned(plane: Plane, turn: Turn) -> Plane:
    x, y = plane.orientation[:3], plane.orientation[3:]
    columns, rows = plane.columns, plane.rows
    spacing = (plane.column_spacing_mm, plane.row_spacing_mm)
    last = [0.0, 0.0]
    if turn.swap:
        x, y, spacing, columns, rows = y, x, spacing[::-1], rows, columns
    if turn.flip_x:
        last[0], x = columns - 1.0, tuple(-v for v in x)
    if turn.flip_y:
        last[1], y = rows - 1.0, tuple(-v for v in y)
    if turn.swap:
        last.reverse()
    return replace(
        plane,
        orientation=(*x, *y),
        position=tuple(_point(plane, *last).tolist()),
        columns=columns,
        rows=rows,
        column_spacing_mm=spacing[0],
        row_spacing_mm=spacing[1],
        turn=turn,
    )


def _point(plane: Plane, x: float, y: float) -> Floats:
    """Where pixel (x, y) of a plane lies in the patient, LPS mm."""
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    along_row, along_column = x * plane.column_spacing_mm, y * plane.row_spacing_mm
    return np.array(plane.position) + along_row * row + along_column * column


def placed(
    pixels: NDArray[np.float32], shift: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return pixels (x, y) on a grid of `shape`, moved by whole steps; beyond them it is 0.

    Parameters
    ----------
    pixels
        Values of one image.
    shift
        Steps along x and y at which its first pixel comes to lie.
    shape
        Of the grid.
    """
    if shift == (0, 0) and pixels.shape == shape:
        return pixels
    out = np.zeros(shape, dtype=pixels.dtype)
    to, come = [], []
    for size, room, step in zip(pixels.shape, shape, shift, strict=True):
        first, last = max(step, 0), min(step + size, room)
        if first >= last:
            return out
        to.append(slice(first, last))
        come.append(slice(first - step, last - step))
    out[tuple(to)] = pixels[tuple(come)]
    return out
