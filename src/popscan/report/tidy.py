"""Columns of a table as a section needs them: present, numbers, or stripped text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.cells import EMPTY

#: Columns of more cells are looked at word by word, not cell by cell.
_MANY = 10_000


def complete(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return `table` with every one of `columns`; those it lacks are filled with NaN."""
    missing = [column for column in columns if column not in table.columns]
    if not missing:
        return table
    return table.assign(**dict.fromkeys(missing, np.nan))


def numbers(values: pd.Series) -> pd.Series:
    """Return a column as floats: what is not a finite number becomes NaN."""
    numeric = pd.to_numeric(values, errors="coerce").astype(float)
    return numeric.where(np.isfinite(numeric))


def words(values: pd.Series, *, missing: str = "") -> pd.Series:
    """Return a column as stripped text; missing and empty cells become `missing`."""
    if len(values) > _MANY:  # the same few words again and again
        codes, different = pd.factorize(values, use_na_sentinel=False)
        text = _cells(pd.Series(different), missing).to_numpy(dtype=object)
        return pd.Series(text[codes], index=values.index, name=values.name, dtype=str)
    return _cells(values, missing)


def coded(values: pd.Series, *, missing: str = "") -> pd.Series:
    """Return a column as `words` does, as categories: few words in very many rows."""
    codes, different = pd.factorize(values, use_na_sentinel=False)
    text = _cells(pd.Series(different, dtype=object), missing)
    places, names = pd.factorize(text)
    made = pd.Categorical.from_codes(places.astype(np.int32)[codes], pd.Index(names, dtype=str))
    return pd.Series(made, index=values.index, name=values.name)


def _cells(values: pd.Series, missing: str) -> pd.Series:
    """Return cell after cell as `words` does."""
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    return text.mask(text.str.lower().isin(EMPTY), missing)
