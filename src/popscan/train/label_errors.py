"""Errors as people make them, painted into right label maps, to see who finds them.

Three kinds: ``wobble`` (a random, smooth displacement of the outlines), ``size`` (all outlines too
wide or too narrow, as of a reader with another convention) and ``mistaken`` (two structures
exchanged).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.records import PopscanError

KINDS = ("wobble", "size", "mistaken")


def _wobbled(
    labels: NDArray[np.uint8], rng: np.random.Generator, pixels: float
) -> NDArray[np.uint8]:
    steps = []
    for _ in range(2):
        smooth = ndimage.gaussian_filter(rng.normal(size=labels.shape), 3.0)
        steps.append(smooth * (pixels / max(float(smooth.std()), 1e-12)))
    grid = np.mgrid[: labels.shape[0], : labels.shape[1]] + np.stack(steps)
    moved: NDArray[np.uint8] = ndimage.map_coordinates(labels, grid, order=0)
    return moved


def _resized(labels: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Return labels of which the whole foreground is `pixels` wider, or narrower if negative."""
    inside = labels > 0
    if pixels < 0:
        kept = ndimage.binary_erosion(inside, iterations=-pixels)
        return np.where(kept, labels, 0).astype(np.uint8)
    distance, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    grown = labels[tuple(nearest)]
    return np.where(distance <= pixels, grown, 0).astype(np.uint8)


def _exchanged(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    present = np.unique(labels[labels > 0])
    if present.size < 2:
        return np.zeros_like(labels)  # One structure alone is overlooked.
    a, b = rng.choice(present, 2, replace=False)
    codes = np.arange(int(labels.max()) + 1, dtype=np.uint8)
    codes[[a, b]] = codes[[b, a]]
    return codes[labels]


def spoil(
    labels: NDArray[np.uint8],
    *,
    kind: str,
    share: float,
    seed: int,
    pixels: int = 3,
    subjects: NDArray[np.str_] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Paint errors into a share of the slices that have labels.

    Parameters
    ----------
    labels
        (n, x, y); left as they are.
    kind
        One of `KINDS`.
    share
        Of the slices with labels that are spoilt, 0 to 1; rounded.
    seed
        Which ones, and how.
    pixels
        Size of ``wobble`` (standard deviation) and of ``size``, which is wide or narrow for all
        slices of a seed equally: a systematic error.
    subjects
        (n,) whose slice it is: `share` is then that of the subjects who have labels, and all of
        their slices are spoilt. Slices are drawn one by one where not given.

    Returns
    -------
    Labels of the same shape, and which slices were spoilt, (n,) bool.

    Raises
    ------
    PopscanError
        For an unknown kind, a share that is none, or another number of subjects than slices.
    """
    if kind not in KINDS or not 0 <= share <= 1:
        raise PopscanError(f"kinds of errors are {', '.join(KINDS)}, a share is from 0 to 1")
    if subjects is not None and len(subjects) != len(labels):
        raise PopscanError(f"{len(labels)} slices are expected to be of as many subjects")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    labelled = np.flatnonzero((labels > 0).any(axis=(1, 2)))
    drawn = labelled if subjects is None else np.unique(subjects[labelled])
    chosen = rng.choice(drawn, round(share * drawn.size), replace=False)
    if subjects is not None:
        chosen = labelled[np.isin(subjects[labelled], chosen)]
    out, size = labels.copy(), int(rng.choice([-pixels, pixels]))
    for row in chosen:
        if kind == "wobble":
            out[row] = _wobbled(labels[row], rng, pixels)
        elif kind == "size":
            out[row] = _resized(labels[row], size)
        else:
            out[row] = _exchanged(labels[row], rng)
    return out, (out != labels).any(axis=(1, 2))
