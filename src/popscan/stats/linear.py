"""Least squares of many outcomes on one design, which is decomposed once.

An audit fits the same design to every outcome that the same subjects have. The numbers are those
of ``statsmodels.OLS`` with HC3 errors, to the last digit (``tests/stats/test_linear.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.tools.tools import pinv_extended

from popscan.stats.means import Floats

#: Below this share of its own prediction that others make, a row counts as fitted exactly.
_NO_RESIDUAL = 1e-8


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A linear model of one outcome.

    Attributes
    ----------
    params : ndarray, shape (p,)
        Coefficients.
    covariance : ndarray, shape (p, p)
        Of the coefficients, robust (HC3; MacKinnon and White 1985, J. Econometrics 29).
    freedom : float
        Residual degrees of freedom.
    """

    params: Floats
    covariance: Floats
    freedom: float

    def p_zero(self, last: int) -> float:
        """Return the p value of the Wald F test that the last so many coefficients are 0."""
        estimate, covariance = self.params[-last:, None], self.covariance[-last:, -last:]
        if not np.isfinite(covariance).all():
            return float("nan")
        rank = min(float(last), float(np.linalg.matrix_rank(covariance)))
        statistic = np.dot(np.dot(estimate.T, np.linalg.pinv(covariance)), estimate) / rank
        return float(stats.f.sf(float(np.squeeze(statistic)), rank, self.freedom))


class LeastSquares:
    """Linear models on one design.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Design, with its intercept.
    """

    def __init__(self, x: Floats) -> None:
        self.x = x

    @cached_property
    def full_rank(self) -> bool:
        """Whether no column is a combination of the others."""
        return bool(np.linalg.matrix_rank(self.x) == self.x.shape[1])

    @cached_property
    def alone(self) -> bool:
        """Whether a row has no residual: it alone says something of a column."""
        return bool(self._not_own.min() < _NO_RESIDUAL)

    @cached_property
    def _inverse(self) -> tuple[Floats, float]:
        inverse, singular = pinv_extended(self.x)
        rank = np.linalg.matrix_rank(np.diag(singular))
        return inverse, float(len(self.x) - rank)

    @cached_property
    def _not_own(self) -> Floats:
        """1 - leverage of every row: the share of its prediction that others make."""
        inverse, _ = self._inverse
        normalised = np.dot(inverse, np.transpose(inverse))
        return np.asarray(
            1 - np.einsum("ij,ik,kj->i", self.x, self.x, normalised), dtype=np.float64
        )

    def fit(self, y: Floats) -> Fit:
        """Fit one outcome.

        Parameters
        ----------
        y : ndarray, shape (n,)
            Finite values.
        """
        inverse, freedom = self._inverse
        params = np.dot(inverse, y)
        scale = ((y - np.dot(self.x, params)) / self._not_own) ** 2
        covariance = np.dot(inverse, scale[:, None] * inverse.T)
        return Fit(params=params, covariance=covariance, freedom=freedom)


class Designs:
    """The designs of one comparison, for all outcomes that the same subjects have.

    Parameters
    ----------
    group : ndarray of bool, shape (n,)
        True in the group, False in the reference.
    confounders : ndarray, shape (n, k)
        Numeric columns without an intercept.
    """

    def __init__(self, group: NDArray[np.bool_], confounders: Floats) -> None:
        self._group = group
        centred = confounders - confounders.mean(axis=0)
        self.common = np.column_stack([np.ones(len(group)), group, centred])

    @cached_property
    def raw(self) -> LeastSquares:
        """Intercept and group."""
        return LeastSquares(np.column_stack([np.ones(len(self._group)), self._group]))

    @cached_property
    def adjusted(self) -> LeastSquares:
        """Intercept, group, centred confounders."""
        return LeastSquares(self.common)

    @cached_property
    def slopes(self) -> LeastSquares:
        """The same, and every confounder's product with the group."""
        x = self.common
        return LeastSquares(np.column_stack([x, self._group[:, None] * x[:, 2:]]))

    @cached_property
    def everybody(self) -> Floats:
        """Intercept and centred confounders."""
        return self.common[:, [0, *range(2, self.common.shape[1])]]

    @cached_property
    def inside(self) -> LeastSquares:
        """Of the group alone: intercept and centred confounders."""
        return LeastSquares(self.everybody[self._group])

    @cached_property
    def outside(self) -> LeastSquares:
        """The same of the reference."""
        return LeastSquares(self.everybody[~self._group])
