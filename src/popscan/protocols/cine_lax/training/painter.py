"""Atria and what lies around a heart, painted into long-axis planes with labels that are known.

Nothing here is measured: shapes and greys are drawn from ranges that are wider than those of
patients, so that a network cannot lean on any of them (Billot et al., Med Image Anal 2023,
doi:10.1016/j.media.2023.102789). What a reader leaves out of an atrium, its appendage and the veins
that enter it (Lang et al., JASE 2015, doi:10.1016/j.echo.2014.10.003), is painted as blood and
not labelled.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_lax.labels import LA, LV, MYO, RA, RV
from popscan.protocols.cine_lax.training.ventricles import PIXEL_MM, Ventricles, plane_points

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Stuff(IntEnum):
    """What is painted."""

    LUNG = 0
    FAT = 1
    WALL = 2
    MUSCLE = 3
    LIVER = 4
    SPINE = 5
    VESSEL = 6
    LV_BLOOD = 7
    RV_BLOOD = 8
    LA_BLOOD = 9
    RA_BLOOD = 10
    MYOCARDIUM = 11
    PAPILLARY = 12
    VALVE = 13
    SOFT = 14


_CHAMBERS = {LV: Stuff.LV_BLOOD, RV: Stuff.RV_BLOOD, LA: Stuff.LA_BLOOD, RA: Stuff.RA_BLOOD}


def field(rng: np.random.Generator, shape: tuple[int, ...], width_mm: float) -> Floats:
    """Return a random field of mean 0 and standard deviation 1, smooth over `width_mm`."""
    sigma = width_mm / PIXEL_MM
    step = max(1, int(sigma // 2))
    coarse = tuple(-(-n // step) + 3 for n in shape)
    small = ndimage.gaussian_filter(rng.standard_normal(coarse), sigma / step)
    whole = ndimage.zoom(small, step, order=1)[: shape[0], : shape[1]] if step > 1 else small
    whole = whole[: shape[0], : shape[1]]
    return np.asarray((whole - whole.mean()) / max(float(whole.std()), 1e-9))


def outside_mm(mask: Mask) -> Floats:
    """Return how far pixels lie outside of a mask in mm; negative within."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    outer = ndimage.distance_transform_edt(~mask, sampling=PIXEL_MM)
    return np.asarray(outer - ndimage.distance_transform_edt(mask, sampling=PIXEL_MM))


def _opening(ventricles: Ventricles, label: int) -> tuple[float, float] | None:
    """Return the ends of a ventricle's valve across the axis in mm; None where there is none."""
    x, _ = plane_points()
    level = ventricles.level_mm
    near = (ventricles.labels == label) & (level >= 0) & (level < 6)
    if near.sum() < 8:
        return None
    at = x[near]
    return float(at.min()), float(at.max())


def _chamber(
    rng: np.random.Generator, x: Floats, rise: Floats, ends: tuple[float, float], *, right: bool
) -> tuple[Mask, float, float]:
    """Return an atrium above the valve with the given ends, its height and its half-width."""
    half = 0.5 * (ends[1] - ends[0])
    middle = 0.5 * (ends[0] + ends[1]) + rng.normal(0, 3)
    height = float(np.clip(rng.normal(48, 11), 24, 80))
    wide = float(np.clip(half * rng.uniform(0.8, 1.5), 13, 42 if right else 38))
    neck = min(half * rng.uniform(0.75, 1.05), wide * 1.1)
    belly, power = rng.uniform(0.25, 0.6), rng.uniform(1.7, 3.2)
    share = np.clip(rise / height, 0, 1)
    lower = neck + (wide - neck) * np.sin(0.5 * np.pi * np.clip(share / belly, 0, 1))
    past = np.clip((share - belly) / (1 - belly), 0, 1)
    width = np.where(share < belly, lower, wide * np.clip(1 - past**power, 0, 1) ** (1 / power))
    lean = rng.normal(0, 0.18) * height * share**1.3
    wave = rng.uniform(1, 4) * np.sin(rng.uniform(1, 3) * np.pi * share + rng.uniform(0, 6))
    side = x - middle - lean - wave * share
    ragged = 1 + 0.06 * field(rng, x.shape, rng.uniform(6, 14))
    inside = (rise >= 0) & (rise < height) & (np.abs(side) < width * ragged)
    return inside, height, wide


