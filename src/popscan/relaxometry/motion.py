"""Whether one image of a series lies elsewhere than the others: breathing between the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Shifts that are tried, in mm and at most in pixels.
_REACH_MM, _REACH_PX = 15.0, 12
#: A shift counts if it brings the edges nearer to the others' by so much of their correlation, and
#: that is more than chance: a tissue that has recovered shows no edges.
_GAIN, _LEAST = 0.08, 0.3
#: Gradients beyond this percentile count as this one: a few bright edges would decide.
_BRIGHT_PCT = 98.0


def image_shifts_mm(images: ArrayLike, *, spacing_mm: Sequence[float]) -> Floats:
    """How far each image of a series lies from where the others are, in its plane.

    Contrast changes from image to image, edges stay: the gradients of each image are correlated
    with the median of the others' over shifts by whole pixels. Of several slices the one that
    moved most counts.

    Parameters
    ----------
    images : array_like, shape (n, x, y, z)
        Magnitudes.
    spacing_mm
        In-plane spacing (x, y).

    Returns
    -------
    ndarray, shape (n,)
        In mm; 0 where no shift is clearly better than none. NaN for fewer than three images.
    """
    series = np.abs(np.asarray(images, dtype=float))
    found = np.zeros(len(series))
    if len(series) < 3:
        return np.full(len(series), np.nan)
    reach = [_reach(spacing_mm[axis], series.shape[axis + 1]) for axis in (0, 1)]
    for z in range(series.shape[3]):
        edges = np.stack([_edges(image) for image in series[..., z]])
        for i, own in enumerate(edges):
            others = np.median(np.delete(edges, i, axis=0), axis=0)
            x, y = _shift(own, others, reach)
            found[i] = max(found[i], float(np.hypot(x * spacing_mm[0], y * spacing_mm[1])))
    return found


def _reach(spacing_mm: float, size: int) -> int:
    return max(0, min(int(_REACH_MM / spacing_mm), _REACH_PX, (size - 1) // 4))


def _edges(image: Floats) -> Floats:
    gradient = np.hypot(*np.gradient(image))
    top = float(np.percentile(gradient, _BRIGHT_PCT))
    return np.minimum(gradient / top, 1.0) if top > 0 else gradient


def _shift(own: Floats, others: Floats, reach: Sequence[int]) -> tuple[int, int]:
    """Return the shift (x, y) of an image's edges; (0, 0) where none is clearly better."""
    rx, ry = reach
    nx, ny = own.shape
    middle = others[rx : nx - rx, ry : ny - ry]
    best, at_rest, at = -np.inf, 0.0, (0, 0)
    for x in range(-rx, rx + 1):
        for y in range(-ry, ry + 1):
            likeness = _correlation(own[rx + x : nx - rx + x, ry + y : ny - ry + y], middle)
            if (x, y) == (0, 0):
                at_rest = likeness
            if likeness > best:
                best, at = likeness, (x, y)
    return at if best > max(at_rest + _GAIN, _LEAST) else (0, 0)


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0
