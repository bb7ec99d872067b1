"""Columns of tables as text."""

from __future__ import annotations

import pandas as pd

from popscan.cells import texts


def column_texts(column: pd.Series) -> list[str | None]:
    """Return a column as `popscan.cells.texts` does; words that recur are looked at once.

    Examples
    --------
    >>> column_texts(pd.Series([" a", None, "n/a", " a"]))
    ['a', None, None, 'a']
    """
    if pd.api.types.infer_dtype(column, skipna=True) not in ("string", "categorical"):
        return texts(column)
    codes, different = pd.factorize(column, use_na_sentinel=True)
    if any(isinstance(value, float) for value in different):
        return texts(column)
    known = [*texts(different), None]  # the last one stands for missing cells
    return [known[code] for code in codes.tolist()]
