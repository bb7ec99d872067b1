"""Differences between groups adjusted for confounders, in six ways.

All take the same arguments and return `Adjusted`, so that a reader can see whether a finding
depends on the way. What a confounder is decides the analyst: adjusting for something that lies on
the path from group to outcome (image quality, say) removes part of what an audit looks for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from popscan.stats.compare import spreads_differ
from popscan.stats.linear import Fit, LeastSquares, robust_fit
from popscan.stats.matching import matching
from popscan.stats.means import Floats, rows_from_values
from popscan.stats.permuted import is_skewed, not_below, permuted_gap
from popscan.stats.problem import Adjusted, Problem, adjusted
from popscan.stats.standardisation import standardisation

#: Level of the test of equal spread above which ancova may take it for granted.
_UNEQUAL = 0.2


def _design(problem: Problem) -> Floats:
    """Intercept, group, centred confounders."""
    return problem.designs.common


def regression(problem: Problem) -> Adjusted:
    """Linear regression with robust errors (HC3, or the jackknife of subjects that repeat).

    Degrees of freedom are Bell and McCaffrey's: about those of the smaller group; where that is
    small for the outcome's skewness, residuals are permuted (`popscan.stats.permuted`). For yes/no
    outcomes this is the linear probability model: a risk difference.

    Parameters
    ----------
    problem : Problem
        What to compare.

    Returns
    -------
    Adjusted
        ``extra`` holds ``p_slopes``, the test that confounders have the same effect in both groups;
        a small one says that a single adjusted gap hides that it depends on the confounder.
    """
    fit = robust_fit(problem.y, problem.designs.adjusted, problem.clusters)
    p_slopes = _slopes(problem)
    note = "" if not p_slopes < 0.01 else "the gap depends on a confounder (see standardisation)"
    found = adjusted(
        float(fit.params[1]), _error(fit), fit.freedom_of(1), problem.alpha, note, p_slopes=p_slopes
    )
    return _not_skewed(problem, problem.designs.adjusted, problem.designs.everybody, found)


def _not_skewed(
    problem: Problem, design: LeastSquares, without: Floats, found: Adjusted
) -> Adjusted:
    """Test by permutation where Student's t cannot be trusted; the larger p if spreads differ."""
    if problem.binary or problem.clusters is not None or not np.isfinite(found.p) or design.alone:
        return found
    residuals = problem.y - design.x @ design.fit(problem.y).params
    if not (design.full_rank and is_skewed(residuals, problem.group)):
        return found
    own = permuted_gap(design, without, problem.y, place=1, alpha=problem.alpha)
    return not_below(found, own)


def _error(fit: Fit) -> float:
    """Return the standard error of the gap, which is the second coefficient."""
    return float(np.sqrt(fit.covariance[1, 1]))


def ancova(problem: Problem) -> Adjusted:
    """Analysis of covariance: the classical linear model, of groups that scatter equally.

    Where they may not (Brown and Forsythe's p below `_UNEQUAL`), or an outcome is skewed and a
    group small, equal variances would find too much: where `regression` has the larger p, its
    error, interval and p are returned, and the note says so.

    Parameters
    ----------
    problem : Problem
        What to compare.

    Returns
    -------
    Adjusted
        ``extra`` holds ``p_slopes`` as for `regression`.
    """
    if problem.clusters is not None:
        return Adjusted(note="subjects repeat: ancova would count them as independent")
    x = _design(problem)
    fit = sm.OLS(problem.y, x).fit()
    found = adjusted(
        float(fit.params[1]), float(fit.bse[1]), float(fit.df_resid), problem.alpha,
        p_slopes=_slopes(problem),
    )  # fmt: skip
    sides = (rows_from_values(fit.resid[side]) for side in (problem.group, ~problem.group))
    if not (spreads_differ(*sides, level=_UNEQUAL) or is_skewed(fit.resid, problem.group)):
        return found
    robust = regression(problem)
    if not np.isfinite(robust.p):
        return replace(Adjusted(), gap=found.gap, extra=found.extra,
                       note="spreads differ, or skewed: ancova has no valid test")  # fmt: skip
    if robust.p <= found.p:
        return found
    return replace(
        robust, extra=found.extra,
        note="spreads differ, or skewed: error, interval and p are those of regression",
    )  # fmt: skip


def _slopes(problem: Problem) -> float:
    """P value that group and confounders do not interact (robust Wald test)."""
    k = problem.confounders.shape[1]
    design = problem.designs.slopes
    full = design.x
    if k == 0 or len(full) <= 2 * full.shape[1] or not design.full_rank:
        return float("nan")
    if design.alone:  # the only one of a group at a level: no residual, HC3 is 0 / 0
        return float("nan")
    return robust_fit(problem.y, design, problem.clusters).p_zero(k)


