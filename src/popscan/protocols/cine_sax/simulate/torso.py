"""A torso around the heart: fat, chest wall, lungs, liver, spleen, stomach, spine, aorta.

Patient coordinates: RAS millimetres about the torso's axis at the level of the heart, so ``x``
grows to the patient's right, ``y`` to the front, ``z`` to the head. Scenery: nothing here is in
a label or in the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.simulate.tissue import Tissue


@dataclass(frozen=True, kw_only=True)
class Torso:
    """Size of a torso.

    Attributes
    ----------
    half_width_mm, half_depth_mm
        Half axes of the skin's outline, left-right and back-front.
    fat_mm
        Thickness of the subcutaneous fat in front; three quarters of it elsewhere.
    wall_mm
        Thickness of the muscular chest wall.
    heart_mm
        Centre of the heart (x, y, z).
    rib_phase
        Where along z the ribs lie, in radians.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    wall_mm: float
    heart_mm: tuple[float, float, float]
    rib_phase: float = 0.0


def torso_for(
    *,
    sex: str,
    height_cm: float,
    weight_kg: float,
    extra_fat_mm: float = 0.0,
    rng: np.random.Generator,
) -> Torso:
    """Return a torso for a body: wider with BMI, more fat under the skin in women.

    Parameters
    ----------
    sex
        ``female`` or ``male``; anything else is taken between the two.
    height_cm, weight_kg
        Body size.
    extra_fat_mm
        Further fat under the skin (bias switch ``fat_layer``).
    rng
        Source of the individual variation.
    """
    bmi = weight_kg / (height_cm / 100) ** 2
    base, per_bmi = {"female": (9.0, 1.3), "male": (5.0, 1.0)}.get(sex, (7.0, 1.15))
    fat_mm = max(base + per_bmi * (bmi - 22) + rng.normal(0, 2), 3.0) + extra_fat_mm
    size = np.sqrt(bmi / 25) * np.sqrt(height_cm / 170)
    half_depth_mm = 108 * size * rng.normal(1, 0.03) + extra_fat_mm
    wall_mm = rng.uniform(14, 20)
    # The right ventricle lies just behind the breastbone.
    front_mm = half_depth_mm - fat_mm - wall_mm - rng.normal(40, 4)
    return Torso(
        half_width_mm=float(158 * size * rng.normal(1, 0.03) + extra_fat_mm),
        half_depth_mm=float(half_depth_mm),
        fat_mm=float(fat_mm),
        wall_mm=float(wall_mm),
        heart_mm=(float(rng.normal(-32, 6)), float(front_mm), float(rng.normal(0, 6))),
        rib_phase=float(rng.uniform(0, 2 * np.pi)),
    )


def torso_tissue(
    torso: Torso, x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Classify points in patient coordinates.

    Parameters
    ----------
    torso
        The torso.
    x, y, z
        RAS millimetres, any shape, all alike.

    Returns
    -------
    ndarray of uint8, the shape of `x`
        `Tissue` codes; air outside the skin.
    """
    x, y, z = _wavy(torso, x, y, z)
    out = np.full(x.shape, Tissue.AIR, np.uint8)
    power = np.float32(2.4)
    outline = (
        (np.abs(x) / np.float32(torso.half_width_mm)) ** power
        + (np.abs(y) / np.float32(torso.half_depth_mm)) ** power
    ) ** (1 / power)
    depth = np.sqrt(x * x + y * y) * (1 / np.maximum(outline, np.float32(0.05)) - 1)
    fat = np.float32(torso.fat_mm) * (
        np.float32(0.75) + np.float32(0.25) * np.clip(y / torso.half_depth_mm, 0, 1)
    )
    out[depth > 0] = Tissue.FAT
    wall = depth - fat
    out[wall > 0] = Tissue.MUSCLE
    ribs = np.cos(2 * np.pi * (z + 0.35 * np.abs(y)) / 27 + torso.rib_phase) > 0.25
    out[(wall > 0.3 * torso.wall_mm) & (wall < 0.75 * torso.wall_mm) & ribs] = Tissue.MARROW
    chest = wall > torso.wall_mm
    out[chest] = Tissue.LUNG
    _abdomen(torso, x, y, z, chest, out)
    _midline(torso, x, y, z, chest, out)
    return out


def _wavy(torso: Torso, x, y, z):
    """Bend the coordinates a little, so that no organ has a ruled edge."""
    p = torso.rib_phase
    a = np.sin(z / 19 + 2 * p) + np.sin(y / 13 + p) * np.cos(z / 31 - p)
    b = np.sin(x / 15 - p) + np.sin(z / 23 + 3 * p)
    return x + 2.2 * a, y + 2.2 * b, z + 3.0 * np.sin(x / 21 + p) + 2.0 * np.cos(y / 17 + 2 * p)


def _abdomen(torso: Torso, x, y, z, chest, out) -> None:
    """Draw the organs under the domes of the diaphragm, on which the heart rests."""
    hx, hy, hz = torso.heart_mm
    dome = hz - 34 - 0.0016 * ((x - hx - 30) ** 2 + 0.7 * (y - hy) ** 2) + 0.10 * (x - hx)
    under = chest & (z < dome)
    out[under] = Tissue.MUSCLE  # the diaphragm itself
    under = chest & (z < dome - 3)
    out[under] = Tissue.FAT
    out[under & (x > hx - 22 + 0.25 * (hz - z))] = Tissue.LIVER
    out[under & (x < hx - 55) & (y < hy - 25)] = Tissue.SPLEEN
    stomach = ((x - hx + 48) / 40) ** 2 + ((y - hy - 5) / 38) ** 2 + ((z - hz + 78) / 36) ** 2
    out[under & (stomach < 1)] = Tissue.STOMACH
    out[under & (stomach < 0.8) & (y > hy + 8)] = Tissue.LUNG  # gas collects in front


def _midline(torso: Torso, x, y, z, chest, out) -> None:
    """Draw mediastinum, spine, spinal canal, sternum and descending aorta."""
    spine_y = -torso.half_depth_mm + torso.fat_mm * 0.75 + 46
    hx, hy, _ = torso.heart_mm
    behind = ((x + 6) / 26) ** 2 + ((y - hy) / np.maximum(hy - spine_y, 30)) ** 2 < 1
    before = (np.abs(x - hx - 22) < 22 + 0.35 * (y - hy - 40)) & (y > hy + 15)
    middle = chest & (behind | before) & (out == Tissue.LUNG)
    out[middle] = Tissue.FAT
    body = (x / 24) ** 2 + ((y - spine_y) / 19) ** 2
    out[body < 1] = Tissue.MARROW
    out[(x / 26) ** 2 + ((y - spine_y + 33) / 12) ** 2 < 1] = Tissue.MUSCLE
    out[(x / 9) ** 2 + ((y - spine_y + 27) / 8) ** 2 < 1] = Tissue.CSF
    aorta = (x + 24) ** 2 + (y - spine_y - 20) ** 2
    out[aorta < 13.5**2] = Tissue.MUSCLE
    out[aorta < 12.0**2] = Tissue.VESSEL
    breastbone = (np.abs(x) < 18) & (
        np.abs(y - torso.half_depth_mm + torso.fat_mm + 0.5 * torso.wall_mm) < 6
    )
    out[breastbone] = Tissue.MARROW
