"""Ventricles in a long-axis plane: of digital hearts, and of short-axis stacks with labels.

A stack whose slices an expert labelled has true outlines in every plane that cuts it. Slices are
far apart, so that outlines between them are interpolated as signed distances (Raya and Udupa,
IEEE TMI 1990), and their ends are made up: a cap at the apex, a valve plane above the highest
slice with a label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_lax.labels import LV, MYO, RV
from popscan.protocols.cine_lax.simulate.atria import FOUR_CHAMBER_DEG
from popscan.protocols.cine_lax.simulate.plan import TURN_DEG
from popscan.protocols.cine_lax.simulate.tissue import LABEL_OF
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue, polar
from popscan.protocols.cine_sax.simulate.heart import HeartState

Floats = NDArray[np.float64]

#: Pixel of the drawn planes, their side, and the row of the valve.
PIXEL_MM = 1.5
SIDE = 200
VALVE_ROW = 84
#: Standard deviations of what an operator misses: mm across, degrees against and about the axis.
_OFFSET_MM, _TILT_DEG, _TURN_DEG = 4.0, 5.0, 9.0


@dataclass(frozen=True, kw_only=True)
class Ventricles:
    """The ventricles in one plane; axis 0 towards the lateral wall, axis 1 towards the apex.

    Attributes
    ----------
    labels : ndarray of uint8, shape (SIDE, SIDE)
        LV, MYO and RV; nothing above the valve plane.
    level_mm : ndarray, shape (SIDE, SIDE)
        How far each pixel lies below the valve plane.
    image : ndarray or None
        Intensities of a scan in the plane, below its highest labelled slice; NaN elsewhere.
    view
        ``2ch`` or ``4ch``.
    """

    labels: NDArray[np.uint8]
    level_mm: Floats
    view: str
    image: Floats | None = None


def plane_points() -> tuple[Floats, Floats]:
    """Return the pixels' positions across and along the long axis in mm, each (SIDE, SIDE)."""
    steps = np.arange(SIDE)
    x, y = np.meshgrid((steps - SIDE / 2) * PIXEL_MM, (steps - VALVE_ROW) * PIXEL_MM, indexing="ij")
    return x, y


