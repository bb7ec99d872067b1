"""What lies at a point of the heart with its atria: tissues of the short axis, and four more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_lax.labels import LA, LV, MYO, RA, RV
from popscan.protocols.cine_lax.simulate.atria import (
    BELLY,
    FOUR_CHAMBER_DEG,
    TAPER,
    Atria,
    Atrium,
)
from popscan.protocols.cine_sax.simulate import anatomy as ventricles
from popscan.protocols.cine_sax.simulate.heart import HeartState, profile
from popscan.protocols.cine_sax.simulate.tissue import Tissue

Points = NDArray[np.float32]

#: Codes behind those of `Tissue`: blood of the atria, and their valves, which count as atrium.
LEFT_ATRIUM, RIGHT_ATRIUM, MITRAL, TRICUSPID = range(len(Tissue), len(Tissue) + 4)
#: Label of each tissue.
LABEL_OF: NDArray[np.uint8] = np.zeros(len(Tissue) + 4, np.uint8)
LABEL_OF[[Tissue.LV_BLOOD, Tissue.PAPILLARY, Tissue.LV_TRABECULA]] = LV
LABEL_OF[Tissue.MYOCARDIUM] = MYO
LABEL_OF[[Tissue.RV_BLOOD, Tissue.RV_TRABECULA]] = RV
LABEL_OF[[LEFT_ATRIUM, MITRAL]] = LA
LABEL_OF[[RIGHT_ATRIUM, TRICUSPID]] = RA
_VALVE_MM = 2.0
_WALL_MM = 2.5
_ROOT_MM = 13.0


def with_atria(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the signal of every tissue, those of the atria behind those of `Tissue`."""
    blood, muscle = signals[Tissue.LV_BLOOD], signals[Tissue.MYOCARDIUM]
    valve = 0.5 * (blood + muscle)
    return np.concatenate([signals, [blood, blood, valve, valve]]).astype(np.float32)


def tissue_at(
    state: HeartState, atria: Atria, u: Points, v: Points, w: Points
) -> NDArray[np.uint8]:
    """Classify points in heart coordinates: ventricles as in the short axis, atria above the base.

    Parameters
    ----------
    state, atria
        The heart at one phase.
    u, v, w
        Coordinates in mm, any shape, all alike.

    Returns
    -------
    ndarray of uint8, the shape of `u`
        Codes of `Tissue` and of this module; 0 where there is nothing of the heart.
    """
    out = ventricles.heart_tissue(state, u, v, w)
    p = ventricles.polar(state, u, v, w)
    above = p.level < 0
    out[above] = 0
    left = _rim(state, atria.left, atria.left_mm, p)
    right = _rim(state, atria.right, atria.right_mm, p)
    fat = np.float32(state.heart.fat_mm)
    closest = np.minimum(left, right)
    tall = max(one.height_at(state) for one in (atria.left, atria.right))
    near = above & (p.level > -(tall + 8))
    out[near & (closest < _WALL_MM + fat)] = Tissue.EPICARDIAL_FAT
    out[near & (closest < _WALL_MM)] = Tissue.RV_WALL
    _aorta(state, p, above, out)
    valve = p.level > -_VALVE_MM
    for inside, blood, leaflet in (
        (left < 0, LEFT_ATRIUM, MITRAL),
        (right < 0, RIGHT_ATRIUM, TRICUSPID),
    ):
        out[above & inside] = blood
        out[above & inside & valve] = leaflet
    return out


def _rim(state: HeartState, atrium: Atrium, aside_mm: float, p: ventricles.Polar) -> Points:
    """How far each point is from the rim of an atrium's cross-section; negative within it."""
    height = atrium.height_at(state)
    share = p.level * np.float32(-1 / height)
    inside = profile(share, belly=BELLY, taper=TAPER).astype(np.float32)
    angle = state.heart.rv_angle + np.deg2rad(FOUR_CHAMBER_DEG)
    dx = p.x - np.float32(aside_mm * np.cos(angle))
    dy = p.y - np.float32(aside_mm * np.sin(angle))
    radius = np.sqrt(np.float32(atrium.widest_mm2(state) / np.pi) * inside)
    # Above the roof nothing is inside, whatever the distance.
    beyond = np.maximum(share - 1, 0) * np.float32(height)
    return (np.hypot(dx, dy) - radius + beyond).astype(np.float32)


def _aorta(
    state: HeartState, p: ventricles.Polar, above: NDArray[np.bool_], out: NDArray[np.uint8]
) -> None:
    """Draw the aortic root between the atria, scenery in no label."""
    angle = state.heart.rv_angle + 0.9
    middle = 0.75 * float(np.sqrt(state.epi_area_mm2 / np.pi))
    away = np.hypot(
        p.x - np.float32(middle * np.cos(angle)), p.y - np.float32(middle * np.sin(angle))
    )
    out[above & (away < _ROOT_MM + 2)] = Tissue.RV_WALL
    out[above & (away < _ROOT_MM)] = Tissue.ATRIUM
