"""Text tables that a spreadsheet may open: no cell of a study is run as a formula."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.cells import WRITTEN

#: Characters that make a spreadsheet compute a cell; the wide ones count as these in some locales.
_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: Characters that a spreadsheet drops or splits at before it looks at the rest.
_SKIPPED = " \t\r\n\v\f\0\u00a0\ufeff\"'"
#: Put before such a cell; spreadsheets show what follows as text.
MARK = "'"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might compute a cell with this text; numbers are none.

    Examples
    --------
    >>> [is_formula(text) for text in ("=1+1", "@SUM(A1)", " +cmd", "-2+3", "-3.5", "+1e3", "-")]
    [True, True, True, True, False, False, False]
    """
    if text[:1] in ("\t", "\r"):
        return True
    inner = text.lstrip(_SKIPPED)
    if not inner.startswith(_STARTS) or text.startswith(MARK):
        return False
    return not (_is_number(inner) or set(inner.strip()) == {"-"})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def marked(value: object) -> object:
    """Mark what may be a formula; a carriage return, which would end the row, is a line break."""
    if not isinstance(value, str):
        return value
    if is_formula(value):
        value = MARK + value
    return value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value


def tsv_text(table: pd.DataFrame) -> str:
    """Return a table as TSV: text that starts like a formula has ``'`` before it, numbers none.

    Column names are treated as cells. Without the mark it is the same text.
    """
    safe = table.copy(deep=False)
    for position, (_, column) in enumerate(table.items()):
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            continue
        values = column.astype(object)
        cells = [marked(value) for value in values]
        if any(new is not old for new, old in zip(cells, values, strict=True)):
            safe.isetitem(position, np.array([*cells, None], dtype=object)[:-1])
    safe.columns = [marked(name) for name in table.columns]
    return str(safe.to_csv(sep="\t", index=False, na_rep=WRITTEN, lineterminator="\n"))