def of_digital(state: HeartState, view: str, *, rng: np.random.Generator) -> Ventricles:
    """Cut a digital heart, without its atria, in a plane of a view.

    Parameters
    ----------
    state
        The heart at one phase.
    view
        ``2ch`` or ``4ch``.
    rng
        Source of what the operator misses.
    """
    x, y = plane_points()
    turn = FOUR_CHAMBER_DEG + TURN_DEG[view] + rng.normal(0, _TURN_DEG)
    angle = state.heart.rv_angle + np.deg2rad(turn)
    across = np.array([-np.cos(angle), -np.sin(angle), 0.0])
    normal = np.array([-np.sin(angle), np.cos(angle), 0.0])
    tilt = np.tan(np.deg2rad(rng.normal(0, _TILT_DEG)))
    offset = rng.normal(0, _OFFSET_MM)
    middle = 0.5 * state.heart.length_mm
    points = [
        (x * across[k] + (offset + tilt * (y - middle)) * normal[k]).astype(np.float32)
        for k in range(2)
    ]
    u, v, w = *points, y.astype(np.float32)
    level = polar(state, u, v, w).level
    labels = LABEL_OF[heart_tissue(state, u, v, w)]
    labels[level < 0] = 0
    return Ventricles(labels=labels, level_mm=level.astype(float), view=view)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A labelled short-axis stack, made ready to be cut by planes along its axis.

    Attributes
    ----------
    image : ndarray, shape (x, y, z)
        Intensities, base first.
    distance : ndarray, shape (3, x, y, z)
        Signed distances in mm to the borders of LV cavity, epicardium and RV cavity; positive
        within. NaN in slices without the structure.
    centre_mm : ndarray, shape (z, 2)
        The LV's middle in each slice, on a straight line.
    shift_mm : ndarray, shape (z, 2)
        How far each slice's LV is from that line: breath-holds.
    rv_angle
        Direction of the RV from the LV, radians.
    spacing_mm
        Voxel distances.
    """

    image: Floats
    distance: Floats
    centre_mm: Floats
    shift_mm: Floats
    rv_angle: float
    spacing_mm: tuple[float, float, float]


def stack_of(
    image: NDArray[np.generic],
    labels: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
) -> Stack | None:
    """Return a labelled stack for planes; None where a ventricle has fewer than three slices.

    Parameters
    ----------
    image, labels : ndarray, shape (x, y, z)
        One frame, base first, and its `Label` values.
    spacing_mm
        Voxel distances.
    """
    masks = [labels == Label.LV, np.isin(labels, (Label.LV, Label.MYO)), labels == Label.RV]
    if min(np.count_nonzero(mask.any(axis=(0, 1))) for mask in masks) < 3:
        return None
    plane = np.array(spacing_mm[:2])
    distance = np.full((3, *labels.shape), np.nan)
    for k, mask in enumerate(masks):
        for z in np.flatnonzero(mask.any(axis=(0, 1))):
            inner = ndimage.distance_transform_edt(mask[..., z], sampling=plane)
            outer = ndimage.distance_transform_edt(~mask[..., z], sampling=plane)
            distance[k, ..., z] = inner - outer
    slices = np.flatnonzero(masks[1].any(axis=(0, 1)))
    middles = np.array([ndimage.center_of_mass(masks[1][..., z]) for z in slices]) * plane
    every = np.arange(labels.shape[2])
    fits = [np.polyfit(slices, middles[:, k], 1) for k in range(2)]
    line = np.stack([np.polyval(fit, every) for fit in fits], axis=1)
    shift = np.zeros_like(line)
    shift[slices] = middles - line[slices]
    right = np.argwhere(masks[2])[:, :2].mean(axis=0) * plane
    away = right - middles.mean(axis=0)
    return Stack(
        image=np.asarray(image, float), distance=distance, centre_mm=line, shift_mm=shift,
        rv_angle=float(np.arctan2(away[1], away[0])), spacing_mm=spacing_mm,
    )  # fmt: skip


def of_stack(stack: Stack, view: str, *, rng: np.random.Generator) -> Ventricles:
    """Cut a labelled stack in a plane of a view.

    Parameters
    ----------
    stack
        See `stack_of`.
    view
        ``2ch`` or ``4ch``.
    rng
        Source of what the operator misses, and of where the valves and the apex lie.
    """
    x, y = plane_points()
    turn = FOUR_CHAMBER_DEG * 0.5 + TURN_DEG[view] * rng.uniform(0.9, 1.4)
    turn += rng.normal(0, _TURN_DEG) * (1.0 if view == "4ch" else 0.6)
    angle = stack.rv_angle + np.deg2rad(turn)
    across = -np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-np.sin(angle), np.cos(angle)])
    step = stack.spacing_mm[2]
    labelled = [np.flatnonzero(np.isfinite(d).any(axis=(0, 1))) for d in stack.distance]
    top = float(labelled[1][0]) - rng.uniform(0.1, 0.7)
    z = top + y / step  # axis 1 begins at the valve plane
    offset, tilt = rng.normal(0, _OFFSET_MM), np.tan(np.deg2rad(rng.normal(0, _TILT_DEG)))
    beside = offset + tilt * (y - 40.0)
    n = stack.image.shape[2]
    index = np.clip(z, 0, n - 1)
    line = [np.interp(index, np.arange(n), stack.centre_mm[:, k]) for k in range(2)]
    place = [line[k] + x * across[k] + beside * normal[k] for k in range(2)]
    last = float(labelled[1][-1]) + rng.uniform(0.3, 0.9)
    inside = []
    for k, slices in enumerate(labelled):
        value, past = _between(stack, stack.distance[k], slices, place, z)
        # Beyond the last slice the outline closes as a cap does, to a point of the axis.
        reach = {0: last - slices[-1] - 0.35, 1: last + 0.25 - slices[-1], 2: 0.6}[k]
        reach = max(reach, 0.25)
        high = float(np.nanmax(stack.distance[k][..., slices[-1]]))
        inside.append(value - np.maximum(high, 2.0) * (past / reach) ** 2)
    slope = np.tan(np.deg2rad(rng.normal(0, 6)))
    level = y - slope * x - rng.normal(0, 0.3)
    labels = np.zeros(x.shape, np.uint8)
    # A right ventricle whose labels begin lower still reaches its valve.
    labels[inside[2] > 0] = RV
    labels[inside[1] > 0] = MYO
    labels[(inside[0] > 0) & (inside[1] > 2.0)] = LV
    labels[level < 0] = 0
    flat = np.arange(n)
    image, _ = _between(stack, stack.image, flat, place, z)
    image[(z < labelled[1][0] - 0.7) | (z > n - 0.5)] = np.nan
    return Ventricles(labels=labels, level_mm=level, view=view, image=image)


def _between(
    stack: Stack, values: Floats, slices: NDArray[np.intp], place: list[Floats], z: Floats
) -> tuple[Floats, Floats]:
    """Interpolate values (x, y, z) of some slices at a plane; and how far beyond the last it is."""
    inner = np.clip(z, slices[0], slices[-1])
    below = np.clip(np.floor(inner).astype(int), slices[0], max(slices[-1] - 1, slices[0]))
    below = slices[np.searchsorted(slices, below, side="right") - 1]
    above = slices[np.minimum(np.searchsorted(slices, below, side="right"), len(slices) - 1)]
    gap = np.maximum(above - below, 1)
    share = np.clip((inner - below) / gap, 0, 1)
    parts = []
    for at in (below, above):
        voxel = [(place[k] + stack.shift_mm[at, k]) / stack.spacing_mm[k] for k in range(2)]
        part = np.full(z.shape, 0.0)
        for one in np.unique(at):
            here = at == one
            part[here] = ndimage.map_coordinates(
                values[..., one], [voxel[0][here], voxel[1][here]], order=1, mode="nearest"
            )
        parts.append(part)
    return (1 - share) * parts[0] + share * parts[1], np.maximum(z - slices[-1], 0)
