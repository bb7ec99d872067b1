"""Correction of p values over a declared family of tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.stats.multitest import fdrcorrection

from popscan.records import PopscanError
from popscan.stats.means import Floats


def holm(p: Floats) -> Floats:
    """Correct p values by Holm's step-down method.

    Parameters
    ----------
    p : ndarray, shape (n,)
        Finite p values.

    Examples
    --------
    >>> holm(np.array([0.01, 0.5, 0.04, 0.9])).tolist()
    [0.04, 1.0, 0.12, 1.0]
    """
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


#: Name in the config -> correction of one family. Holm bounds the chance of any false finding, BH
#: (Benjamini and Hochberg) the share of false findings among all. Not statsmodels' `multipletests`,
#: which collects all garbage of the process at every call.
CORRECTIONS: dict[str, Callable[[Floats], Floats] | None] = {
    "holm": holm,
    "bh": lambda p: np.asarray(fdrcorrection(p, method="indep")[1]),
    "by": lambda p: np.asarray(fdrcorrection(p, method="negcorr")[1]),
    "none": None,
}


def adjust(p: ArrayLike, *, method: str = "holm", family: ArrayLike | None = None) -> Floats:
    """Correct p values within each family; NaN (no test made) stay NaN and do not count.

    Parameters
    ----------
    p : array, shape (n,)
        Raw p values.
    method : str
        A key of `CORRECTIONS`.
    family : array, shape (n,), optional
        Name of the family of each test; None is one family.

    Returns
    -------
    ndarray, shape (n,)
        Adjusted p values.

    Raises
    ------
    PopscanError
        If the method is unknown.
    """
    if method not in CORRECTIONS:
        raise PopscanError(f"correction {method!r} is not known: use one of {sorted(CORRECTIONS)}")
    raw = np.asarray(p, dtype=np.float64)
    correct = CORRECTIONS[method]
    if correct is None:
        return raw.copy()
    adjusted = np.full(raw.shape, np.nan)
    families = np.zeros(raw.shape) if family is None else pd.factorize(np.asarray(family))[0]
    for code in np.unique(families):
        members = (families == code) & np.isfinite(raw)
        if members.any():
            adjusted[members] = correct(raw[members])
    return adjusted
