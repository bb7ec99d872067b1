"""Thickness of a layer along the field lines of Laplace's equation.

Jones et al., Human Brain Mapping 2000;11:12-32: between two boundaries at potentials 0 and 1 the
field lines never cross, leave both boundaries at right angles, and give every point one thickness.
Lengths are solved for on the grid as by Yezzi and Prince, IEEE TMI 2003;22:1332-1339,
doi:10.1109/TMI.2003.817775.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve
from scipy.special import ndtri

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Most points of the finer grid along an axis; larger layers are solved more coarsely.
MAX_CELLS = 320


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Thickness in the points of a layer.

    Attributes
    ----------
    at
        Their positions in voxels of the input, shape (points, 2).
    thickness_mm
        Length of the field line through each, shape (points,).
    depth
        Share of that length from the inner boundary, 0..1.
    """

    at: Floats
    thickness_mm: Floats
    depth: Floats


def layer_thickness(
    inner: Mask,
    layer: Mask,
    *,
    spacing_mm: Sequence[float],
    step_mm: float = 0.75,
    smoothing: float = 0.8,
) -> Layer:
    """Thickness of a closed layer around a region, in a plane.

    Parameters
    ----------
    inner, layer : ndarray of bool, shape (x, y)
        What is enclosed, and the layer around it.
    spacing_mm
        Distance of voxel centres.
    step_mm
        Step of the finer grid on which the equations are solved.
    smoothing
        Standard deviation, in voxels, of the Gaussian that turns the staircase of voxels into
        smooth boundaries.

    Returns
    -------
    Layer
        Without points where either mask is empty, or the inner one is too small to be smoothed (a
        voxel or two).
    """
    empty = Layer(at=np.empty((0, 2)), thickness_mm=np.empty(0), depth=np.empty(0))
    if not inner.any() or not layer.any():
        return empty
    whole = inner | layer
    spacing = np.asarray(spacing_mm[:2], dtype=float)
    corner, (fine_inner, fine_outer), step = _refined(
        (inner, whole), spacing, step_mm=step_mm, smoothing=smoothing
    )
    fine = spacing * step
    wall = (fine_outer > 0) & (fine_inner <= 0)
    wall[[0, -1]] = False
    wall[:, [0, -1]] = False
    inside = fine_inner > 0
    if not wall.any() or not inside.any():
        return empty
    potential = _solve_laplace(wall, inside, fine)
    gradient = np.stack([np.gradient(potential, fine[axis], axis=axis) for axis in (0, 1)])
    size = np.linalg.norm(gradient, axis=0)
    tangent = np.divide(gradient, size, out=np.zeros_like(gradient), where=size > 1e-9)
    # Distances to the boundaries within a voxel: signed distances of the smooth outlines.
    from_inner = _along(wall, tangent, -fine_inner, inside, fine)
    from_outer = _along(wall, -tangent, fine_outer, ~inside, fine)
    total = from_inner + from_outer
    points = np.argwhere(wall)
    return Layer(
        at=corner + points * step,
        thickness_mm=total,
        depth=from_inner / np.maximum(total, 1e-9),
    )


def _refined(
    masks: Sequence[Mask], spacing: Floats, *, step_mm: float, smoothing: float
) -> tuple[Floats, list[Floats], Floats]:
    """Signed distances (mm, positive inside) of smooth outlines on a finer grid around them."""
    held = np.argwhere(masks[-1])
    low, high = held.min(axis=0) - 3, held.max(axis=0) + 4
    factor = np.maximum(np.round(spacing / step_mm), 1).astype(int)
    step = 1.0 / factor
    # Labels may fill any image: the equations must not.
    step = step * np.ceil(((high - low) / step).max() / MAX_CELLS)
    axes = [np.arange(low[a], high[a] + 1e-9, step[a]) for a in (0, 1)]
    grid = np.meshgrid(*axes, indexing="ij")
    sigma_mm = smoothing * float(np.sqrt(spacing.prod()))
    fields = []
    for mask in masks:
        level = ndimage.gaussian_filter(np.pad(mask, 8).astype(float), sigma_mm / spacing)
        value = ndimage.map_coordinates(level, [g + 8 for g in grid], order=3)
        # A blurred edge is a normal distribution function of the distance from it.
        near = sigma_mm * ndtri(np.clip(value, 1e-9, 1 - 1e-9))
        inside = value > 0.5
        far = ndimage.distance_transform_edt(inside, sampling=spacing * step)
        far -= ndimage.distance_transform_edt(~inside, sampling=spacing * step)
        fields.append(np.where(np.abs(near) <= 1.5 * sigma_mm, near, far))
    return np.array([a[0] for a in axes]), fields, step


def _neighbours(wall: Mask) -> tuple[NDArray[np.int64], list[tuple[int, int, NDArray[np.int64]]]]:
    """Return the number of every point of the wall, and flat indices of its four neighbours."""
    number = np.full(wall.size, -1)
    flat = np.flatnonzero(wall)
    number[flat] = np.arange(flat.size)
    width = wall.shape[1]
    sides = [(0, -1, flat - width), (0, 1, flat + width), (1, -1, flat - 1), (1, 1, flat + 1)]
    return number, sides


def _solve_laplace(wall: Mask, inside: Mask, fine: Floats) -> Floats:
    """Potential: 0 inside, 1 outside, harmonic in the wall."""
    number, sides = _neighbours(wall)
    n = int(wall.sum())
    known = np.where(inside, 0.0, 1.0).ravel()
    rows, columns, values = [np.arange(n)], [np.arange(n)], [np.full(n, 2 * (fine**-2.0).sum())]
    right = np.zeros(n)
    for axis, _, beside in sides:
        weight = fine[axis] ** -2.0
        other = number[beside]
        within = other >= 0
        rows.append(np.flatnonzero(within))
        columns.append(other[within])
        values.append(np.full(int(within.sum()), -weight))
        right += np.where(within, 0.0, weight * known[beside])
    matrix = csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n)
    )
    potential = known.copy()
    potential[np.flatnonzero(wall)] = spsolve(matrix.tocsc(), right)
    return potential.reshape(wall.shape)


def _along(wall: Mask, tangent: Floats, distance: Floats, start: Mask, fine: Floats) -> Floats:
    """Length of the field line from a boundary to every point of the wall, upwind."""
    number, _ = _neighbours(wall)
    flat = np.flatnonzero(wall)
    n = flat.size
    width = wall.shape[1]
    beyond = distance.ravel()
    started = start.ravel()
    diagonal = np.zeros(n)
    right = np.ones(n)
    rows, columns, values = [], [], []
    for axis, stride in ((0, width), (1, 1)):
        along = tangent[axis].ravel()[flat]
        weight = np.abs(along) / fine[axis]
        beside = flat - np.where(along > 0, stride, -stride)
        other = number[beside]
        within = other >= 0
        # A neighbour on the far side of the wall gives no length: it is not upwind.
        usable = within | started[beside]
        weight = np.where(usable, weight, 0.0)
        diagonal += weight
        right += np.where(within, 0.0, weight * np.where(started[beside], beyond[beside], 0.0))
        rows.append(np.flatnonzero(within & (weight > 0)))
        columns.append(other[rows[-1]])
        values.append(-weight[rows[-1]])
    lost = diagonal <= 1e-12
    diagonal[lost], right[lost] = 1.0, np.nan
    rows.append(np.arange(n))
    columns.append(np.arange(n))
    values.append(diagonal)
    matrix = csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n)
    )
    right = np.where(np.isfinite(right), right, 0.0)
    length: Floats = spsolve(matrix.tocsc(), right)
    return length
