"""What lies at a point of the heart: classification of heart coordinates into tissues.

Vectorised over points in single precision; see `heart` beside this module for the geometry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.simulate.heart import Heart, HeartState, Modes, profile
from popscan.protocols.cine_sax.simulate.tissue import Tissue

Points = NDArray[np.float32]

#: Height of the atria above the base, and thickness of their walls.
ATRIUM_HEIGHT_MM = 52.0
ATRIUM_WALL_MM = 2.5
#: How far beyond the epicardial apex anything of the heart (fat) is drawn.
APEX_CAP_MM = 6.0


@dataclass(frozen=True, kw_only=True)
class Polar:
    """Points about the moving, bent centre line, with the base's slope taken out."""

    level: Points  # mm below the base of this phase, negative above
    rho2: Points
    theta: Points
    x: Points
    y: Points


def polar(state: HeartState, u: Points, v: Points, w: Points) -> Polar:
    """Return heart coordinates about the moving centre line, for all parts of the heart."""
    heart = state.heart
    w = w - np.float32(heart.slope[0]) * u - np.float32(heart.slope[1]) * v
    relative = w * np.float32(1 / (heart.length_mm + heart.apex_wall_mm))
    bend = relative * np.abs(relative)
    shift = septal_shift_mm(state)
    x = u - np.float32(heart.bend_mm[0]) * bend - np.float32(shift * np.cos(heart.rv_angle))
    y = v - np.float32(heart.bend_mm[1]) * bend - np.float32(shift * np.sin(heart.rv_angle))
    level = w - np.float32(state.base_mm)
    return Polar(level=level, rho2=x * x + y * y, theta=np.arctan2(y, x), x=x, y=y)


def septal_shift_mm(state: HeartState) -> float:
    """How far the centre line moves towards the septum, so that the septum nearly stays."""
    diastolic = state.heart.at(0.0).epi_area_mm2
    return 0.45 * float(np.sqrt(diastolic / np.pi) - np.sqrt(state.epi_area_mm2 / np.pi))


def _twist(state: HeartState, share: Points) -> Points:
    base, apex = (np.deg2rad(d) * state.squeeze for d in state.heart.twist_deg)
    return (base + (apex - base) * np.clip(share, 0, 1)).astype(np.float32)


def _modes(modes: Modes, theta: Points, share: Points) -> Points:
    """Zero-mean outline modes; their phase drifts with depth so that no two levels are alike."""
    out = np.zeros_like(theta)
    for order, amplitude, phase in modes:
        drift = np.float32(0.6 * order) * share
        out += np.float32(amplitude) * np.cos(np.float32(order) * theta + drift + np.float32(phase))
    return out


def _scar(heart: Heart, theta: Points, squeeze: float) -> Points:
    """Zero-mean change of the wall where a region does not thicken in systole."""
    angle, strength = heart.akinesia
    if not strength:
        return np.zeros_like(theta)
    x = theta - np.float32(angle)
    bump = np.cos(x) + np.float32(0.35) * np.cos(2 * x)
    return (np.float32(0.35 * strength * squeeze) * bump).astype(np.float32)


def _outlines(state: HeartState, p: Polar) -> tuple[Points, Points]:
    """Squared radii of the endocardium and of the epicardium at each point's angle and level."""
    heart = state.heart
    kind = {"belly": heart.belly, "taper": heart.taper}
    share = p.level * np.float32(1 / state.epi_length_mm)
    endo_share = p.level * np.float32(1 / state.endo_length_mm)
    epi = np.float32(state.epi_area_mm2 / np.pi) * profile(share, **kind).astype(np.float32)
    endo = np.float32(state.endo_area_mm2 / np.pi) * profile(endo_share, **kind).astype(np.float32)
    theta = p.theta - _twist(state, share)
    outline = 1 + _modes(heart.shape_modes, theta, share)
    wall = _modes(heart.wall_modes, theta, share) + _scar(heart, theta, state.squeeze)
    thin = 1 - endo / np.maximum(epi, np.float32(1e-3))
    return endo * (outline + np.maximum(thin, 0) * wall), epi * outline