def mixed(problem: Problem) -> Adjusted:
    """Linear mixed model with a random intercept per site or scanner.

    Parameters
    ----------
    problem : Problem
        What to compare; needs `Problem.blocks`.

    Returns
    -------
    Adjusted
        ``extra`` holds ``icc``, the share of residual variance that lies between blocks; NaN where
        every block holds one subject, since the two variances cannot then be distinguished. Degrees
        of freedom are those within blocks, or those between them where every block holds only one
        of the groups.

    Notes
    -----
    The variances are statsmodels' (restricted maximum likelihood), the standard error is that of
    generalised least squares given them: statsmodels takes the covariance of the fixed effects
    from a numerical Hessian of all parameters, which is unreliable (or NaN) where the variance
    between blocks is estimated as 0.
    """
    if problem.clusters is not None:
        return Adjusted(note="subjects repeat: mixed would count them as independent")
    if problem.blocks is None or len(np.unique(problem.blocks)) < 2:
        return Adjusted(note="needs at least two sites or scanners")
    codes, levels = pd.factorize(problem.blocks)
    freedom = max(len(problem.y) - _design(problem).shape[1] - len(levels) + 1.0, 1.0)
    if pd.Series(problem.group).groupby(codes).nunique().max() == 1:  # no gap within any block
        freedom = len(levels) - 2.0
    if freedom < 1:
        return Adjusted(note="group and sites or scanners cannot be distinguished")
    scale = problem.y.std()
    if scale == 0:
        return Adjusted(gap=0.0, note="outcome does not vary")
    x = _design(problem)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # Methods on gradients end at a variance of 0 where whole sites differ much.
            fit = sm.MixedLM(problem.y / scale, x, groups=codes).fit(reml=True, method="powell")
        except (np.linalg.LinAlgError, ValueError) as error:
            return Adjusted(note=f"the mixed model could not be fitted ({error})")
    notes = []
    if len(levels) < 5:
        notes.append(f"only {len(levels)} blocks: their variance is hardly known")
    if not fit.converged:
        notes.append("the mixed model did not converge")
    elif any("boundary" in str(w.message).lower() for w in caught):
        notes.append("no variance between blocks")
    between = float(np.squeeze(fit.cov_re))
    ratio = max(between / float(fit.scale), 0.0)
    se = float(np.sqrt(fit.scale * _gls_covariance(x, codes, ratio)[1, 1]) * scale)
    icc = ratio / (1 + ratio)
    if len(levels) == len(problem.y):
        icc = float("nan")
        notes.append("one subject per block: the variance between blocks cannot be estimated")
    return adjusted(
        float(fit.fe_params[1] * scale), se, freedom, problem.alpha, "; ".join(notes), icc=icc
    )


def _gls_covariance(x: Floats, codes: NDArray[np.intp], ratio: float) -> Floats:
    """Covariance of fixed effects, relative to the residual variance, under random intercepts.

    ``inv(sum X_i' V_i^-1 X_i)`` with ``V_i = I + ratio 11'``, whose inverse is
    ``I - ratio / (1 + n_i ratio) 11'``.
    """
    n = np.bincount(codes).astype(float)
    totals = np.zeros((len(n), x.shape[1]))
    np.add.at(totals, codes, x)
    shrunk = totals * (ratio / (1 + n * ratio))[:, None]
    return np.asarray(np.linalg.pinv(x.T @ x - totals.T @ shrunk), dtype=np.float64)


def unadjusted(problem: Problem) -> Adjusted:
    """Difference of means of the same complete rows, for comparison.

    Parameters
    ----------
    problem : Problem
        What to compare; confounders are ignored.

    Returns
    -------
    Adjusted
        With robust errors.
    """
    design = problem.designs.raw
    fit = robust_fit(problem.y, design, problem.clusters)
    found = adjusted(float(fit.params[1]), _error(fit), fit.freedom_of(1), problem.alpha)
    return _not_skewed(problem, design, design.x[:, :1], found)


def change_by_confounders(problem: Problem) -> float:
    """Return the p value that linear models with and without confounders have the same gap.

    A Wald test of the difference of the two coefficients, whose variance comes from the difference
    of their influence functions on the same rows (summed by subject where subjects repeat).

    Parameters
    ----------
    problem : Problem
        What to compare.

    Returns
    -------
    float
        NaN without confounders.
    """
    full = _design(problem)
    n, k = full.shape
    if k == 2 or n <= k:
        return float("nan")
    parts, gaps = [], []
    for x in (full[:, :2], full):
        bread = np.linalg.pinv(x.T @ x)
        weights = bread @ (x.T @ problem.y)
        gaps.append(weights[1])
        parts.append((x @ bread[:, 1]) * (problem.y - x @ weights))
    influence = parts[1] - parts[0]
    if problem.clusters is not None:
        codes = pd.factorize(problem.clusters)[0]
        influence = np.bincount(codes, weights=influence).astype(np.float64)
    freedom = max(len(influence) - k, 1)
    se = float(np.sqrt((influence**2).sum() * len(influence) / freedom))
    if not se > 0:
        return float("nan")
    return float(2 * stats.t.sf(abs(gaps[1] - gaps[0]) / se, freedom))


#: Way of adjusting, by its name in the config.
METHODS: Mapping[str, Callable[[Problem], Adjusted]] = MappingProxyType(
    {
        "unadjusted": unadjusted,
        "regression": regression,
        "ancova": ancova,
        "standardisation": standardisation,
        "mixed": mixed,
        "matching": matching,
    }
)
