"""Features of series: where and how they were taken, and what they look like; both without labels.

Distances have a meaning: 1 is about 35 degrees between planes, four times as many slices or frames,
twice the field of view, or the usual difference of two pictures in the tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from popscan.sorting.facts import Facts, Floats

#: Components that are learnt of the pictures.
COMPONENTS = 24
#: What another kind of value, or an unknown orientation, counts.
_KIND = 1.5
_AXES = math.sqrt(2.0)


def geometry(facts: Facts) -> Floats:
    """Return where and how a series was taken, in units that distances of 1 have a meaning for."""
    outer = np.zeros(6)
    if facts.oriented:
        n = facts.normal
        # The sign of a normal means nothing: its outer product with itself has none.
        flat = [n[0] ** 2, n[1] ** 2, n[2] ** 2]
        crossed = [n[0] * n[1], n[0] * n[2], n[1] * n[2]]
        outer = 1.25 * np.array([*flat, *(_AXES * np.array(crossed))])
    flags = [
        not facts.oriented, facts.signed, facts.n_directions > 1, facts.prepared,
        len(facts.inversion_ms) > 1, facts.venc, facts.derived,
    ]  # fmt: skip
    step = facts.slice_mm if math.isfinite(facts.slice_mm) and facts.slice_mm > 0 else 8.0
    numbers = [
        0.5 * math.log2(facts.n_slices),
        0.5 * math.log2(facts.n_frames),
        math.log2(max(facts.fov_mm) / 350.0),
        0.5 * math.log2(min(max(step, 0.5), 16.0) / 8.0),
    ]
    return np.array([*outer, *(_KIND * np.array(flags, dtype=float)), *numbers])


def learnt(thumbs: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Learn from pictures how they differ: principal components of mean and change.

    Parameters
    ----------
    thumbs : ndarray of uint8, shape (series, 2, n, n)
        At least one.

    Returns
    -------
    middle : ndarray, shape (pixels,)
        Mean picture.
    components : ndarray, shape (pixels, k)
        Directions, scaled so that the root mean square distance of two pictures is 1. Without
        pixels that differ there are none (k = 0).
    """
    flat = _flat(thumbs)
    middle = flat.mean(axis=0)
    spread = float(np.sum(np.var(flat, axis=0)))
    count = min(COMPONENTS, len(flat) - 1, flat.shape[1])
    if count < 1 or not spread > 0:
        return middle, np.zeros((flat.shape[1], 0))
    found = PCA(n_components=count, svd_solver="full").fit(flat).components_.T
    # A component's sign is arbitrary: its largest weight is positive, so that bytes repeat.
    signs = np.sign(found[np.argmax(np.abs(found), axis=0), np.arange(count)])
    return middle, found * signs / math.sqrt(2.0 * spread)


def _flat(thumbs: NDArray[np.uint8]) -> Floats:
    return thumbs.reshape(len(thumbs), -1).astype(float) / 255.0


def appearance(thumbs: NDArray[np.uint8], middle: Floats, components: Floats) -> Floats:
    """Return the place of pictures (series, 2, n, n) among the learnt components: (series, k)."""
    return (_flat(thumbs) - middle) @ components


def joined(geometries: Sequence[Floats] | Floats, pictures: Floats) -> Floats:
    """Return features (series, k) of both kinds."""
    return np.concatenate([np.asarray(geometries, dtype=float), pictures], axis=1)