def _rv_outer2(state: HeartState, p: Polar, epi2: Points) -> tuple[Points, Points]:
    """Squared outer radius of the right-ventricular cavity, and the angle over its half-width."""
    heart = state.heart
    share = p.level * np.float32(1 / state.rv_length_mm)
    half = np.float32(heart.rv_half_width) * (1 - np.float32(0.3) * np.clip(share, 0, 1))
    x = (p.theta - np.float32(heart.rv_angle) + np.float32(np.pi)) % np.float32(2 * np.pi)
    x = (x - np.float32(np.pi)) / half
    inside = np.clip(1 - share, 0, 1) ** np.float32(heart.rv_taper)
    area = np.float32(state.rv_base_area_mm2) * np.where(share >= 0, inside, 0)
    x2 = np.minimum(x * x, 1)
    bump = (1 - x2) * (1 + x2 / 2) * (1 + np.float32(heart.rv_skew) * np.clip(x, -1, 1))
    # The bump's integral over x is 22/15, and an area is half the integral of a squared radius.
    return (epi2 + np.float32(15 / 11) * area / half * bump).astype(np.float32), x


def _papillary(state: HeartState, p: Polar, endo2: Points) -> NDArray[np.bool_]:
    heart = state.heart
    share = p.level * np.float32(1 / state.endo_length_mm)
    twist = float(np.deg2rad(heart.twist_deg[1]) * state.squeeze * 0.5)
    radius = heart.papillary_mm * np.sqrt(heart.length_mm / state.endo_length_mm)
    # Conical ends: a muscle that began at one level would be a step in one slice.
    ends = np.clip(np.minimum(share - 0.22, 0.82 - share) / 0.12, 0, 1)
    at = np.float32(0.66) * np.sqrt(np.maximum(endo2, 0))
    found = np.zeros(p.theta.shape, bool)
    for angle in heart.papillary_angles:
        dx = p.x - at * np.float32(np.cos(angle + twist))
        dy = p.y - at * np.float32(np.sin(angle + twist))
        found |= dx * dx + dy * dy < (np.float32(radius) * ends) ** 2
    return found


def _trabecula(p: Polar, outer2: Points, *, rate: float) -> NDArray[np.bool_]:
    """Fine ridges along the wall of a cavity, denser towards the apex."""
    share = p.rho2 / np.maximum(outer2, np.float32(1))
    ridges = np.cos(np.float32(rate) * p.theta + p.level * np.float32(0.11)) + np.cos(
        np.float32(0.7 * rate) * p.theta - p.level * np.float32(0.23)
    )
    depth = np.clip(p.level * np.float32(1 / 90), 0, 1) * np.float32(0.22)
    return (share > np.float32(0.86) - depth) & (ridges > np.float32(0.35))


def _ventricles(state: HeartState, p: Polar, out: NDArray[np.uint8]) -> None:
    endo2, epi2 = _outlines(state, p)
    outer2, x = _rv_outer2(state, p, epi2)
    heart = state.heart
    wall = np.where(np.abs(x) < 1.1, np.float32(heart.rv_wall_mm), np.float32(0))
    rim = np.sqrt(np.maximum(outer2, 0)) + wall
    top = np.clip(1 - p.level / 14, 0, 1)  # fat gathers in the groove at the base
    front = 0.65 - 0.35 * np.sin(p.theta)
    cap = np.clip((state.epi_length_mm + APEX_CAP_MM - p.level) / 8, 0, 1)
    fat = (np.float32(heart.fat_mm) * (front + top) * cap).astype(np.float32)
    below = p.level >= 0
    out[below & (p.rho2 < (rim + fat) ** 2)] = Tissue.EPICARDIAL_FAT
    out[below & (p.rho2 < rim * rim)] = Tissue.RV_WALL
    right = below & (p.rho2 < outer2) & (p.rho2 >= epi2)
    out[right] = Tissue.RV_BLOOD
    out[right & _trabecula(p, outer2, rate=17.0)] = Tissue.RV_TRABECULA
    out[below & (p.rho2 < epi2)] = Tissue.MYOCARDIUM
    left = below & (p.rho2 < endo2)
    out[left] = Tissue.LV_BLOOD
    out[left & _trabecula(p, endo2, rate=11.0)] = Tissue.LV_TRABECULA
    out[left & _papillary(state, p, endo2)] = Tissue.PAPILLARY


