"""Scans with a painted pericardial effusion: bright fluid that is no ventricle.

Effusions are too rare for a training set to hold more than a few, and a network that knows none
takes the bright crescent beside the apex for right ventricle. Painted ones teach it the difference:
the fluid lies between a pericardium that hardly moves and a heart that does, so a crescent stays
where it is while a ventricle empties.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.labels import Label
from popscan.train.packs import Case

#: Largest depth of the fluid in mm: a moderate to a large effusion.
DEPTH_MM = (6.0, 22.0)
#: Its extent around the heart, half of it, in degrees.
HALF_ANGLE_DEG = (40.0, 130.0)
#: The dark wall (and fat) between heart and fluid in mm.
WALL_MM = (0.5, 3.0)
#: Brightness of the fluid relative to the blood in the left ventricle.
BRIGHTNESS = (0.7, 1.2)
#: Share of the effusions that are on the side of the right ventricle; the others are anywhere.
_RIGHT = 0.6
#: The pericardium: a dark line around the fluid, and the least depth that is painted, in mm.
_LINE_MM = 1.5

#: Added to the name of a pack: the same scans with painted effusions.
SUFFIX = "+effusion"

Floats = NDArray[np.float64]


def paint_effusions(cases: Sequence[Case]) -> list[Case]:
    """Return every case with an effusion of its own; which one follows from its identifier."""
    return [with_effusion(case, seed=zlib.crc32(case.unit.encode())) for case in cases]


def with_effusion(case: Case, *, seed: int) -> Case:
    """Return a case with an effusion painted beside the heart; its labels stay the same.

    Parameters
    ----------
    case
        Labelled scan; the effusion is painted into its labelled frames, where they have labels.
    seed
        For its place, size and brightness.

    Returns
    -------
    The case with float32 intensities; with the scan's own where nothing is labelled as blood.
    """
    frames = list(case.labels.frames)
    labels = case.labels.array[..., frames]
    blood = case.scan.array[..., frames][labels == int(Label.LV)]
    if not blood.size:
        return case
    rng = np.random.default_rng(seed)
    image = np.array(case.scan.array, dtype=np.float32)
    mm = (case.scan.spacing_mm[0], case.scan.spacing_mm[1])
    heart = labels != int(Label.BACKGROUND)
    bright = float(np.median(blood)) * rng.uniform(*BRIGHTNESS)
    toward = _toward_the_right(labels, mm) if rng.random() < _RIGHT else None
    turn = rng.normal(0.0, 0.6) if toward is not None else rng.uniform(-np.pi, np.pi)
    middle = (toward or 0.0) + turn
    half = np.deg2rad(rng.uniform(*HALF_ANGLE_DEG))
    deepest, wall = rng.uniform(*DEPTH_MM), rng.uniform(*WALL_MM)
    held = np.flatnonzero(heart.any(axis=(0, 1, 3)))
    for z, deep in zip(held, deepest * _along(len(held), rng), strict=True):
        sac = heart[:, :, z].any(axis=-1)
        off_axis = np.clip(_wrapped(_angle_around(sac, mm) - middle) / half, -1, 1)
        outside = _outside(sac, mm)
        reach = deep * np.clip(np.cos(off_axis * np.pi / 2), 0, 1)
        texture = ndimage.gaussian_filter(rng.normal(size=sac.shape), 4.0)
        fluid = bright * (1 + 0.08 * texture / max(float(texture.std()), 1e-6))
        # Where the heart has left the slice, the fluid keeps off the place where it was.
        here = [heart[:, :, z, k] if heart[:, :, z, k].any() else sac for k in range(len(frames))]
        for t, mask in zip(frames, here, strict=True):
            beyond = _outside(mask, mm) > wall
            plane = image[:, :, z, t]
            image[:, :, z, t] = _filled(
                plane, outside, reach, beyond=beyond, fluid=fluid, bright=bright
            )
    return replace(case, scan=replace(case.scan, array=image))


def _filled(
    plane: NDArray[np.float32],
    outside: Floats,
    reach: Floats,
    *,
    beyond: NDArray[np.bool_],
    fluid: Floats,
    bright: float,
) -> Floats:
    """Return a slice with fluid as far as `reach` outside of the heart, and a dark line around."""
    deep = (reach > _LINE_MM) & beyond
    inside = (outside < reach) & deep
    line = (outside >= reach) & (outside < reach + _LINE_MM) & deep
    plane = plane * np.where(line, 0.6, 1.0).astype(np.float32)
    soft = ndimage.gaussian_filter(inside.astype(np.float64), 0.5)
    return np.asarray(plane * (1 - soft) + (fluid + 0.1 * (plane - bright)) * soft)


def _outside(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Floats:
    """Return how far every pixel is from a mask, in mm."""
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing_mm))


def _along(n: int, rng: np.random.Generator) -> Floats:
    """Return the depth along the heart, base first: none at the base, all of it lower down."""
    place = (np.arange(n) + 0.5) / max(n, 1)
    begins = rng.uniform(0.0, 0.5)
    return np.clip((place - begins) / rng.uniform(0.1, 0.5), 0, 1)


def _angle_around(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Floats:
    """Return the direction of every pixel as seen from the middle of a mask, in radians."""
    x, y = np.indices(mask.shape) * np.reshape(spacing_mm, (2, 1, 1))
    return np.asarray(np.arctan2(y - y[mask].mean(), x - x[mask].mean()))


def _wrapped(angle: Floats) -> Floats:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _toward_the_right(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> float | None:
    """Return the direction from the left ventricle to the right one, None if either is absent."""
    right = np.argwhere(labels == int(Label.RV))[:, :2]
    left = np.argwhere(labels == int(Label.LV))[:, :2]
    if not len(right) or not len(left):
        return None
    x, y = (right.mean(axis=0) - left.mean(axis=0)) * np.asarray(spacing_mm)
    return float(np.arctan2(y, x))
