"""Where the left ventricle ends at its base: decided per frame, by evidence, for the whole cycle.

A short-axis slice belongs to the ventricle while muscle surrounds its blood (by consensus at least
half of it: Schulz-Menger et al. 2020, doi:10.1186/s12968-020-00610-6); the readers whose labels
the shipped model learnt from want the ring closed. Above the valve the wall is thin, the ring
opens, and the network hesitates. No single one of these signs decides: they are added up as
log-odds (`popscan.protocols.cine_sax.base_evidence`).

The valve plane moves once towards the apex and once back in a beat. So the most basal slice of all
frames is chosen together, as the course of that shape which the evidence speaks for most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.morphology import bounding_box
from popscan.protocols.cine_sax.base_evidence import (
    RING_MM,
    log_odds,
    middle_slices,
    slice_evidence,
)
from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.labels import STRUCTURES, Label

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Log-odds of a slice in which the network saw no cavity.
UNSEEN = -2.0
#: Log-odds within which a slice is doubtful: 9 to 1 for either side.
DOUBT = math.log(9.0)
#: A slice that the network left out is doubtful where it expects this share of the next cavity.
HALF_SEEN = 0.25


@dataclass(frozen=True, kw_only=True)
class Base:
    """Where the left ventricle ends, frame by frame.

    Attributes
    ----------
    above : ndarray of bool, shape (z, t)
        Slices in which the network saw the left ventricle and which lie above its base.
    log_odds : ndarray, shape (z, t)
        Evidence that a slice is ventricle; NaN where it was not looked at.
    kept, removed : dict of ndarray, shape (t,)
        Structure -> voxels in doubtful slices next to the base that count as ventricle, and that do
        not. The latter include what the network expects in a slice that it left out.
    beyond : dict of ndarray, shape (t,)
        Structure -> voxels of one more slice at the base, where the stack seems to end too early
        (`popscan.protocols.cine_sax.beyond`). Empty before that was looked at.
    """

    above: Flags
    log_odds: Floats
    kept: Mapping[str, Floats]
    removed: Mapping[str, Floats]
    beyond: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def n_slices_removed(self) -> int:
        """Slices, summed over the frames, that lost their labels."""
        return int(self.above.sum())

    @property
    def n_frames_doubtful(self) -> int:
        """Frames with a doubtful slice at the base."""
        lv = STRUCTURES[Label.LV]
        return int(((self.kept[lv] > 0) | (self.removed[lv] > 0)).sum())


def base_course(gain: Floats, *, widest: int) -> NDArray[np.int64]:
    """Return the most basal slice of every frame: once towards the apex and once back in a cycle.

    Parameters
    ----------
    gain : ndarray, shape (t, b)
        What speaks for the base at b in frame t.
    widest
        The frame in which the ventricle is widest, and its base highest.

    Returns
    -------
    ndarray of int, shape (t,)
        The course with the largest sum of gains; of equal ones that with the higher base.

    Examples
    --------
    >>> gain = np.array([[1, 0, 0], [0, 3, 0], [0, 0, 1], [2, 1, 0], [0, 2, 0]])
    >>> base_course(gain, widest=0)
    array([0, 1, 2, 1, 1])
    """
    turned = np.roll(gain, -widest, axis=0).astype(float)
    best, course = -math.inf, np.zeros(len(gain), dtype=np.int64)
    for start in range(gain.shape[1]):
        value, found = _best_from(turned[:, start:])
        if value > best:
            best, course = value, found + start
    return np.roll(course, widest)


def _best_from(gain: Floats) -> tuple[float, NDArray[np.int64]]:
    """Return the best course that starts at 0 and rises before it falls, and its sum."""
    n, size = gain.shape
    states = np.full((2, size), -math.inf)  # still rising, falling
    states[0, 0] = gain[0, 0]
    origins = np.zeros((n, 2, size, 2), dtype=np.int64)
    for t in range(1, n):
        latest = np.full((2, size), -math.inf)
        for b in range(size):
            rising = int(states[0, : b + 1].argmax())
            flat = states[:, b:]
            kind, step = divmod(int(flat.argmax()), flat.shape[1])
            latest[0, b] = states[0, rising] + gain[t, b]
            latest[1, b] = flat[kind, step] + gain[t, b]
            origins[t, 0, b], origins[t, 1, b] = (0, rising), (kind, b + step)
        states = latest
    kind, b = divmod(int(states.argmax()), size)
    course = np.zeros(n, dtype=np.int64)
    for t in range(n - 1, -1, -1):
        course[t] = b
        kind, b = (int(i) for i in origins[t, kind, b])
    return float(states.max()), course


def find_base(
    labels: NDArray[np.uint8],
    image: NDArray[np.float32],
    expected: Floats,
    *,
    spacing_mm: Sequence[float],
    pixel_mm2: float,
) -> Base:
    """Decide where the left ventricle ends in every frame. `labels` stay as they are.

    Parameters
    ----------
    labels, image, spacing_mm
        Segmentation (x, y, z, t), the scan's intensities, and the size of its voxels.
    expected, pixel_mm2
        Of the segmentation's `popscan.segment.samples.Tally`.

    Returns
    -------
    Base
        Nothing is above the base, and nothing doubtful, in frames with fewer than `LEAST_SLICES`
        slices of cavity.
    """
    n_slices, n_frames = labels.shape[2:]
    box = bounding_box(labels > 0, margin=math.ceil(RING_MM[1] / min(spacing_mm[:2])) + 1)
    near, pixels = labels[box], image[box]
    by_slice = expected.reshape(n_frames, n_slices, *expected.shape[1:])
    cavity = np.count_nonzero(near == Label.LV, axis=(0, 1))
    first = (
        base_is_first(near[..., middle_slices(cavity.astype(float))[1]]) if cavity.any() else True
    )
    order = slice(None) if first else slice(None, None, -1)
    near, pixels, by_slice = near[:, :, order], pixels[:, :, order], by_slice[:, order]
    cavity = cavity[order].astype(float)
    evidence = slice_evidence(near, pixels, by_slice.reshape(expected.shape), spacing_mm=spacing_mm)
    odds = log_odds(evidence)
    course = _course(odds, cavity)
    above = (np.arange(n_slices)[:, None] < course) & (cavity > 0)
    voxels = {k: np.count_nonzero(near == k, axis=(0, 1)).astype(float) for k in STRUCTURES}
    scale = pixel_mm2 / (spacing_mm[0] * spacing_mm[1])
    unseen = {k: by_slice[..., int(k)].sum(axis=2).T * scale for k in STRUCTURES}
    kept, removed = _doubtful(odds, course, cavity, voxels, unseen)
    return Base(above=above[order], log_odds=odds[order], kept=kept, removed=removed)


def _course(odds: Floats, cavity: Floats) -> NDArray[np.int64]:
    """Return the most basal slice of ventricle of every frame; 0 where nothing is decided."""
    looked = np.isfinite(odds)
    if not looked.any():
        return np.zeros(odds.shape[1], dtype=np.int64)
    last = int(np.flatnonzero(looked.any(axis=1))[-1])
    judged = looked.any(axis=0)
    worth = np.where(looked, odds, np.where((cavity > 0) | ~judged, 0.0, UNSEEN))[: last + 1]
    # gain[t, b]: everything from b on is ventricle.
    gain = np.cumsum(worth[::-1], axis=0)[::-1].T
    gain = np.concatenate([gain, np.zeros((len(gain), 1))], axis=1)
    return base_course(gain, widest=middle_slices(cavity)[1])


def _doubtful(
    odds: Floats,
    course: NDArray[np.int64],
    cavity: Floats,
    voxels: Mapping[Label, Floats],
    unseen: Mapping[Label, Floats],
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the voxels of doubtful slices below and above the base of every frame."""
    kept, removed = (
        {name: np.zeros(odds.shape[1]) for name in STRUCTURES.values()} for _ in range(2)
    )
    for t, base in enumerate(course):
        if not np.isfinite(odds[:, t]).any():
            continue
        held = np.flatnonzero(cavity[:, t])
        z = max(int(base), int(held[0]))
        base = z
        while np.isfinite(odds[z, t]) and odds[z, t] < DOUBT:
            for k, name in STRUCTURES.items():
                kept[name][t] += voxels[k][z, t]
            z += 1
        z = base - 1
        while z >= 0 and cavity[z, t] and odds[z, t] > -DOUBT:
            for k, name in STRUCTURES.items():
                removed[name][t] += voxels[k][z, t]
            z -= 1
        if z >= 0 and not cavity[z, t] and unseen[Label.LV][z, t] > HALF_SEEN * cavity[z + 1, t]:
            for k, name in STRUCTURES.items():
                removed[name][t] += unseen[k][z, t]
    return kept, removed


def remove_above(labels: NDArray[np.uint8], base: Base) -> None:
    """Set what lies above the base to background, in place.

    The right ventricle goes with it: in 16 of 16 training patients whose stack reaches above the
    base of the left ventricle, experts label none there.
    """
    labels[:, :, base.above] = int(Label.BACKGROUND)
