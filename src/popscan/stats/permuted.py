"""Permutation of the residuals of a linear model, for small groups and skewed outcomes.

Student's t needs about ``25 * skewness**2`` values in the smaller group (Cochran 1977, section
2.15), whatever its degrees of freedom. A permutation takes the skewness from all residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from popscan.stats.compare import spreads_differ
from popscan.stats.linear import LeastSquares
from popscan.stats.means import Floats, rows_from_values
from popscan.stats.problem import Adjusted

_DRAWS, _MORE_DRAWS, _MOST_DRAWS = 1999, 19_999, 99_999
#: Most values that are drawn for one small p.
_MOST_WORK = 40_000_000
#: Rows beyond which nothing is permuted: 2,000 draws of 1,000 rows take a tenth of a second.
_MOST_ROWS = 1000
#: Smaller groups of more rows are large enough.
_LARGE = 200
_BLOCK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Permuted:
    """Test and interval of one coefficient.

    Attributes
    ----------
    p
        Two-sided.
    low, high
        Limits of the interval.
    spreads_differ
        Whether the groups clearly scatter differently: a permutation alone may find too much.
    """

    p: float
    low: float
    high: float
    spreads_differ: bool


def is_skewed(residuals: Floats, group: NDArray[np.bool_]) -> bool:
    """Whether Student's t cannot be trusted for residuals of this skewness and the smaller group.

    Parameters
    ----------
    residuals : ndarray, shape (n,)
        Of a model with an intercept.
    group : ndarray of bool, shape (n,)
        True in the group.

    Returns
    -------
    bool
        Never true above 1,000 rows, where a permutation would take too long, or 200 in the
        smaller group.
    """
    spread = float(residuals.std())
    if len(residuals) > _MOST_ROWS or not spread > 0:
        return False
    skewness = float((residuals**3).mean() / spread**3)
    return bool(min(group.sum(), (~group).sum()) <= min(25 * skewness**2, _LARGE))


def permuted_gap(
    design: LeastSquares, without: Floats, y: Floats, *, place: int, alpha: float
) -> Permuted:
    """Test a coefficient by permuting residuals under its t statistic with HC3 errors.

    The test permutes the residuals of the model without the coefficient (Freedman and Lane 1983,
    J. Bus. Econ. Stat. 1), the interval those of the whole model. By the t statistic both are right
    in large samples also where spreads differ (DiCiccio and Romano 2017, J. Am. Stat. Assoc. 112).

    Parameters
    ----------
    design
        The whole model; full rank, and no row is fitted exactly.
    without : ndarray, shape (n, k - 1)
        Its columns but the coefficient's.
    y : ndarray, shape (n,)
        Outcome.
    place
        The coefficient's column, of zeros and ones.
    alpha
        1 - confidence.

    Returns
    -------
    Permuted
        The p value is twice the smaller tail, each ``(1 + as extreme) / (1 + draws)``, at most 1.
        The same whatever the order of rows and the study's seed. Close to the level, test and
        interval can disagree, since they permute different residuals.
    """
    order = np.lexsort((y, *design.x.T))
    design, without, y = LeastSquares(design.x[order]), without[order], y[order]
    fit = design.fit(y)
    gap, error = float(fit.params[place]), float(np.sqrt(fit.covariance[place, place]))
    return permuted_statistic(
        lambda outcomes: design.t_of(place, outcomes),
        estimate=(gap, error),
        residuals=(residuals_of(without, y), y - design.x @ fit.params),
        group=design.x[:, place] == 1,
        alpha=alpha,
    )


def not_below(found: Adjusted, own: Permuted) -> Adjusted:
    """Return an estimate with the permuted test, or the more careful of both if spreads differ.

    Parameters
    ----------
    found
        By Student's t.
    own
        The same by permutation.
    """
    p, low, high = own.p, own.low, own.high
    if own.spreads_differ:
        p, low, high = max(p, found.p), min(low, found.ci_low), max(high, found.ci_high)
    return replace(found, p=p, ci_low=low, ci_high=high)


def residuals_of(x: Floats, y: Floats) -> Floats:
    """Return what a linear model leaves of an outcome.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Design.
    y : ndarray, shape (n,)
        Outcome.
    """
    return np.asarray(y - x @ np.linalg.lstsq(x, y, rcond=None)[0], dtype=np.float64)


def permuted_statistic(
    t_of: Callable[[Floats], Floats],
    *,
    estimate: tuple[float, float],
    residuals: tuple[Floats, Floats],
    group: NDArray[np.bool_],
    alpha: float,
) -> Permuted:
    """Test an estimate by the distribution of its t statistic over permuted residuals.

    Parameters
    ----------
    t_of
        Outcomes, shape (draws, n), to the estimate over its error in each, shape (draws,).
    estimate
        What was found, and its error.
    residuals
        Of the model without a gap, for the test; of the whole model, for the interval. Rows in an
        order that the numbers alone decide.
    group : ndarray of bool, shape (n,)
        Who is in the group.
    alpha
        1 - confidence.

    Returns
    -------
    Permuted
        As `permuted_gap` describes it.
    """
    null, own = residuals
    gap, error = estimate
    rng = np.random.default_rng([len(own), int(group.sum())])
    observed = gap / error
    for draws in (_DRAWS, _MORE_DRAWS, min(_MOST_DRAWS, _MOST_WORK // len(own))):
        t = _draws(t_of, null, draws, rng)
        margin = 1e-9 * abs(observed)
        extreme = min(int((t >= observed - margin).sum()), int((t <= observed + margin).sum()))
        if extreme >= 10:
            break
    low, high = np.quantile(_draws(t_of, own, _DRAWS, rng), [alpha / 2, 1 - alpha / 2]).tolist()
    sides = rows_from_values(own[group]), rows_from_values(own[~group])
    return Permuted(
        p=min(1.0, 2 * (1 + extreme) / (1 + len(t))),
        low=gap - high * error,
        high=gap - low * error,
        spreads_differ=spreads_differ(*sides),
    )


def _draws(
    t_of: Callable[[Floats], Floats], residuals: Floats, draws: int, rng: np.random.Generator
) -> Floats:
    """Draw the t statistic of permuted residuals."""
    block = max(1, _BLOCK // len(residuals))
    parts = [
        t_of(rng.permuted(np.tile(residuals, (min(block, draws - start), 1)), axis=1))
        for start in range(0, draws, block)
    ]
    t = np.concatenate(parts)
    return t[np.isfinite(t)]
