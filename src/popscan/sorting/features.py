"""Features of series: where and how they were taken, and what they look like; both without labels.

Distances have a meaning: 1 is about 35 degrees between planes, four times as many slices or frames,
twice the field of view, or the usual difference of two pictures in the tree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from popscan.sorting.facts import THUMB, Facts, Floats

#: Components that are learnt of each kind of picture features.
COMPONENTS = 24
#: Pixels of a block of the coarse picture, and of a patch; words, patches that they are learnt
#: from, steps between patches, cells of a picture along each side.
BLOCK, PATCH, WORDS, MOST_PATCHES, STEP, CELLS = 4, 6, 48, 30_000, 3, 3
#: Contrast of a patch below which it counts as flat; weight of each kind of picture features.
_FLAT, _SHARE = 0.05, math.sqrt(0.5)
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
        0.0 if math.isnan(facts.aside_mm) else min(facts.aside_mm / 30.0, 1.2),
    ]
    return np.array([*outer, *(_KIND * np.array(flags, dtype=float)), *numbers])


@dataclass(frozen=True, kw_only=True)
class Part:
    """Principal components of one kind of picture features.

    Attributes
    ----------
    middle : ndarray, shape (n,)
        Mean.
    components : ndarray, shape (n, k)
        Scaled so that the root mean square distance of two series is 1; none (k = 0) where series
        do not differ.
    """

    middle: Floats
    components: Floats

    def of(self, values: Floats) -> Floats:
        """Return the place of series (m, n) among the components: (m, k)."""
        return (values - self.middle) @ self.components


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What was learnt of the pictures of a tree.

    Attributes
    ----------
    words : ndarray, shape (PATCH * PATCH, WORDS)
        Typical patches; None where all patches are empty.
    coarse, texture
        Of the coarse picture and change, and of how typical patches are spread over the picture.
    """

    words: Floats | None
    coarse: Part
    texture: Part

    def of(self, thumbs: NDArray[np.uint8]) -> Floats:
        """Return features of pictures (series, 2, THUMB, THUMB)."""
        parts = [self.coarse.of(_coarse(thumbs)), self.texture.of(_texture(thumbs, self.words))]
        return _SHARE * np.concatenate(parts, axis=1)


def learnt(thumbs: NDArray[np.uint8], *, seed: int) -> Looks:
    """Learn from pictures how they differ, without labels.

    Coarse pictures give principal components (Turk and Pentland 1991); patches give words by
    k-means, whose spread over the picture is described (Coates, Lee and Ng, An analysis of
    single-layer networks in unsupervised feature learning, AISTATS 2011).

    Parameters
    ----------
    thumbs : ndarray of uint8, shape (series, 2, THUMB, THUMB)
        At least one.
    seed
        Of the patches and of k-means.
    """
    words = _words(thumbs, np.random.default_rng([seed, 0x30BD]))
    return Looks(
        words=words,
        coarse=_components(_coarse(thumbs)),
        texture=_components(_texture(thumbs, words)),
    )


def _components(values: Floats) -> Part:
    middle = values.mean(axis=0)
    spread = float(np.sum(np.var(values, axis=0)))
    count = min(COMPONENTS, len(values) - 1, values.shape[1])
    if count < 1 or not spread > 1e-12:
        return Part(middle=middle, components=np.zeros((values.shape[1], 0)))
    found = PCA(n_components=count, svd_solver="full").fit(values).components_.T
    # A component's sign is arbitrary: its largest weight is positive, so that bytes repeat.
    signs = np.sign(found[np.argmax(np.abs(found), axis=0), np.arange(count)])
    return Part(middle=middle, components=found * signs / math.sqrt(2.0 * spread))


def _coarse(thumbs: NDArray[np.uint8]) -> Floats:
    """Mean and change over blocks of pixels: (series, 2 * n * n)."""
    n = THUMB // BLOCK
    blocks = thumbs.reshape(len(thumbs), 2, n, BLOCK, n, BLOCK).astype(float) / 255.0
    return blocks.mean(axis=(3, 5)).reshape(len(thumbs), -1)


def _patches(thumbs: NDArray[np.uint8], step: int) -> Floats:
    """Patches of the mean picture, of equal brightness and contrast: (series, rows, columns, p)."""
    images = thumbs[:, 0].astype(float) / 255.0
    views = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))[:, ::step, ::step]
    flat = views.reshape(*views.shape[:3], -1)
    flat = flat - flat.mean(axis=-1, keepdims=True)
    return flat / (flat.std(axis=-1, keepdims=True) + _FLAT)


def _words(thumbs: NDArray[np.uint8], rng: np.random.Generator) -> Floats | None:
    """Learn typical patches by k-means on unit spheres of patches that show anything."""
    chosen = []
    each = max(4, MOST_PATCHES // len(thumbs))
    for thumb in thumbs:
        patches = _patches(thumb[np.newaxis], 1).reshape(-1, PATCH * PATCH)
        shown = patches[patches.std(axis=1) > 0.5]
        if len(shown):
            chosen.append(shown[rng.integers(0, len(shown), min(each, len(shown)))])
    if not chosen:
        return None
    every = np.concatenate(chosen)
    count = min(WORDS, len(np.unique(every.round(6), axis=0)))
    with threadpool_limits(1):
        model = KMeans(
            n_clusters=count, n_init=1, max_iter=30, random_state=int(rng.integers(2**31))
        )
        return np.asarray(model.fit(every).cluster_centers_.T)


def _texture(thumbs: NDArray[np.uint8], words: Floats | None) -> Floats:
    """How near patches are to each word, averaged over the cells of a grid."""
    if words is None:
        return np.zeros((len(thumbs), 1))
    found = []
    for thumb in thumbs:
        patches = _patches(thumb[np.newaxis], STEP)[0]
        square = np.sum(patches**2, axis=-1, keepdims=True) + np.sum(words**2, axis=0)
        distance = np.sqrt(np.maximum(square - 2.0 * patches @ words, 0.0))
        near = np.maximum(distance.mean(axis=-1, keepdims=True) - distance, 0.0)
        rows = np.array_split(near, CELLS, axis=0)
        cells = [cell.mean(axis=(0, 1)) for r in rows for cell in np.array_split(r, CELLS, axis=1)]
        found.append(np.concatenate(cells))
    return np.stack(found)


def joined(geometries: Floats, pictures: Floats) -> Floats:
    """Return features (series, k) of both kinds."""
    return np.concatenate([np.asarray(geometries, dtype=float), pictures], axis=1)
