"""Mass-univariate maps: how attributes and biomarkers go with local volume, voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from popscan.stats.linear import LeastSquares
from popscan.stats.multiplicity import adjust

Floats = NDArray[np.float64]

#: Voxels that are fitted at once.
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One coefficient in every voxel.

    Attributes
    ----------
    estimate, t, q : ndarray, shape (voxels,)
        Change of the outcome per unit of the term, adjusted for the others; over its robust error;
        p of its t test after Benjamini and Hochberg over the voxels. NaN where the outcome does not
        vary.
    freedom
        Degrees of freedom of the t tests.
    """

    estimate: Floats
    t: Floats
    q: Floats
    freedom: float


def voxel_effect(values: NDArray[np.floating], design: LeastSquares, place: int) -> Effect:
    """Regress every voxel on one design by least squares with HC3 errors.

    Parameters
    ----------
    values : ndarray, shape (n, voxels)
        Finite outcomes.
    design
        Of the same rows, of full rank.
    place
        Number of the coefficient.

    Returns
    -------
    Effect
        All NaN if a row alone says something of a column: its error is not known.
    """
    n_voxels = values.shape[1]
    estimate, t, p = (np.full(n_voxels, np.nan) for _ in range(3))
    at = np.zeros(design.x.shape[1])
    at[place] = 1.0
    freedom = design.freedom(at)
    for start in range(0, 0 if design.alone else n_voxels, _BLOCK):
        block = slice(start, start + _BLOCK)
        outcomes = values[:, block].T.astype(np.float64)
        _, effect, variance = design.mean_of(at, outcomes)
        varies = variance > 1e-16
        estimate[block] = np.where(varies, effect, np.nan)
        t[block] = np.divide(
            effect, np.sqrt(variance), out=np.full(len(effect), np.nan), where=varies
        )
        p[block] = 2 * special.stdtr(freedom, -np.abs(t[block]))
    return Effect(estimate=estimate, t=t, q=adjust(p, method="bh"), freedom=float(freedom))
