"""Whether a scan is like those that a model was trained on: a distance in the network's features.

Two spaces: the pooled features of the encoder (`popscan.segment.features`), averaged over the
slices of a scan, and the intensities of the structures that were found. In each, a Mahalanobis
distance in the leading principal components of the training scans and the part beyond them. A
score of 1 is the distance of the farthest training subjects from what was fitted without them;
above it the scan is unlike nearly all of them. Where training scans are of several kinds (patients
and simulated scans), each has its spaces, and the nearest kind counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

#: Beginning of the names of the arrays in a bundle's ``training.safetensors``.
PREFIX = "ood"
#: Added to the variance of every component: few subjects say little of the smallest.
_SHRINKAGE = 0.05
#: Standard scores beyond this say no more.
_FARTHEST = 50.0


@dataclass(frozen=True, kw_only=True)
class Space:
    """Where training scans lie in a space of features.

    Attributes
    ----------
    mean, scale : ndarray, shape (feature,)
        Standardise the features.
    basis : ndarray, shape (feature, component)
        Leading principal components.
    variance : ndarray, shape (component,)
        Of the training scans along them.
    residual
        Mean variance per feature beyond them.
    limit
        Distance of the farthest training subjects that took no part in the fit.
    """

    mean: Floats
    scale: Floats
    basis: Floats
    variance: Floats
    residual: float
    limit: float = 1.0

    def score(self, features: Floats) -> Floats:
        """Return the distances of rows of features, in units of the limit; NaN for NaN."""
        z = np.clip((features - self.mean) / self.scale, -_FARTHEST, _FARTHEST)
        within = z @ self.basis
        n, k = self.basis.shape
        total = (within**2 / (self.variance + _SHRINKAGE)).mean(axis=1)
        if n > k:
            beyond = np.maximum((z**2).sum(axis=1) - (within**2).sum(axis=1), 0.0)
            total = (total + beyond / (self.residual * (n - k))) / 2
        distance: Floats = np.sqrt(total) / self.limit
        return distance

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the space as arrays to store."""
        numbers = np.array([self.residual, self.limit], np.float32)
        parts = {"mean": self.mean, "scale": self.scale, "variance": self.variance}
        stored = {f"{name}.{key}": value.astype(np.float32) for key, value in parts.items()}
        return stored | {
            f"{name}.basis": self.basis.astype(np.float16), f"{name}.numbers": numbers
        }  # fmt: skip

    @classmethod
    def stored(cls, arrays: Arrays, name: str) -> Space | None:
        """Return a space that was stored, or None where there is none or its parts do not fit."""
        keys = ("mean", "scale", "basis", "variance", "numbers")
        if not all(f"{name}.{key}" in arrays for key in keys):
            return None
        parts = {key: np.asarray(arrays[f"{name}.{key}"], dtype=float) for key in keys}
        n, k = parts["mean"].size, parts["variance"].size
        if parts["basis"].shape != (n, k) or parts["scale"].shape != (n,):
            return None
        residual, limit = (float(v) for v in parts.pop("numbers"))
        usable = residual > 0 and limit > 0 and bool((parts["scale"] > 0).all())
        return cls(residual=residual, limit=limit, **parts) if usable else None


def fit_space(rows: Floats, *, components: int) -> Space:
    """Return the space of training rows (row, feature), with a limit of 1."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    z = (rows - mean) / scale
    _, sizes, axes = np.linalg.svd(z, full_matrices=False)
    power = sizes**2 / len(z)
    k = min(components, len(power))
    beyond = float(power[k:].sum()) / max(z.shape[1] - k, 1)
    return Space(
        mean=mean, scale=scale, basis=axes[:k].T, variance=power[:k], residual=max(beyond, 1e-3)
    )


def fold_scores(rows: Floats, subjects: Sequence[str], *, components: int, folds: int) -> Floats:
    """Return each row's distance in the space of the other folds; a subject is in one fold."""
    names = sorted(set(subjects))
    order = np.random.default_rng(0).permutation(len(names))
    fold = dict(zip(names, (order % folds).tolist(), strict=True))
    own = np.array([fold[s] for s in subjects])
    found = np.full(len(rows), np.nan)
    for f in range(folds):
        if (own == f).any() and (own != f).any():
            space = fit_space(rows[own != f], components=components)
            found[own == f] = space.score(rows[own == f])
    return found


