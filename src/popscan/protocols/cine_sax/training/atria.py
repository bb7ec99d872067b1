"""Scans with painted slices above the valves: blood without a ring of muscle is no ventricle.

Many protocols begin a stack well above the base; the stacks of some training sets do not. In ACDC
the highest slice of nearly every patient is labelled as ventricle, so that a network trained on
it has seen no atrium and no outflow tract. Painted ones teach it: slices put on top of a stack,
made of its highest ventricle, in which the muscle is replaced by blood all around (an atrium) or
over a wide sector (an outflow tract). What is added is labelled as background, the rest stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.labels import Label
from popscan.records import LabelMap
from popscan.train.packs import Case

#: Added to the name of a pack: the same scans with painted slices above the valves.
SUFFIX = "+atria"
#: Slices put on top.
SLICES = (1, 3)
#: How much of a ring an outflow tract opens, half of it, in degrees.
HALF_ANGLE_DEG = (45.0, 110.0)
#: Wall of an atrium, and how far it and an outflow tract reach beyond the ring, in mm.
WALL_MM = (0.0, 2.0)
REACH_MM = (-2.0, 7.0)
#: Brightness of the painted blood relative to that in the ventricle.
BRIGHTNESS = (0.85, 1.1)
#: Probability of leaflets (dark lines through the blood), and of a right ventricle that is gone.
_LEAFLETS = 0.25
_WITHOUT_RIGHT = 0.5
#: Probability that the ventricle's highest slice itself is painted over: the valves have come down.
_DESCENDED = 0.3

#: How much of the cavity's rim is painted, too, in mm.
_RIM_MM = 4.0

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def paint_atria(cases: Sequence[Case], *, copies: int = 2) -> list[Case]:
    """Return every case `copies` times with slices above the valves, each painted anew."""
    return [
        with_atria(case, seed=zlib.crc32(f"{case.unit} atria {copy}".encode()))
        for copy in range(copies)
        for case in cases
    ]


@dataclass(frozen=True, kw_only=True)
class _Plane:
    """One slice: intensities, label values, pixel size, the level of its blood."""

    image: Floats
    labels: NDArray[np.uint8]
    mm: tuple[float, float]
    blood: float

    def of(self, *labels: Label) -> Mask:
        return np.isin(self.labels, [int(label) for label in labels])


def with_atria(case: Case, *, seed: int) -> Case:
    """Return a case with painted slices on top of its stack.

    Parameters
    ----------
    case
        Labelled scan, base first; only its labelled frames are kept.
    seed
        For number and look of the slices.

    Returns
    -------
    The case with float32 intensities; as it is where no slice has both cavity and wall.
    """
    frames = list(case.labels.frames)
    image = np.array(case.scan.array[..., frames], dtype=np.float32)
    labels = case.labels.array[..., frames].copy()
    whole = [(labels == int(k)).any(axis=(0, 1)) for k in (Label.LV, Label.MYO)]
    tops = [np.flatnonzero(both) for both in (whole[0] & whole[1]).T]
    if not all(len(top) for top in tops):
        return case
    rng = np.random.default_rng(seed)
    count = int(rng.integers(SLICES[0], SLICES[1] + 1))
    added = np.zeros((*image.shape[:2], count, len(frames)), np.float32)
    added_labels = np.zeros(added.shape, np.uint8)
    mm = (case.scan.spacing_mm[0], case.scan.spacing_mm[1])
    styles = [_Style.drawn(rng) for _ in range(count + 1)]
    for t, top in enumerate(tops):
        first = int(top[0])
        blood = float(np.median(image[:, :, first, t][labels[:, :, first, t] == int(Label.LV)]))
        own = _Plane(
            image=image[:, :, first, t].astype(np.float64),
            labels=labels[:, :, first, t],
            mm=mm,
            blood=blood,
        )
        for level in range(count):
            # The highest of them is the farthest from the ventricle.
            moved = _moved(own, away=count - level, rng=rng)
            painted, kept = _painted(moved, styles[level], rng)
            added[:, :, level, t], added_labels[:, :, level, t] = painted, kept
        if len(top) > 5 and rng.random() < _DESCENDED:
            image[:, :, first, t], labels[:, :, first, t] = _painted(own, styles[-1], rng)
    array = np.concatenate([added, image], axis=2)
    return replace(
        case,
        scan=replace(case.scan, array=array),
        labels=LabelMap(
            array=np.concatenate([added_labels, labels], axis=2), frames=tuple(range(len(frames)))
        ),
        usable=None,
    )


@dataclass(frozen=True, kw_only=True)
class _Style:
    """How a slice above the valves looks; alike in all phases of one slice."""

    atrium: bool
    half: float
    turn: float
    wall_mm: float
    reach_mm: float
    bright: float
    waves: tuple[float, ...]
    leaflets: bool
    without_right: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Style:
        return cls(
            atrium=bool(rng.random() < 0.5),
            half=float(np.deg2rad(rng.uniform(*HALF_ANGLE_DEG))),
            turn=float(rng.uniform(-np.pi, np.pi)),
            wall_mm=float(rng.uniform(*WALL_MM)),
            reach_mm=float(rng.uniform(*REACH_MM)),
            bright=float(rng.uniform(*BRIGHTNESS)),
            waves=tuple(rng.normal(0, (1.5, 1.2, 0.8)).tolist()),
            leaflets=bool(rng.random() < _LEAFLETS),
            without_right=bool(rng.random() < _WITHOUT_RIGHT),
        )


def _moved(plane: _Plane, *, away: int, rng: np.random.Generator) -> _Plane:
    """Return the slice a little shifted, turned and scaled, as one higher up might lie."""
    turn, scale = np.deg2rad(rng.normal(0, 5 * away)), np.exp(rng.normal(0, 0.06 * away))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / scale
    ring = np.argwhere(plane.of(Label.LV, Label.MYO)).mean(axis=0)
    shift = rng.normal(0, 2.0 * away, 2) / plane.mm
    offset = ring - matrix @ (ring + shift)
    image = ndimage.affine_transform(plane.image, matrix, offset, order=1, mode="nearest")
    labels = ndimage.affine_transform(plane.labels, matrix, offset, order=0)
    return replace(plane, image=image, labels=labels)


def _painted(
    plane: _Plane, style: _Style, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.uint8]]:
    """Return a slice whose ring of muscle is gone or open, and its labels: at most the RV."""
    ring, cavity, right = (
        plane.of(Label.LV, Label.MYO),
        plane.of(Label.LV),
        plane.of(Label.RV),
    )
    labels = np.where(right, plane.labels, 0).astype(np.uint8)
    image = plane.image
    if style.without_right:
        image, labels = _erased(plane, right), np.zeros_like(labels)
    if not cavity.any():
        return image, labels
    depth = ndimage.distance_transform_edt(ring, sampling=plane.mm)
    depth = depth - ndimage.distance_transform_edt(~ring, sampling=plane.mm)
    angle = _angle(cavity, plane.mm)
    wave = sum(a * np.cos(k * (angle - style.turn)) for k, a in enumerate(style.waves, start=1))
    limit = style.wall_mm - style.reach_mm + wave
    if not style.atrium:
        inside = np.abs((angle - style.turn + np.pi) % (2 * np.pi) - np.pi) < style.half
        limit = np.where(inside, limit, np.inf)
    blood = ((depth > limit) & ~right) | cavity
    line = (depth <= limit) & (depth > limit - 1.5) & np.isfinite(limit) & ~right & ~cavity
    texture = ndimage.gaussian_filter(rng.normal(size=image.shape), 2.0)
    rough = float(plane.image[cavity].std()) if np.count_nonzero(cavity) > 9 else 0.0
    level = plane.blood * style.bright + 0.5 * rough * texture / max(float(texture.std()), 1e-6)
    # The cavity's own rim is painted, too: the line where the muscle began would give it away.
    core = ndimage.distance_transform_edt(cavity, sampling=plane.mm) > _RIM_MM
    soft = ndimage.gaussian_filter((blood & ~core).astype(np.float64), 0.8)
    image = np.where(line, image * 0.7, image) * (1 - soft) + level * soft
    if style.leaflets:
        across = _across(cavity, plane.mm, style.turn)
        leaflet = np.exp(-0.5 * (across / 1.0) ** 2) * blood
        image = image * (1 - 0.35 * leaflet)
    return image, labels


def _erased(plane: _Plane, right: Mask) -> Floats:
    """Return a slice with the right ventricle filled by what lies around it."""
    if not right.any():
        return plane.image
    near = ndimage.binary_dilation(right, iterations=6) & ~plane.of(Label.LV, Label.RV)
    values = plane.image[near]
    if not values.size:
        return plane.image
    level = float(np.quantile(values, 0.4))
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(right).astype(np.float64), 1.0)
    return plane.image * (1 - soft) + (level + 0.15 * (plane.image - plane.blood)) * soft


def _centred(mask: Mask, mm: tuple[float, float]) -> tuple[Floats, Floats]:
    x, y = np.indices(mask.shape) * np.reshape(mm, (2, 1, 1))
    return x - x[mask].mean(), y - y[mask].mean()


def _angle(mask: Mask, mm: tuple[float, float]) -> Floats:
    """Return the direction of every pixel as seen from the middle of a mask, in radians."""
    x, y = _centred(mask, mm)
    return np.asarray(np.arctan2(y, x))


def _across(mask: Mask, mm: tuple[float, float], angle: float) -> Floats:
    """Return how far every pixel is from a line through the middle of a mask, in mm."""
    x, y = _centred(mask, mm)
    return np.asarray(x * np.sin(angle) - y * np.cos(angle))
