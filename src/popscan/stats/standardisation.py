"""Marginal standardisation of the gap between two groups."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from statsmodels.tools.sm_exceptions import ModelWarning, PerfectSeparationError

from popscan.stats.linear import LeastSquares, robust_fit
from popscan.stats.means import Floats
from popscan.stats.permuted import is_skewed, not_below, permuted_statistic, residuals_of
from popscan.stats.problem import Adjusted, Problem, adjusted


def standardisation(problem: Problem) -> Adjusted:
    """Marginal standardisation (g-computation): everybody once as group, once as reference.

    Outcomes are modelled in each group on its own (all interactions with confounders; Lin 2013,
    Ann. Appl. Stat. 7), by a logistic model for yes/no outcomes, and predicted for all; the gap is
    the mean difference. The standard error adds the model's (delta method) to that of whom the
    study happened to scan; degrees of freedom are Satterthwaite's of that sum. Residuals are
    permuted as in `popscan.stats.adjust.regression` where a group is small for their skewness.

    Parameters
    ----------
    problem : Problem
        What to compare.

    Returns
    -------
    Adjusted
        No estimate if a group is too small for its own model, or a logistic model separates.
    """
    designs = problem.designs
    x = designs.everybody
    parts = [(problem.group, designs.inside, 1.0), (~problem.group, designs.outside, -1.0)]
    contrast = np.zeros(len(x))
    variances, freedoms = [], []
    for members, own, sign in parts:
        if _subjects(problem, members) < 2 * x.shape[1] or not own.full_rank:
            return Adjusted(note="a group is too small or too uniform for a model of its own")
        if own.alone:  # no residual: HC3 is 0 / 0, and a jackknife cannot leave that row out
            return Adjusted(
                note="only one of a group has a level of a confounder: no spread can be had from it"
            )
        try:
            predicted, variance, freedom = _predict(problem, members, own, x)
        except (PerfectSeparationError, np.linalg.LinAlgError, _NotFittedError):
            return Adjusted(note="the logistic model separates the outcome completely")
        contrast += sign * predicted
        variances.append(variance)
        freedoms.append(freedom)
    deviations = contrast - contrast.mean()
    if problem.clusters is not None:
        codes = pd.factorize(problem.clusters)[0]
        deviations = np.bincount(codes, weights=deviations)
    variances.append(float((deviations**2).sum()) / len(x) ** 2)
    freedoms.append(max(len(deviations) - 1.0, 1.0))
    variance = sum(variances)
    known = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    freedom = variance**2 / known if known > 0 else float("nan")
    found = adjusted(float(contrast.mean()), float(np.sqrt(variance)), freedom, problem.alpha)
    return _not_skewed(problem, found)


def _not_skewed(problem: Problem, found: Adjusted) -> Adjusted:
    """Test by permutation where Student's t cannot be trusted; the larger p if spreads differ."""
    if problem.binary or problem.clusters is not None or not np.isfinite(found.p):
        return found
    model = _Contrast(problem)
    if not is_skewed(model.residuals, model.group):
        return found
    own = permuted_statistic(
        model.t_of,
        estimate=(found.gap, found.se),
        residuals=(residuals_of(model.x, model.y), model.residuals),
        group=model.group,
        alpha=problem.alpha,
    )
    return not_below(found, own)


class _Contrast:
    """The estimate and its t statistic for many outcomes; rows in an order that numbers decide."""

    def __init__(self, problem: Problem) -> None:
        x = problem.designs.everybody
        order = np.lexsort((problem.y, *x.T, problem.group))
        self.x, self.y, self.group = x[order], problem.y[order], problem.group[order]
        self._sides = LeastSquares(self.x[self.group]), LeastSquares(self.x[~self.group])
        centred = self.x - self.x.mean(axis=0)
        self._scatter = centred.T @ centred / len(x) ** 2

    @property
    def residuals(self) -> Floats:
        """What the two groups' own models leave of the outcome."""
        left = np.empty(len(self.y))
        for members, side in zip((self.group, ~self.group), self._sides, strict=True):
            left[members] = residuals_of(side.x, self.y[members])
        return left

    def t_of(self, outcomes: Floats) -> Floats:
        """Return the estimate over its error, shape (draws,)."""
        at = self.x.mean(axis=0)
        mine, theirs = (
            side.mean_of(at, outcomes[:, members])
            for members, side in zip((self.group, ~self.group), self._sides, strict=True)
        )
        apart = mine[0] - theirs[0]
        scanned = np.einsum("dp,pq,dq->d", apart, self._scatter, apart)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((mine[1] - theirs[1]) / np.sqrt(mine[2] + theirs[2] + scanned))


def _subjects(problem: Problem, members: NDArray[np.bool_]) -> int:
    """Count subjects, each once however many rows are theirs."""
    if problem.clusters is None:
        return int(members.sum())
    return len(np.unique(problem.clusters[members]))


class _NotFittedError(Exception):
    """A logistic model found no finite estimate."""


def _predict(
    problem: Problem, members: NDArray[np.bool_], own: LeastSquares, x: Floats
) -> tuple[Floats, float, float]:
    """Predictions for all from the model of one group, their mean's variance, its freedom."""
    clusters = None if problem.clusters is None else problem.clusters[members]
    y = problem.y[members]
    if not problem.binary:
        fit = robust_fit(y, own, clusters)
        gradient = x.mean(axis=0)
        variance = float(gradient @ fit.covariance @ gradient)
        return np.dot(x, fit.params), variance, fit.freedom(gradient)
    if np.ptp(y) == 0:  # no spread of its own: a linear model would count it as known exactly
        raise _NotFittedError
    options: dict[str, Any] = {"cov_type": "HC0", "use_t": True}
    if clusters is not None:
        options = {"cov_type": "cluster", "cov_kwds": {"groups": clusters}, "use_t": True}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = sm.GLM(y, own.x, family=sm.families.Binomial()).fit(**options)
    trouble = [w for w in caught if issubclass(w.category, (ModelWarning, RuntimeWarning))]
    if trouble or not np.isfinite(fit.bse).all() or np.abs(fit.params).max() > 30:
        raise _NotFittedError
    predicted = fit.predict(x)
    gradient = (x * (predicted * (1 - predicted))[:, None]).mean(axis=0)
    subjects, k = float(_subjects(problem, members)), x.shape[1]
    left = subjects - k
    variance = float(gradient @ fit.cov_params() @ gradient)
    return predicted, variance * (subjects / left if clusters is None else 1.0), left