def has_detector(arrays: Arrays) -> bool:
    """Return whether a bundle's arrays hold spaces to judge scans by."""
    return f"{PREFIX}.0.scan.mean" in arrays


@dataclass(frozen=True, kw_only=True)
class Unlikeness:
    """How unlike the training scans a scan is.

    Attributes
    ----------
    score
        1 is that of the farthest training subjects; NaN where the bundle has no detector.
    slices
        Slice positions that are unlike all training slices, NaN without a detector.
    by
        ``features`` or ``tissue``: in which space the scan is farthest.
    """

    score: float = math.nan
    slices: float = math.nan
    by: str = ""

    def row(self) -> dict[str, float]:
        """Return the columns of the table of segmentations."""
        return {"ood_score": round(self.score, 3), "ood_slices": self.slices}

    @property
    def warning(self) -> str:
        """What of it belongs into ``input_warning``; empty up to a score of 1."""
        if not self.score > 1:
            return ""
        what = {"features": "what the network sees", "tissue": "the tissues' intensities"}[self.by]
        return f"unlike the training scans: {what} {self.score:.2f} times as far as the farthest"


def unlikeness(
    arrays: Arrays, features: NDArray[Any] | None, tissue: Floats, *, n_slices: int
) -> Unlikeness:
    """Return how unlike a bundle's training scans a scan is.

    Parameters
    ----------
    arrays
        Of the bundle's ``training.safetensors``.
    features
        Pooled features of its slices (t * z, feature); None where they were not taken.
    tissue
        From `tissue_features`.
    n_slices
        z.
    """
    if features is None:
        return Unlikeness()
    slices = np.asarray(features, dtype=float)
    best, kind = Unlikeness(), 0
    while (space := Space.stored(arrays, f"{PREFIX}.{kind}.scan")) is not None:
        if space.mean.size != slices.shape[1]:
            return Unlikeness()
        scores = {"features": float(space.score(slices.mean(axis=0)[None])[0])}
        intensities = Space.stored(arrays, f"{PREFIX}.{kind}.tissue")
        if intensities is not None and intensities.mean.size == tissue.size:
            scores["tissue"] = float(intensities.score(tissue[None])[0])
        known = {name: value for name, value in scores.items() if math.isfinite(value)}
        by = max(known, key=lambda name: known[name])
        if not known[by] >= best.score:
            best = Unlikeness(
                score=known[by], by=by, slices=_odd_slices(arrays, kind, slices, n_slices)
            )
        kind += 1
    return best


def _odd_slices(arrays: Arrays, kind: int, slices: Floats, n_slices: int) -> float:
    space = Space.stored(arrays, f"{PREFIX}.{kind}.slice")
    if space is None:
        return math.nan
    middle = np.median(space.score(slices).reshape(-1, n_slices), axis=0)
    return float((middle > 1).sum())


def tissue_features(
    array: NDArray[Any],
    labels: NDArray[np.uint8],
    codes: Sequence[int],
    *,
    black: float,
    white: float,
) -> Floats:
    """Return median and spread of the intensities of every structure, on a logarithmic scale.

    Parameters
    ----------
    array, labels : ndarray, same shape
        Intensities, and the codes of what was found.
    codes
        Structures, in their order.
    black, white
        Intensities that count as 0 and 1.

    Returns
    -------
    ndarray, shape (2 * structure,)
        Median, and difference of the 90th and the 10th percentile; NaN for what was not found.
    """
    found = []
    for code in codes:
        values = array[labels == code]
        if not values.size or not white > black:
            found += [math.nan, math.nan]
            continue
        low, middle, high = np.percentile(values.astype(float), [10, 50, 90])
        found += [(middle - black) / (white - black), (high - low) / (white - black)]
    return np.log(np.maximum(np.array(found, dtype=float), 0.01))
