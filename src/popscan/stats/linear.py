"""Least squares of many outcomes on one design, which is decomposed once.

An audit fits the same design to every outcome that the same subjects have. The numbers are those
of ``statsmodels.OLS`` with robust errors, to the last digit (``tests/stats/test_linear.py``). The
degrees of freedom are Bell and McCaffrey's, which statsmodels does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.tools.tools import pinv_extended

from popscan.stats.clustered import jackknife_covariance, jackknife_freedom
from popscan.stats.means import Floats

#: Below this share of its own prediction that others make, a row counts as fitted exactly.
_NO_RESIDUAL = 1e-8
#: A coefficient with more weight on a row that is fitted exactly has no error.
_TOUCHED = 1e-6
#: Kind of robust error -> power of a row's 1 - leverage by which its residual is divided.
_POWER = {"HC0": 0.0, "HC1": 0.0, "HC2": 0.5, "HC3": 1.0}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A linear model of one outcome.

    Attributes
    ----------
    params : ndarray, shape (p,)
        Coefficients.
    covariance : ndarray, shape (p, p)
        Of the coefficients, robust (HC3; MacKinnon and White 1985, J. Econometrics 29). NaN for a
        coefficient that rests on one row.
    freedom
        Degrees of freedom of the t test of a combination of coefficients, given its weights of
        shape (p,).
    """

    params: Floats
    covariance: Floats
    freedom: Callable[[Floats], float]

    def freedom_of(self, place: int) -> float:
        """Return the degrees of freedom of one coefficient."""
        return self.freedom(np.eye(len(self.params))[place])

    def p_zero(self, last: int) -> float:
        """Return the p value of the test that the last so many coefficients are 0.

        Wald's statistic as Hotelling's T squared, with the fewest degrees of freedom that one of
        the coefficients has (Pustejovsky and Tipton 2018, J. Bus. Econ. Stat. 36).
        """
        estimate, covariance = self.params[-last:, None], self.covariance[-last:, -last:]
        if not np.isfinite(covariance).all():
            return float("nan")
        rank = min(float(last), float(np.linalg.matrix_rank(covariance)))
        freedom = min(self.freedom_of(place) for place in range(-last, 0))
        left = freedom - rank + 1
        if rank < 1 or not left > 0:
            return float("nan")
        wald = float(np.squeeze(np.dot(np.dot(estimate.T, np.linalg.pinv(covariance)), estimate)))
        return float(stats.f.sf(wald * left / (freedom * rank), rank, left))


class LeastSquares:
    """Linear models on one design.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Design, with its intercept.
    robust : str
        Kind of error: ``HC0`` to ``HC3``.
    """

    def __init__(self, x: Floats, *, robust: str = "HC3") -> None:
        self.x, self._robust = x, robust
        self._by_subject: Callable[[Floats], float] | None = None

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
        scale = ((y - np.dot(self.x, params)) * self._inflation) ** 2
        covariance = np.dot(inverse, scale[:, None] * inverse.T)
        if self._robust == "HC1":
            covariance *= len(self.x) / freedom
        exact = self._not_own < _NO_RESIDUAL
        if exact.any():
            largest = np.abs(inverse).max(axis=1, keepdims=True)
            alone = (np.abs(inverse[:, exact]) > _TOUCHED * largest).any(axis=1)
            covariance[alone] = covariance[:, alone] = np.nan
        return Fit(params=params, covariance=covariance, freedom=self.freedom)

    def t_of(self, place: int, outcomes: Floats) -> Floats:
        """Return a coefficient over its robust error, for many outcomes of the same rows.

        Parameters
        ----------
        place
            Number of the coefficient.
        outcomes : ndarray, shape (draws, n)
            One a row.
        """
        inverse, _ = self._inverse
        estimates = outcomes @ inverse.T
        residuals = outcomes - estimates @ self.x.T
        weights = (inverse[place] * self._inflation) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(estimates[:, place] / np.sqrt(residuals**2 @ weights))

    def mean_of(self, at: Floats, outcomes: Floats) -> tuple[Floats, Floats, Floats]:
        """Return coefficients, the prediction at one point and its robust variance.

        Parameters
        ----------
        at : ndarray, shape (p,)
            A row of the design.
        outcomes : ndarray, shape (draws, n)
            One a row.
        """
        inverse, _ = self._inverse
        estimates = outcomes @ inverse.T
        residuals = outcomes - estimates @ self.x.T
        weights = (at @ inverse * self._inflation) ** 2
        return estimates, estimates @ at, residuals**2 @ weights

    @cached_property
    def _inflation(self) -> Floats:
        """What a row's residual is multiplied by; 0 where it is 0 by construction."""
        exact = self._not_own < _NO_RESIDUAL
        return np.where(exact, 0.0, np.where(exact, 1.0, self._not_own) ** -_POWER[self._robust])

    def freedom(self, contrast: Floats) -> float:
        """Return the degrees of freedom of the robust variance of a combination of coefficients.

        Satterthwaite's, from the mean and the variance that the robust variance has where all rows
        have the same spread (Bell and McCaffrey 2002, Surv. Methodol. 28; Imbens and Kolesár 2016,
        Rev. Econ. Stat. 98). A group of 15 among 150 has about 17, not 140.

        Parameters
        ----------
        contrast : ndarray, shape (p,)
            Weights of the coefficients.

        Returns
        -------
        float
            NaN where the variance is 0 by construction.
        """
        key = contrast.tobytes()
        if key not in self._freedoms:
            inverse, _ = self._inverse
            weights = np.dot(contrast, inverse) * self._inflation
            self._freedoms[key] = _satterthwaite(self.x, np.dot(inverse, inverse.T), weights)
        return self._freedoms[key]

    def freedom_by_subject(self, subjects: NDArray[np.intp]) -> Callable[[Floats], float]:
        """Return the same of the jackknife by subject; rows are always of the same subjects."""
        if self._by_subject is None:
            self._by_subject = jackknife_freedom(self.x, subjects)
        return self._by_subject

    @cached_property
    def _freedoms(self) -> dict[bytes, float]:
        return {}


def robust_fit(y: Floats, design: LeastSquares, clusters: NDArray[np.generic] | None) -> Fit:
    """Fit a linear model with robust errors.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Finite values.
    design
        Of the same rows.
    clusters : ndarray, shape (n,), optional
        Subject of each row, where subjects repeat: errors are then the jackknife's of subjects,
        else those of the design (HC3).
    """
    fit = design.fit(y)
    if clusters is None:
        return fit
    codes = pd.factorize(clusters)[0].astype(np.intp)
    covariance = jackknife_covariance(design.x, y, codes)
    return Fit(params=fit.params, covariance=covariance, freedom=design.freedom_by_subject(codes))


def _satterthwaite(x: Floats, bread: Floats, weights: Floats) -> float:
    """Degrees of freedom of ``sum (weights * residuals)**2``.

    The residuals are ``(I - x bread x')`` times independent errors of one variance, so that the
    sum's mean and variance are the trace of ``diag(weights**2) - u bread u'`` and twice that of its
    square; `u` has the rows of `x` times their weights.
    """
    squares, weighted = weights**2, x * weights[:, None]
    shared = bread @ (weighted.T @ weighted)
    mean = squares.sum() - np.trace(shared)
    crossed = np.trace(bread @ (weighted.T @ (squares[:, None] * weighted)))
    spread = (squares**2).sum() - 2 * crossed + np.trace(shared @ shared)
    return float(mean**2 / spread) if mean > 0 and spread > 0 else float("nan")


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