def _tube(
    rng: np.random.Generator, x: Floats, y: Floats, start: tuple[float, float],
    *, angle: float, length: float, radius: float,
) -> Mask:  # fmt: skip
    """Return a bent tube that begins at a point and runs at an angle."""
    dx, dy = x - start[0], y - start[1]
    along = dx * np.cos(angle) + dy * np.sin(angle)
    aside = -dx * np.sin(angle) + dy * np.cos(angle) + rng.normal(0, 0.006) * along**2
    return np.asarray((along > 0) & (along < length) & (np.abs(aside) < radius))


def paint(ventricles: Ventricles, *, rng: np.random.Generator) -> tuple[
    NDArray[np.uint8], NDArray[np.uint8]
]:  # fmt: skip
    """Paint atria, vessels and surroundings about ventricles.

    Parameters
    ----------
    ventricles
        One plane.
    rng
        Source of all shapes.

    Returns
    -------
    labels : ndarray of uint8
        Codes of the protocol.
    stuff : ndarray of uint8
        `Stuff` of each pixel.
    """
    x, y = plane_points()
    level, labels = ventricles.level_mm, ventricles.labels.copy()
    stuff = _surroundings(ventricles, rng, x, y)
    left, right = _opening(ventricles, LV), _opening(ventricles, RV)
    vessels = np.zeros(x.shape, bool)
    atria = np.zeros(x.shape, np.uint8)
    septum = rng.uniform(1.5, 5.0)
    if left is not None:
        rise = -level
        found, height, wide = _chamber(rng, x, rise, left, right=False)
        atria[found] = LA
        vessels |= _veins(rng, x, y, left, height=height, wide=wide, view=ventricles.view)
        if right is not None and ventricles.view == "4ch":
            drop = np.clip(rng.normal(4, 3), -2, 10)  # the tricuspid valve is nearer the apex
            here = (right[0] - 2, right[1] + 1)
            other, tall, broad = _chamber(rng, x, rise + drop, here, right=True)
            away = outside_mm(atria == LA)
            own = other & (away > septum) & ((level < 0) | (labels == RV))
            labels[own & (level >= 0)] = 0
            atria[own] = RA
            vessels |= _cavae(rng, x, y, right, height=tall, wide=broad)
            if rng.random() < 0.3:  # the plane cuts the aortic root
                at = 0.5 * (left[0] + right[1]) + rng.normal(0, 4)
                root = np.hypot(x - at, y + rng.uniform(4, 16)) < rng.uniform(6, 14)
                vessels |= root & (level < 0)
                atria[root & (level < 0)] = 0
    labels[atria > 0] = atria[atria > 0]
    chambers = labels > 0
    wall = rng.uniform(1.0, 3.5)
    body = outside_mm(chambers)
    fat = rng.uniform(1, 9) * np.clip(0.6 + 0.6 * field(rng, x.shape, 14), 0, None)
    groove = np.exp(-((level / rng.uniform(8, 16)) ** 2)) * rng.uniform(2, 10)
    stuff[body < wall + fat + groove] = Stuff.FAT
    stuff[body < wall] = Stuff.WALL
    veins = vessels & ~chambers
    stuff[(outside_mm(vessels) < 1.5) & ~chambers & (level < 0)] = Stuff.WALL
    stuff[veins & (level < 0)] = Stuff.VESSEL
    for label, blood in _CHAMBERS.items():
        stuff[labels == label] = blood
    stuff[labels == MYO] = Stuff.MYOCARDIUM
    _within(labels, level, stuff, rng, x, y)
    return labels, stuff


