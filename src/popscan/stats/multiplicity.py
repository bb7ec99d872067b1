"""Correction of p values over a declared family of tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.stats.multitest import multipletests

from popscan.records import PopscanError
from popscan.stats.means import Floats

#: Name in the config -> name in statsmodels. Holm bounds the chance of any false finding, BH
#: (Benjamini and Hochberg) the share of false findings among all.
CORRECTIONS = {"holm": "holm", "bh": "fdr_bh", "by": "fdr_by", "none": None}


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
    name = CORRECTIONS[method]
    if name is None:
        return raw.copy()
    adjusted = np.full(raw.shape, np.nan)
    families = np.zeros(raw.shape) if family is None else pd.factorize(np.asarray(family))[0]
    for code in np.unique(families):
        members = (families == code) & np.isfinite(raw)
        if members.any():
            adjusted[members] = multipletests(raw[members], method=name)[1]
    return adjusted
