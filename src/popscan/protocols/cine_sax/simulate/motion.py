"""Where every point of the digital heart's wall goes, in closed form: displacement and strain.

A point of the left-ventricular wall keeps its depth ``q`` (share of the wall's area between
endocardium, 0, and epicardium, 1), its direction ``theta`` before twisting, and its level ``s``
(share of the epicardium's length below the base). These three say where it is at any phase: the
outlines of `popscan.protocols.cine_sax.simulate.anatomy`, turned by the twist, bent, shifted and
sloped. The deformation gradient is the product of the map's derivatives, which are written out
here; tests compare them with finite differences and the map with the tissue that is rendered.

Strains are relative changes of length (Lagrangian engineering strain, ED as reference) of lines
that lie in the short-axis plane at ED, measured within that plane, as short-axis images show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.protocols.cine_sax.simulate.anatomy import septal_shift_mm
from popscan.protocols.cine_sax.simulate.heart import Heart, HeartState, Modes, profile

Floats = NDArray[np.float64]


class _Varying(NamedTuple):
    """A function of direction and level with its two derivatives."""

    value: Floats
    by_theta: Floats
    by_share: Floats


@dataclass(frozen=True, kw_only=True)
class Strain:
    """Strain of points of the wall between end-diastole and a phase; arrays of shape (points,).

    Attributes
    ----------
    circumferential, radial
        Relative change of length along the wall and across it, within the short-axis plane.
    longitudinal
        Relative change of length of the line from base to apex within the wall.
    volume
        Determinant of the deformation gradient: 1 keeps volume.
    """

    circumferential: Floats
    radial: Floats
    longitudinal: Floats
    volume: Floats


def material_points(heart: Heart, points_mm: ArrayLike, *, phase: float = 0.0) -> Floats:
    """Return depth, direction and level of points in heart coordinates.

    Parameters
    ----------
    heart
        The heart.
    points_mm : array_like, shape (points, 3)
        Heart coordinates u, v, w.
    phase
        Share of the RR interval at which the points lie there.

    Returns
    -------
    ndarray, shape (points, 3)
        ``q`` (0 to 1 within the wall), ``theta`` in radians, ``s``.
    """
    state = heart.at(phase)
    u, v, w = np.asarray(points_mm, dtype=np.float64).T
    level = w - heart.slope[0] * u - heart.slope[1] * v - state.base_mm
    share = level / state.epi_length_mm
    middle = _centre_line(state, level)
    x, y = u - middle[0].value, v - middle[1].value
    theta = np.arctan2(y, x) - _twist(state, share).value
    endo2, epi2 = _outlines(state, theta, share)
    depth = (x * x + y * y - endo2.value) / np.maximum(epi2.value - endo2.value, 1e-9)
    return np.stack([depth, theta, share], axis=1)


def positions_mm(heart: Heart, material: ArrayLike, *, phase: float) -> Floats:
    """Return heart coordinates (points, 3) of `material_points` at a phase."""
    return _map(heart, material, phase)[0]


def displacements_mm(heart: Heart, points_mm: ArrayLike, *, phase: float) -> Floats:
    """Return how far wall points, given at end-diastole, have moved at a phase: (points, 3)."""
    points = np.asarray(points_mm, dtype=np.float64)
    return positions_mm(heart, material_points(heart, points), phase=phase) - points


def deformation_gradients(heart: Heart, points_mm: ArrayLike, *, phase: float) -> Floats:
    """Return the derivative of the position at `phase` by that at end-diastole: (points, 3, 3)."""
    material = material_points(heart, points_mm)
    return _map(heart, material, phase)[1] @ np.linalg.inv(_map(heart, material, 0.0)[1])


def strain_at(heart: Heart, points_mm: ArrayLike, *, phase: float) -> Strain:
    """Return the strain of wall points, given at end-diastole (points, 3), at a phase."""
    material = material_points(heart, points_mm)
    before, after = _map(heart, material, 0.0)[1], _map(heart, material, phase)[1]
    gradient = after @ np.linalg.inv(before)
    along = before[:, :2, 1] / np.linalg.norm(before[:, :2, 1], axis=1, keepdims=True)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    plane = gradient[:, :2, :2]
    return Strain(
        circumferential=_stretch(plane, along) - 1.0,
        radial=_stretch(plane, across) - 1.0,
        longitudinal=np.linalg.norm(after[:, :, 2], axis=1)
        / np.linalg.norm(before[:, :, 2], axis=1)
        - 1.0,
        volume=np.linalg.det(gradient),
    )


def _stretch(gradient: Floats, direction: Floats) -> Floats:
    return np.linalg.norm(np.einsum("nij,nj->ni", gradient, direction), axis=1)


def _map(heart: Heart, material: ArrayLike, phase: float) -> tuple[Floats, Floats]:
    """Positions (points, 3), and their derivatives by depth, direction and level (points, 3, 3)."""
    state = heart.at(phase)
    depth, theta, share = np.asarray(material, dtype=np.float64).T
    endo2, epi2 = _outlines(state, theta, share)
    wall2 = epi2.value - endo2.value
    rho = np.sqrt(np.maximum(endo2.value + depth * wall2, 1e-12))
    by_theta = endo2.by_theta + depth * (epi2.by_theta - endo2.by_theta)
    by_share = endo2.by_share + depth * (epi2.by_share - endo2.by_share)
    grown = np.stack([wall2, by_theta, by_share]) / (2 * rho)
    twist = _twist(state, share)
    turned = np.stack([np.zeros_like(rho), np.ones_like(rho), twist.by_share])
    cos, sin = np.cos(theta + twist.value), np.sin(theta + twist.value)
    level = share * state.epi_length_mm
    middle = _centre_line(state, level)
    derivative = np.empty((rho.size, 3, 3))
    derivative[:, 0] = (grown * cos - rho * sin * turned).T
    derivative[:, 1] = (grown * sin + rho * cos * turned).T
    for axis in (0, 1):
        derivative[:, axis, 2] += middle[axis].by_share * state.epi_length_mm
    slope = heart.slope
    derivative[:, 2] = slope[0] * derivative[:, 0] + slope[1] * derivative[:, 1]
    derivative[:, 2, 2] += state.epi_length_mm
    u, v = middle[0].value + rho * cos, middle[1].value + rho * sin
    w = level + state.base_mm + slope[0] * u + slope[1] * v
    return np.stack([u, v, w], axis=1), derivative


def _centre_line(state: HeartState, level: Floats) -> tuple[_Varying, _Varying]:
    """Where the middle of the ventricle lies at a level (mm), and its derivative by the level."""
    heart = state.heart
    whole = heart.length_mm + heart.apex_wall_mm
    relative = (level + state.base_mm) / whole
    bend, by_level = relative * np.abs(relative), 2 * np.abs(relative) / whole
    shift = septal_shift_mm(state)
    nothing = np.zeros_like(level)
    u, v = (
        _Varying(size * bend + shift * turn, nothing, size * by_level)
        for size, turn in zip(
            heart.bend_mm, (np.cos(heart.rv_angle), np.sin(heart.rv_angle)), strict=True
        )
    )
    return u, v


def _twist(state: HeartState, share: Floats) -> _Varying:
    base, apex = (np.deg2rad(d) * state.squeeze for d in state.heart.twist_deg)
    inside = (share > 0) & (share < 1)
    return _Varying(
        base + (apex - base) * np.clip(share, 0, 1),
        np.zeros_like(share),
        np.where(inside, apex - base, 0.0),
    )


def _outlines(state: HeartState, theta: Floats, share: Floats) -> tuple[_Varying, _Varying]:
    """Squared radii of the endocardium and of the epicardium, with their derivatives."""
    heart = state.heart
    ratio = state.epi_length_mm / state.endo_length_mm
    epi, epi_s = _area(heart, share, state.epi_area_mm2 / np.pi)
    endo, endo_s = _area(heart, share * ratio, state.endo_area_mm2 / np.pi)
    endo_s = endo_s * ratio
    outline = _modes(heart.shape_modes, theta, share)
    wall = _wall(state, theta, share)
    solid = np.maximum(epi, 1e-3)
    thin = np.maximum(1 - endo / solid, 0)
    thin_s = np.where(thin > 0, (endo * epi_s - endo_s * epi) / solid**2, 0.0)
    radius = 1 + outline.value + thin * wall.value
    return (
        _Varying(
            endo * radius,
            endo * (outline.by_theta + thin * wall.by_theta),
            endo_s * radius
            + endo * (outline.by_share + thin_s * wall.value + thin * wall.by_share),
        ),
        _Varying(
            epi * (1 + outline.value),
            epi * outline.by_theta,
            epi_s * (1 + outline.value) + epi * outline.by_share,
        ),
    )


def _area(heart: Heart, share: Floats, widest: float) -> tuple[Floats, Floats]:
    """Squared mean radius at a level, and its derivative by the level."""
    belly, taper = heart.belly, heart.taper
    below = np.maximum((share - belly) / (1 - belly), 0)
    above = np.maximum((belly - share) / (1 - belly), 0)
    slope = (2 * above - taper * below ** (taper - 1)) / (1 - belly)
    inside = (share >= 0) & (share < 1)
    return widest * profile(share, belly=belly, taper=taper), np.where(inside, widest * slope, 0.0)


def _modes(modes: Modes, theta: Floats, share: Floats) -> _Varying:
    value, by_theta, by_share = (np.zeros_like(theta) for _ in range(3))
    for order, amplitude, phase in modes:
        angle = order * theta + 0.6 * order * share + phase
        value += amplitude * np.cos(angle)
        by_theta -= order * amplitude * np.sin(angle)
        by_share -= 0.6 * order * amplitude * np.sin(angle)
    return _Varying(value, by_theta, by_share)


def _wall(state: HeartState, theta: Floats, share: Floats) -> _Varying:
    """Uneven thickness of the wall: its modes, and the region that does not thicken."""
    modes = _modes(state.heart.wall_modes, theta, share)
    angle, strength = state.heart.akinesia
    size, x = 0.35 * strength * state.squeeze, theta - angle
    return _Varying(
        modes.value + size * (np.cos(x) + 0.35 * np.cos(2 * x)),
        modes.by_theta - size * (np.sin(x) + 0.7 * np.sin(2 * x)),
        modes.by_share,
    )
