"""Chambers in one long-axis plane: areas, lengths, diameters of discs, the valve's hinge points.

Distances are in mm in the plane's own axes; `to_patient` brings points back into RAS. Nothing here
knows of time or of other planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_lax.contour import endocardium_mm
from popscan.protocols.cine_lax.labels import LV, MYO
from popscan.protocols.cine_lax.planes import Plane

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Discs of Simpson's rule along the long axis, as the American Society of Echocardiography has it.
N_DISCS = 20
#: Sampling points per pixel and axis when a cavity is cut into discs.
_FINE = 4
#: A cavity whose border has no wall on more than this share has no base that could be found.
_MOST_OPEN = 0.6


@dataclass(frozen=True, kw_only=True)
class Chamber:
    """A chamber in one plane at one frame.

    Attributes
    ----------
    area_mm2
        Its pixels.
    length_mm
        From its valve to the far wall.
    diameters_mm : ndarray, shape (N_DISCS,)
        Widths of its discs across the long axis, from the valve on.
    """

    area_mm2: float
    length_mm: float
    diameters_mm: Floats


@dataclass(frozen=True, kw_only=True)
class Ventricle(Chamber):
    """The left ventricle, with its landmarks in RAS mm.

    Attributes
    ----------
    base_mm, apex_mm : ndarray, shape (3,)
        Middle of the valve's line, and the end of the cavity farthest from it.
    hinges_mm : ndarray, shape (2, 3)
        Ends of the valve's line.
    endocardium_mm
        Length of the endocardium in the plane, from hinge to hinge around the apex.
    """

    base_mm: Floats
    apex_mm: Floats
    hinges_mm: Floats
    endocardium_mm: float


def in_plane(plane: Plane) -> Floats:
    """Return the matrix (2, 2) that turns pixel steps into mm along two axes of the plane."""
    first = plane.affine[:3, 0] / np.linalg.norm(plane.affine[:3, 0])
    second = np.cross(plane.normal, first)
    return np.stack([first, second]) @ plane.steps_mm


def to_patient(plane: Plane, points_mm: Floats) -> Floats:
    """Return RAS coordinates (points, 3) of points (points, 2) in the plane."""
    pixels = np.linalg.solve(in_plane(plane), np.atleast_2d(points_mm).T)
    return np.asarray((plane.steps_mm @ pixels).T + plane.affine[:3, 3])


def measure_ventricle(labels: NDArray[np.uint8], plane: Plane, *, la: int) -> Ventricle | None:
    """Measure the left ventricle; None where it is not labelled or has no base.

    The base is the longest piece of the cavity's border that myocardium does not cover; a piece
    that touches the left atrium goes before others. Its ends are the hinge points.

    Parameters
    ----------
    labels : ndarray, shape (x, y)
        One frame of the plane.
    plane
        Where it lies.
    la
        Code of the left atrium.
    """
    cavity = labels == LV
    if not cavity.any():
        return None
    matrix = in_plane(plane)
    line = _valve_line(labels, cavity, la=la)
    if line is None:
        return None
    corners = line @ matrix.T
    middle = corners.mean(axis=0)
    direction = np.linalg.svd(corners - middle, full_matrices=False)[2][0]
    along = (corners - middle) @ direction
    hinges = middle + np.outer([along.min(), along.max()], direction)
    base = hinges.mean(axis=0)
    centres = np.argwhere(cavity) @ matrix.T
    away = centres - base
    distance = np.linalg.norm(away, axis=1)
    # The tip is a few pixels wide: their middle, so that no single pixel turns the axis.
    tip = away[distance > distance.max() - np.linalg.norm(matrix, axis=0).max()].mean(axis=0)
    axis = tip / np.linalg.norm(tip)
    length = float((away @ axis).max() + 0.5 * _step(matrix, axis))
    return Ventricle(
        area_mm2=float(cavity.sum() * plane.pixel_mm2),
        length_mm=length,
        diameters_mm=disc_diameters(cavity, matrix, start=base, axis=axis, length_mm=length),
        base_mm=to_patient(plane, base)[0],
        apex_mm=to_patient(plane, base + length * axis)[0],
        hinges_mm=to_patient(plane, hinges),
        endocardium_mm=endocardium_mm(labels, matrix, hinges=hinges),
    )


def measure_atrium(
    labels: NDArray[np.uint8], plane: Plane, *, code: int, ventricle: int
) -> Chamber | None:
    """Measure an atrium along the line from the middle of its valve through its middle.

    Where the ventricle below it is not labelled, the valve is not known, and the length is that of
    the longest line through the atrium's middle.

    Parameters
    ----------
    labels : ndarray, shape (x, y)
        One frame of the plane.
    plane
        Where it lies.
    code, ventricle
        Codes of the atrium and of the ventricle below it.
    """
    inside = labels == code
    if not inside.any():
        return None
    matrix = in_plane(plane)
    centres = np.argwhere(inside) @ matrix.T
    middle = centres.mean(axis=0)
    contact = _faces(inside, labels == ventricle)
    if len(contact):
        axis = middle - (contact @ matrix.T).mean(axis=0)
        axis = axis / np.linalg.norm(axis)
    else:
        axis = np.linalg.svd(centres - middle, full_matrices=False)[2][0]
    across = np.array([-axis[1], axis[0]])
    near = np.abs((centres - middle) @ across) <= 1.5 * _step(matrix, across)
    along = (centres[near] - middle) @ axis
    step = _step(matrix, axis)
    length = float(along.max() - along.min() + step)
    start = middle + (along.min() - 0.5 * step) * axis
    return Chamber(
        area_mm2=float(inside.sum() * plane.pixel_mm2),
        length_mm=length,
        diameters_mm=disc_diameters(inside, matrix, start=start, axis=axis, length_mm=length),
    )


def disc_diameters(
    inside: Mask, matrix: Floats, *, start: Floats, axis: Floats, length_mm: float
) -> Floats:
    """Return widths of `N_DISCS` discs across an axis; what lies beyond its ends counts to them."""
    fine = (np.arange(_FINE) + 0.5) / _FINE - 0.5
    offsets = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)
    points = (np.argwhere(inside)[:, None] + offsets).reshape(-1, 2) @ matrix.T
    share = ((points - start) @ axis) / length_mm
    disc = np.clip((share * N_DISCS).astype(int), 0, N_DISCS - 1)
    area = np.bincount(disc, minlength=N_DISCS) * abs(np.linalg.det(matrix)) / _FINE**2
    return np.asarray(area * N_DISCS / length_mm)


def _step(matrix: Floats, direction: Floats) -> float:
    """Size of a pixel along a direction."""
    return float(1.0 / np.linalg.norm(np.linalg.solve(matrix, direction)))


def _faces(inside: Mask, other: Mask) -> Floats:
    """Return the ends, in pixels, of the pixel edges between two regions: shape (2 n, 2)."""
    corners = []
    for axis in (0, 1):
        for side in (-1, 1):
            beside = _shifted(other, axis=axis, by=side)
            pixels = np.argwhere(inside & beside).astype(float)
            pixels[:, axis] += 0.5 * side
            for end in (-0.5, 0.5):
                corner = pixels.copy()
                corner[:, 1 - axis] += end
                corners.append(corner)
    return np.concatenate(corners)


def _shifted(mask: Mask, *, axis: int, by: int) -> Mask:
    """Return at each pixel what the neighbour at `by` along `axis` holds; False outside."""
    out = np.zeros_like(mask)
    here = [slice(None), slice(None)]
    there = [slice(None), slice(None)]
    here[axis], there[axis] = (slice(None, -1), slice(1, None))
    if by < 0:
        here, there = there, here
    out[tuple(here)] = mask[tuple(there)]
    return out


def _valve_line(labels: NDArray[np.uint8], cavity: Mask, *, la: int) -> Floats | None:
    """Corners, in pixels, of the border of the cavity that is its base."""
    padded, inside = np.pad(labels, 1), np.pad(cavity, 1)
    free = ~inside & (padded != MYO)
    beside = np.zeros_like(inside)
    border = np.zeros_like(inside)
    atrium = np.zeros_like(inside)
    for axis in (0, 1):
        for side in (-1, 1):
            beside |= _shifted(free, axis=axis, by=side)
            border |= _shifted(~inside, axis=axis, by=side)
            atrium |= _shifted(padded == la, axis=axis, by=side)
    edge = inside & beside
    if not edge.any() or edge.sum() > _MOST_OPEN * (inside & border).sum():
        return None
    pieces, n = ndimage.label(edge, structure=np.ones((3, 3)))
    size = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
    touching = np.bincount(pieces[atrium & edge].ravel(), minlength=n + 1)[1:]
    best = 1 + int(np.lexsort((size, touching))[-1])
    return _faces(pieces == best, free) - 1.0
