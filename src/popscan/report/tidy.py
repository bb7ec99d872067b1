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
    if len(values) > _MANY and pd.api.types.is_string_dtype(values.dtype):
        codes, different = pd.factorize(values, use_na_sentinel=False)  # few words, many rows
        found = pd.to_numeric(pd.Series(different), errors="coerce").to_numpy(dtype=float)[codes]
        numeric = pd.Series(found, index=values.index, name=values.name)
    else:
        numeric = pd.to_numeric(values, errors="coerce").astype(float)
    return numeric.where(np.isfinite(numeric))


def words(values: pd.Series, *, missing: str = "") -> pd.Series:
    """Return a column as stripped text; missing and empty cells become `missing`."""
    if len(values) > _MANY:  # the same few words again and again
        if _tidy(values):
            return values.copy()
        codes, different = pd.factorize(values, use_na_sentinel=False)
        text = _cells(pd.Series(different), missing)
        taken = pd.Series(text.to_numpy(dtype=object), dtype=str).array.take(codes)
        return pd.Series(taken, index=values.index, name=values.name)
    return _cells(values, missing)


def different(values: pd.Series) -> list[str]:
    """Return the different words of a column, in order of their first appearance."""
    return [str(word) for word in values.unique()]


def _tidy(values: pd.Series) -> bool:
    """Whether a column of text is what `words` would make of it already."""
    if not isinstance(values.dtype, pd.StringDtype) or values.isna().any():
        return False
    each = pd.Series(values.unique(), dtype=str)
    return bool((each.str.strip() == each).all() and not each.str.lower().isin(EMPTY).any())


def coded(values: pd.Series, *, missing: str = "") -> pd.Series:
    """Return a column as `words` does, as categories: few words in very many rows."""
    codes, different = pd.factorize(values, use_na_sentinel=False)
    text = _cells(pd.Series(different, dtype=object), missing)
    places, names = pd.factorize(text)
    made = pd.Categorical.from_codes(places.astype(np.int32)[codes], pd.Index(names, dtype=str))
    return pd.Series(made, index=values.index, name=values.name)


def _cells(values: pd.Series, missing: str) -> pd.Series:
    """Return cell after cell as `words` does; cells of very many rows never come here."""
    known = values.notna().to_numpy()
    text = [
        str(cell).strip() if there else ""
        for cell, there in zip(values.astype(object).to_numpy(), known, strict=True)
    ]
    shown = [missing if word.lower() in EMPTY else word for word in text]
    return pd.Series(shown, index=values.index, name=values.name, dtype=str)