def _atria(state: HeartState, p: Polar, out: NDArray[np.uint8]) -> None:
    """Atria and aortic root above the base: scenery, in no label and in no truth."""
    rise = p.level * np.float32(-1 / ATRIUM_HEIGHT_MM)
    shrink = np.sqrt(np.clip(1 - rise * rise, 0, 1))
    above = (p.level < 0) & (rise < 1)
    at_base = Polar(level=np.zeros_like(p.level), rho2=p.rho2, theta=p.theta, x=p.x, y=p.y)
    _, epi2 = _outlines(state, at_base)
    outer2, _ = _rv_outer2(state, at_base, epi2)
    wall = np.float32(ATRIUM_WALL_MM)
    # As wide as the ventricle with its wall, whose muscle ends at the valves: a thick ring above
    # the base would look like more ventricle.
    left = np.maximum(np.sqrt(np.maximum(epi2, 0)) * shrink - wall, 0)
    right = np.sqrt(np.maximum(outer2, 0)) * np.float32(0.95) * shrink
    rho = np.sqrt(p.rho2)
    groove = np.float32(state.heart.fat_mm) * np.clip(1 - rise * 3, 0.3, 1)
    out[above & (rho < np.maximum(right, left) + wall + groove)] = Tissue.EPICARDIAL_FAT
    out[above & (rho < np.maximum(right, left + wall) + wall)] = Tissue.RV_WALL
    out[above & (rho < right) & (rho > np.sqrt(epi2) * shrink)] = Tissue.ATRIUM
    out[above & (rho < left)] = Tissue.ATRIUM
    # The closed valves: a thin sheet just above the base.
    out[above & (p.level > -2.5) & (rho < np.maximum(left, right))] = Tissue.RV_WALL
    angle = state.heart.rv_angle + 0.75
    root = 0.6 * float(np.sqrt(state.epi_area_mm2 / np.pi))
    dx, dy = p.x - np.float32(root * np.cos(angle)), p.y - np.float32(root * np.sin(angle))
    away2 = dx * dx + dy * dy
    open_above = p.level < 0
    out[open_above & (away2 < 17.0**2)] = Tissue.RV_WALL
    out[open_above & (away2 < 15.0**2)] = Tissue.ATRIUM


def _reach2(state: HeartState, p: Polar) -> Points:
    """Squared radius beyond which nothing of the heart lies: spares most points the full look."""
    heart = state.heart
    swell = 1 + sum(abs(amplitude) for _, amplitude, _ in heart.shape_modes)
    left2 = state.epi_area_mm2 / np.pi * swell
    right2 = left2 + 15 / 11 * 1.1 * 1.5 * state.rv_base_area_mm2 / heart.rv_half_width
    around = heart.rv_wall_mm + 2 * heart.fat_mm + 4
    near, far = ((np.sqrt(r2) + around) ** 2 for r2 in (left2, right2))
    along = p.x * np.float32(np.cos(heart.rv_angle)) + p.y * np.float32(np.sin(heart.rv_angle))
    # The right ventricle, and the root of the aorta, lie within 110 degrees of the septum.
    side = along > np.float32(-0.35) * np.sqrt(p.rho2)
    return np.where(side, np.float32(far), np.float32(near))


def heart_tissue(state: HeartState, u: Points, v: Points, w: Points) -> NDArray[np.uint8]:
    """Classify points in heart coordinates.

    Parameters
    ----------
    state
        The heart at one phase.
    u, v, w
        Coordinates in mm, any shape, all alike.

    Returns
    -------
    ndarray of uint8, the shape of `u`
        `Tissue` codes; 0 (air) where there is nothing of the heart, so that the torso shows.
    """
    out = np.zeros(u.shape, np.uint8)
    p = polar(state, u, v, w)
    near = _reach2(state, p) > p.rho2
    near &= (p.level < state.epi_length_mm + APEX_CAP_MM) & (p.level > -ATRIUM_HEIGHT_MM)
    ventricles = near & (p.level >= 0)
    for part, draw in ((ventricles, _ventricles), (near & ~ventricles, _atria)):
        where = np.flatnonzero(part)
        if not where.size:
            continue
        taken = Polar(
            **{
                name: getattr(p, name).ravel()[where]
                for name in ("level", "rho2", "theta", "x", "y")
            }
        )
        piece = np.zeros(where.size, np.uint8)
        draw(state, taken, piece)
        out.ravel()[where] = piece
    return out