def _veins(
    rng: np.random.Generator, x: Floats, y: Floats, ends: tuple[float, float],
    *, height: float, wide: float, view: str,
) -> Mask:  # fmt: skip
    """Return pulmonary veins, the appendage, and large vessels near the left atrium."""
    middle = 0.5 * (ends[0] + ends[1])
    out = np.zeros(x.shape, bool)
    for _ in range(int(rng.integers(0, 4))):
        start = (middle + rng.uniform(-0.7, 0.7) * wide, -height * rng.uniform(0.5, 0.9))
        angle = -np.pi / 2 + rng.uniform(-1.5, 1.5)
        out |= _tube(
            rng, x, y, start, angle=angle, length=rng.uniform(20, 60), radius=rng.uniform(3, 8)
        )
    if view == "2ch" and rng.random() < 0.7:  # the appendage
        side = 1.0 if rng.random() < 0.8 else -1.0
        at = (middle + side * wide * rng.uniform(0.9, 1.2), -height * rng.uniform(0.15, 0.5))
        out |= np.hypot((x - at[0]) / rng.uniform(0.7, 1.6), y - at[1]) < rng.uniform(6, 13)
    for _ in range(int(rng.integers(0, 4))):  # aorta, pulmonary artery and its branches
        at = (middle + rng.normal(0, 40), -height - rng.uniform(-5, 45))
        out |= np.hypot((x - at[0]) / rng.uniform(0.7, 2.0), y - at[1]) < rng.uniform(4, 16)
    return out


def _cavae(
    rng: np.random.Generator, x: Floats, y: Floats, ends: tuple[float, float],
    *, height: float, wide: float,
) -> Mask:  # fmt: skip
    """Return a vena cava or the coronary sinus at the right atrium."""
    out = np.zeros(x.shape, bool)
    middle = 0.5 * (ends[0] + ends[1])
    for _ in range(int(rng.integers(0, 3))):
        start = (middle + rng.uniform(-0.8, 0.5) * wide, -height * rng.uniform(0.3, 0.9))
        angle = -np.pi / 2 + rng.uniform(-2.2, 1.0)
        out |= _tube(
            rng, x, y, start, angle=angle, length=rng.uniform(20, 60), radius=rng.uniform(5, 11)
        )
    return out


