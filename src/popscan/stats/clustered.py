"""Covariance of least squares where subjects have several rows, also of few subjects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Below this share of its largest eigenvalue a matrix counts as singular.
_SINGULAR = 1e-10
#: A coefficient with more of a direction that nobody else has cannot be found without the subject.
_TOUCHED = 1e-6
#: Variance between subjects over that within, in the model by which degrees of freedom are counted.
_BETWEEN = 1.0


def jackknife_covariance(x: Floats, y: Floats, clusters: NDArray[np.intp]) -> Floats:
    """Return the cluster jackknife covariance of the coefficients of least squares (CV3).

    Each subject is left out once with all rows. The usual sandwich (CR1) is too small where
    subjects are few or a few of them have most of the rows or a rare value of a column. The
    jackknife is nearer to the truth there, and the same in large studies (MacKinnon, Nielsen and
    Webb, J. Econometrics 2023;232:272, doi:10.1016/j.jeconom.2022.04.001). It is to subjects what
    HC3 is to rows; `jackknife_freedom` says how well it is known.

    Parameters
    ----------
    x : ndarray, shape (rows, k)
        Design of full rank.
    y : ndarray, shape (rows,)
        Outcome.
    clusters : ndarray of int, shape (rows,)
        Subject of each row.

    Returns
    -------
    ndarray, shape (k, k)
        NaN with fewer than two subjects, and for coefficients that rest on one subject: without
        that subject they cannot be estimated.
    """
    codes, subjects = np.unique(clusters, return_inverse=True)
    n, k = len(codes), x.shape[1]
    if n < 2:
        return np.full((k, k), np.nan)
    scale = np.sqrt((x**2).mean(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = x / scale
    cross = np.zeros((n, k, k))
    for column in range(k):
        np.add.at(cross[:, column], subjects, scaled * scaled[:, [column]])
    moments = np.zeros((n, k))
    np.add.at(moments, subjects, scaled * y[:, None])
    estimate = np.linalg.pinv(cross.sum(axis=0), hermitian=True) @ moments.sum(axis=0)
    rest, target = cross.sum(axis=0) - cross, moments.sum(axis=0) - moments
    values = np.linalg.eigvalsh(rest)
    singular = values[:, 0] <= _SINGULAR * values[:, -1]
    left_out = np.empty((n, k))
    left_out[~singular] = np.linalg.solve(rest[~singular], target[~singular][:, :, None])[:, :, 0]
    for i in np.flatnonzero(singular):  # the only subject that a column says anything of
        left_out[i] = np.linalg.pinv(rest[i], rcond=_SINGULAR, hermitian=True) @ target[i]
        sizes, directions = np.linalg.eigh(rest[i])
        unknown = directions[:, sizes <= _SINGULAR * sizes[-1]]
        left_out[i, np.abs(unknown).max(axis=1) > _TOUCHED] = np.nan
    change = (left_out - estimate) / scale
    found: Floats = (n - 1) / n * (change.T @ change)
    return found


def jackknife_freedom(x: Floats, clusters: NDArray[np.intp]) -> Callable[[Floats], float]:
    """Return the degrees of freedom of the jackknife variance of combinations of coefficients.

    Satterthwaite's, from the mean and the variance that the jackknife variance has where half of
    the outcome's variance lies between subjects (Bell and McCaffrey 2002, Surv. Methodol. 28;
    Hansen 2025, J. Econometrics 251). A yes/no column with 5 of 60 subjects on one side has about
    4, not 59.

    Parameters
    ----------
    x : ndarray, shape (rows, k)
        Design of full rank.
    clusters : ndarray of int, shape (rows,)
        Subject of each row.

    Returns
    -------
    callable
        From the weights of the coefficients, shape (k,), to degrees of freedom: at most one less
        than there are subjects; NaN where the variance is 0 by construction.
    """
    subjects = np.unique(clusters, return_inverse=True)[1]
    n, k = int(subjects.max(initial=-1)) + 1, x.shape[1]
    scale = np.sqrt((x**2).mean(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = x / scale
    own, sums = np.zeros((n, k, k)), np.zeros((n, k))
    for column in range(k):
        np.add.at(own[:, column], subjects, scaled * scaled[:, [column]])
    np.add.at(sums, subjects, scaled)
    bread = np.linalg.pinv(own.sum(axis=0), hermitian=True)
    without = np.linalg.pinv(own.sum(axis=0) - own, rcond=_SINGULAR, hermitian=True)
    # Of the errors' covariance I + _BETWEEN * 11' of each subject: x' covariance x.
    spread = own + _BETWEEN * sums[:, :, None] * sums[:, None, :]
    middle = bread @ spread.sum(axis=0) @ bread
    inner = np.block([[np.zeros((k, k)), -bread], [-bread, middle]])

    def freedom(contrast: Floats) -> float:
        # Leaving out subject i changes the combination by v_i' x_i' (its residuals).
        weights = without @ (contrast / scale)
        of_rows, of_fit = (np.einsum("nij,nj->ni", part, weights) for part in (spread, own))
        diagonal = np.einsum("ni,ni->n", weights, of_rows)
        sides = np.concatenate([of_rows, of_fit], axis=1)
        shared = inner @ (sides.T @ sides)
        mean = diagonal.sum() + np.trace(shared)
        square = (diagonal**2).sum() + np.trace(shared @ shared)
        square += 2 * np.trace(inner @ (sides.T @ (diagonal[:, None] * sides)))
        if not (mean > 0 and square > 0):
            return float("nan")
        return min(float(mean**2 / square), n - 1.0)

    return freedom
