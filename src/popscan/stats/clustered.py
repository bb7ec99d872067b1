"""Covariance of least squares where subjects have several rows, also of few subjects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Below this share of its largest eigenvalue a matrix counts as singular.
_SINGULAR = 1e-10
#: A coefficient with more of a direction that nobody else has cannot be found without the subject.
_TOUCHED = 1e-6


def jackknife_covariance(x: Floats, y: Floats, clusters: NDArray[np.intp]) -> Floats:
    """Return the cluster jackknife covariance of the coefficients of least squares (CV3).

    Each subject is left out once with all rows. The usual sandwich (CR1) is too small where
    subjects are few or a few of them have most of the rows or a rare value of a column. The
    jackknife, with a t of one degree of freedom less than there are subjects, is nearer to the
    truth there, and the same in large studies (MacKinnon, Nielsen and Webb, J. Econometrics
    2023;232:272, doi:10.1016/j.jeconom.2022.04.001). With 2 to 5 subjects of 30 to 60 on one side
    of a column it is still too small. It is to subjects what HC3 is to rows.

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
