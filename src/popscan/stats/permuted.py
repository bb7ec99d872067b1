"""Permutation of the residuals of a linear model, for small groups and skewed outcomes.

Student's t needs about ``25 * skewness**2`` values in the smaller group (Cochran 1977, section
2.15), whatever its degrees of freedom. A permutation takes the skewness from all residuals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.stats.compare import spreads_differ
from popscan.stats.linear import LeastSquares
from popscan.stats.means import Floats, rows_from_values

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
    null = y - without @ np.linalg.lstsq(without, y, rcond=None)[0]
    own = y - design.x @ fit.params
    rng = np.random.default_rng([len(y), int(design.x[:, place].sum())])
    observed = gap / error
    for draws in (_DRAWS, _MORE_DRAWS, min(_MOST_DRAWS, _MOST_WORK // len(y))):
        t = _draws(design, null, place, draws, rng)
        margin = 1e-9 * abs(observed)
        extreme = min(int((t >= observed - margin).sum()), int((t <= observed + margin).sum()))
        if extreme >= 10:
            break
    low, high = np.quantile(
        _draws(design, own, place, _DRAWS, rng), [alpha / 2, 1 - alpha / 2]
    ).tolist()
    inside = design.x[:, place] == 1
    sides = rows_from_values(own[inside]), rows_from_values(own[~inside])
    return Permuted(
        p=min(1.0, 2 * (1 + extreme) / (1 + len(t))),
        low=gap - high * error,
        high=gap - low * error,
        spreads_differ=spreads_differ(*sides),
    )


def _draws(
    design: LeastSquares, residuals: Floats, place: int, draws: int, rng: np.random.Generator
) -> Floats:
    """Draw the t statistic of a coefficient for permuted residuals."""
    block = max(1, _BLOCK // len(residuals))
    parts = [
        design.t_of(place, rng.permuted(np.tile(residuals, (min(block, draws - start), 1)), axis=1))
        for start in range(0, draws, block)
    ]
    t = np.concatenate(parts)
    return t[np.isfinite(t)]
