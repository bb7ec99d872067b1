"""What every way of adjusting takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from popscan.stats.linear import Designs
from popscan.stats.means import Floats


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One comparison to adjust; complete rows only, full-rank design.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Outcome.
    group : ndarray of bool, shape (n,)
        True in the group, False in the reference.
    confounders : DataFrame, shape (n, k)
        Numeric columns without an intercept; may have none.
    binary
        Whether the outcome is 0 or 1.
    clusters : ndarray of int, shape (n,), optional
        Subject of each row where subjects repeat.
    blocks : ndarray, shape (n,), optional
        Site or scanner of each row, for the mixed model.
    alpha
        1 - confidence.
    shared
        Designs of the same rows and confounders, made for another outcome.
    """

    y: Floats
    group: NDArray[np.bool_]
    confounders: pd.DataFrame
    binary: bool = False
    clusters: NDArray[Any] | None = None
    blocks: NDArray[Any] | None = None
    alpha: float = 0.05
    shared: Designs | None = None

    @cached_property
    def designs(self) -> Designs:
        """Designs of the linear models."""
        return self.shared or Designs(self.group, self.confounders.to_numpy(dtype=float))


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """An adjusted difference, group minus reference.

    Attributes
    ----------
    gap, se, ci_low, ci_high, p
        NaN where the method cannot be used.
    note
        Why not, or with what caution to read it.
    extra
        Further numbers of the method (balance after matching, variance between sites ...).
    """

    gap: float = float("nan")
    se: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    p: float = float("nan")
    note: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)


def adjusted(
    gap: float, se: float, freedom: float, alpha: float, note: str = "", **extra: float
) -> Adjusted:
    """Make interval and p value from an estimate and its standard error.

    Parameters
    ----------
    gap, se : float
        Estimate and standard error.
    freedom : float
        Degrees of freedom of Student's t.
    alpha : float
        1 - confidence.
    note : str
        As in `Adjusted`.
    **extra : float
        As in `Adjusted`.

    Returns
    -------
    Adjusted
        Without interval if the standard error is 0 or NaN.
    """
    if not np.isfinite(se) or se <= 0:
        return Adjusted(gap=gap, note=note or "no spread", extra=extra)
    reach = stats.t.ppf(1 - alpha / 2, freedom) * se
    return Adjusted(
        gap=gap, se=se, ci_low=gap - reach, ci_high=gap + reach,
        p=float(2 * stats.t.sf(abs(gap / se), freedom)), note=note, extra=extra,
    )  # fmt: skip
