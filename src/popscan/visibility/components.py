"""Folds, principal components and penalised logistic regressions, for `predict` and `direction`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Larger matrices get their components by random projections (Halko et al. 2011): minutes saved.
_EXACT_BELOW = 400


def make_folds(names: NDArray[Any], n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the fold of each row; every group is spread over the folds as evenly as it goes."""
    folds = np.empty(len(names), dtype=np.intp)
    start = 0
    for group in np.unique(names.astype(str)):
        rows = rng.permutation(np.flatnonzero(names == group))
        folds[rows] = (start + np.arange(len(rows))) % n_folds
        start += len(rows)
    return folds


def permutations(
    n: int, folds: NDArray[np.intp], number: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return permutations of rows within folds, shape (number, n).

    Folds were drawn given the groups; given the folds, all labellings with the same counts per fold
    are equally likely under the null, and these are what permuting within folds draws from.
    """
    order = np.argsort(folds, kind="stable")
    permuted = np.empty((number, n), dtype=np.intp)
    for row in permuted:
        shuffled = np.lexsort((rng.random(n), folds))
        row[order] = shuffled
    return permuted


def components(
    x: Floats, q: Floats | None, train: NDArray[np.intp], test: NDArray[np.intp], size: int
) -> tuple[Floats, Floats]:
    """Return principal components, learnt on the training rows, of both parts.

    One factor brings all of them to variance 1 on average; they keep their relative sizes, so that
    a ridge penalty weighs on directions in which the data hardly vary, and on no single feature.
    """
    x_train, x_test = standardised(x[train], x[test])
    if q is not None:
        q_train, q_test = standardised(q[train], q[test])
        slopes = np.linalg.lstsq(q_train, x_train, rcond=None)[0]
        x_train, x_test = standardised(x_train - q_train @ slopes, x_test - q_test @ slopes)
    if not x_train.shape[1]:
        return np.zeros((len(train), 1)), np.zeros((len(test), 1))
    u, s, vt = leading_svd(x_train, max(size, 1))
    scale = component_scale(s, len(train))
    return u * s / scale, x_test @ vt.T / scale


def component_scale(s: Floats, n: int) -> float:
    """Root mean variance of components with singular values `s` of `n` rows; 1 if they are 0."""
    return math.sqrt(float((s**2).mean()) / n) or 1.0


def leading_svd(x: Floats, size: int) -> tuple[Floats, Floats, Floats]:
    """Return the first singular vectors and values, through the smaller of the two products.

    The same input gives the same bytes.
    """
    if min(x.shape) > max(_EXACT_BELOW, 4 * size):
        from sklearn.utils.extmath import randomized_svd

        return randomized_svd(x, size, n_iter=7, random_state=0)
    if x.shape[1] <= x.shape[0]:
        values, vectors = np.linalg.eigh(x.T @ x)
        s = np.sqrt(np.maximum(values[::-1][:size], 0.0))
        vt = vectors[:, ::-1][:, :size].T
        return (x @ vt.T) / np.maximum(s, 1e-300), s, vt
    values, vectors = np.linalg.eigh(x @ x.T)
    s = np.sqrt(np.maximum(values[::-1][:size], 0.0))
    u = vectors[:, ::-1][:, :size]
    return u, s, (u / np.maximum(s, 1e-300)).T @ x


def standardised(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Return both with the training rows' medians for NaN, means, scales; no constants."""
    there = np.isfinite(train)
    held = there.any(axis=0)
    train, test, there = train[:, held], test[:, held], there[:, held]
    if not there.all():
        medians = np.nanmedian(np.where(there, train, np.nan), axis=0)
        train = np.where(there, train, medians)
    else:
        medians = np.zeros(train.shape[1])
        if not np.isfinite(test).all():
            medians = np.median(train, axis=0)
    test = np.where(np.isfinite(test), test, medians)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    varies = scale > 1e-9 * np.maximum(np.abs(mean), 1e-12)
    return (
        (train[:, varies] - mean[varies]) / scale[varies],
        (test[:, varies] - mean[varies]) / scale[varies],
    )


def logistic_slopes(
    x: Floats, y: NDArray[np.bool_], *, penalty: float, n_steps: int = 100, tolerance: float = 1e-3
) -> Floats:
    """Slopes of ridge-penalised logistic regressions of many labellings on the same rows.

    The same optimum as scikit-learn's, for all labellings at once: steps with the bound of the
    curvature that holds for all of them (Boehning and Lindsay 1988, doi:10.1007/BF00049423).

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Features.
    y : ndarray of bool, shape (n, B)
        Labellings.
    penalty
        Of the squared slopes, halved; the intercepts are free.
    n_steps, tolerance
        Steps end once no slope moves by more than `tolerance`.

    Returns
    -------
    ndarray, shape (d, B)
        Slopes.
    """
    design = np.column_stack([np.ones(len(x)), x])
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 1e-9
    step = np.linalg.inv(design.T @ design / 4.0 + np.diag(ridge))
    share = np.clip(y.mean(axis=0), 1e-6, 1 - 1e-6)
    weights = np.zeros((design.shape[1], y.shape[1]))
    weights[0] = np.log(share / (1 - share))
    for _ in range(n_steps):
        errors = y - 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        change = step @ (design.T @ errors - ridge[:, np.newaxis] * weights)
        weights += change
        if np.abs(change).max(initial=0.0) < tolerance:
            break
    return weights[1:]