def _surroundings(
    ventricles: Ventricles, rng: np.random.Generator, x: Floats, y: Floats
) -> NDArray[np.uint8]:
    """Paint lung, mediastinum, spine, liver and the chest wall."""
    stuff = np.full(x.shape, Stuff.LUNG, np.uint8)
    rough = 6 * field(rng, x.shape, 25)
    behind = -y + rough > rng.uniform(25, 70)
    near = np.abs(x - rng.normal(-5, 15) + 2 * rough) < rng.uniform(25, 80)
    stuff[behind & near] = rng.choice([Stuff.SOFT, Stuff.FAT, Stuff.MUSCLE])
    far = rng.uniform(85, 150)
    at = rng.normal(-10, 30)
    spine = np.hypot(x - at, (y + far) / 0.8)
    stuff[spine < 32] = Stuff.MUSCLE
    stuff[spine < rng.uniform(16, 24)] = Stuff.SPINE
    aorta = np.hypot(x - at - rng.uniform(15, 40), y + far - rng.uniform(15, 45))
    radius = rng.uniform(7, 14)
    stuff[aorta < radius + 2] = Stuff.WALL
    stuff[aorta < radius] = Stuff.VESSEL
    heart = ventricles.labels > 0
    rest = outside_mm(heart)
    side = rng.choice([-1.0, 1.0], p=[0.75, 0.25])
    turn = rng.uniform(0.2, 1.1)
    under = side * x * np.cos(turn) + y * np.sin(turn) * 0.6 + rough
    edge = float(np.max(under[heart])) if heart.any() else 40.0
    if rng.random() < 0.75:
        organ = under > edge + rng.uniform(-18, 15)
        stuff[organ] = Stuff.FAT
        stuff[under > edge + rng.uniform(3, 10)] = Stuff.LIVER
        for _ in range(int(rng.integers(0, 5))):
            spot = field(rng, x.shape, rng.uniform(3, 8)) > 2.2
            stuff[spot & (stuff == Stuff.LIVER)] = Stuff.VESSEL
        gas = np.hypot(x - rng.normal(40, 25), y - rng.uniform(70, 120)) < rng.uniform(0, 30)
        stuff[gas & organ] = Stuff.LUNG
    tilt = rng.normal(0, 0.7)
    front = y * np.cos(tilt) + x * np.sin(tilt) + 0.5 * rough + rng.normal(0, 0.0012) * x**2
    begin = float(np.max(front[heart])) + rng.uniform(-2, 25) if heart.any() else 90.0
    layers = [(rng.uniform(0, 6), Stuff.FAT), (rng.uniform(8, 20), Stuff.MUSCLE)]
    layers += [(rng.uniform(15, 45), Stuff.FAT)]
    for depth, what in layers:
        stuff[front > begin] = what
        begin += depth
    stuff[front > begin] = Stuff.LUNG  # beyond the skin
    spots = field(rng, x.shape, rng.uniform(2.5, 4.5)) > rng.uniform(2.0, 2.8)
    stuff[spots & (stuff == Stuff.LUNG) & (rest > 10)] = Stuff.VESSEL
    if rng.random() < 0.3:  # pieces that nobody can name
        piece = field(rng, x.shape, rng.uniform(10, 25))
        stuff[(piece > 1.3) & (rest > 6)] = rng.choice(list(Stuff)[:7])
    return stuff


def _within(
    labels: NDArray[np.uint8], level: Floats, stuff: NDArray[np.uint8],
    rng: np.random.Generator, x: Floats, y: Floats,
) -> None:  # fmt: skip
    """Paint papillary muscles, trabeculae and valves, in place; they change no label."""
    cavity = labels == LV
    if not cavity.any():
        return
    depth = float(level[cavity].max())
    centre = float(x[cavity].mean())
    half = max(float(np.abs(x[cavity] - centre).max()), 8.0)
    for _ in range(int(rng.integers(0, 4))):
        at = (centre + half * rng.uniform(-0.8, 0.8), depth * rng.uniform(0.35, 0.85))
        turn, long, thick = rng.normal(0, 0.35), rng.uniform(6, 17), rng.uniform(1.5, 5.5)
        dx, dy = x - at[0], y - at[1]
        along, aside = (
            dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
        )  # fmt: skip
        stuff[((along / long) ** 2 + (aside / thick) ** 2 < 1) & cavity] = Stuff.PAPILLARY
    for label, share in ((LV, rng.uniform(0, 0.35)), (RV, rng.uniform(0, 0.6))):
        own = labels == label
        if not own.any():
            continue
        grain = field(rng, x.shape, rng.uniform(1.5, 3.5))
        inner = -outside_mm(own)
        ridge = (grain > 0.6) & (inner < 2 + 12 * share) & (level > depth * (0.6 - share))
        stuff[own & ridge] = Stuff.PAPILLARY
    for label in (LA, RA):
        own = labels == label
        if own.any() and rng.random() < 0.8:
            thick, bulge = rng.uniform(1.2, 3.0), rng.normal(0, 5)
            middle = float(x[own & (level > -8)].mean()) if (own & (level > -8)).any() else 0.0
            curve = bulge * np.clip(1 - ((x - middle) / 18) ** 2, 0, 1)
            leaf = (np.abs(level - curve) < thick / 2) & np.isin(labels, (LA, RA, LV, RV))
            stuff[leaf & (np.abs(x - middle) < 25)] = Stuff.VALVE
