"""From a table to a design matrix whose every column can be explained in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from popscan.cells import is_recorded
from popscan.stats.codes import few_whole_numbers
from popscan.stats.texts import column_texts

#: End of a column's name -> unit for people. The longest ending that fits counts.
UNITS = {
    "_ml_m2": "mL/m²", "_g_m2": "g/m²", "_kg_m2": "kg/m²", "_l_min": "L/min",
    "_l_min_m2": "L/min/m²", "_mm3": "mm³", "_ml": "mL", "_pct": "%", "_g": "g", "_bpm": "bpm",
    "_mm": "mm", "_cm": "cm", "_kg": "kg", "_m2": "m²", "_ms": "ms", "_years": "years",
    "_ml_s": "mL/s", "_ml_s_m2": "mL/s/m²", "_per_s": "1/s",
    "_mmhg": "mmHg", "_db": "dB", "_nats": "nats",
}  # fmt: skip

#: Level of those that are too rare.
_MERGED = "other"


def unit_of(column: str) -> str:
    """Return the unit that a column's name carries; empty if it carries none.

    Parameters
    ----------
    column : str
        Column name such as ``brain_ml``.

    Returns
    -------
    str
        Unit for people, e.g. ``mL``.

    Examples
    --------
    >>> unit_of("brain_ml_m2"), unit_of("sex")
    ('mL/m²', '')
    """
    fitting = [ending for ending in UNITS if column.lower().endswith(ending)]
    return UNITS[max(fitting, key=len)] if fitting else ""


@dataclass(kw_only=True)
class Design:
    """Design of one regression, after removal of what cannot be estimated.

    Attributes
    ----------
    matrix : DataFrame
        Columns named by term (``sex[male vs female]``), first ``intercept``; complete rows only.
    sources
        Column -> table column that it came from.
    dropped
        Term -> why it has no estimate.
    notes
        Term -> caution about an estimate that exists.
    missing
        Table column -> rows without a value in it.
    general
        What holds for all terms.
    """

    matrix: pd.DataFrame
    sources: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    general: list[str] = field(default_factory=list)

    @property
    def used(self) -> list[str]:
        """Table columns that are adjusted for: in the matrix, or combinations of what is in it."""
        return list(dict.fromkeys(self.sources.values()))


def clean(column: pd.Series, *, categorical: bool) -> pd.Series:
    """Return numbers as float and categories as text, with NaN for what was not recorded.

    Parameters
    ----------
    column : Series
        As read from the cohort table.
    categorical : bool
        Whether the values are categories.

    Returns
    -------
    Series
        Infinite numbers and words for "not recorded" become NaN.
    """
    if not categorical:
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
        return numbers.where(np.isfinite(numbers))
    # No map upon map: pandas 3 hands None of the first as NaN to the second.
    return pd.Series(column_texts(column), index=column.index, name=column.name, dtype=object)


def is_categorical(column: pd.Series) -> bool:
    """Whether a column holds words or yes/no rather than numbers.

    Parameters
    ----------
    column : Series
        As read from the cohort table.

    Returns
    -------
    bool
        True for text, also if it is all numbers: readers make numbers of what is a quantity, and
        leave codes of categories as text.
    """
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(column):
        return True
    if pd.api.types.is_numeric_dtype(column):
        return False
    return any(map(is_recorded, column))


def build(
    table: pd.DataFrame,
    *,
    terms: Sequence[str],
    categorical: Sequence[str],
    complete: pd.Series,
    min_level: int = 5,
) -> Design:
    """Build the design of the rows that are complete in all usable terms.

    Parameters
    ----------
    table : DataFrame
        One row per unit.
    terms : sequence of str
        Columns to enter; an absent one is dropped with a reason.
    categorical : sequence of str
        Those among them that are categories, besides columns of words.
    complete : Series of bool
        Rows to consider (the outcome is known).
    min_level : int
        Levels with fewer rows are merged as ``other``; if still fewer, their rows are left out.

    Returns
    -------
    Design
        The level of a category that is the most frequent in the whole table, before rare ones are
        merged, is its reference (the first by name among equals; never ``other``), so that it is
        the same for all outcomes. Where an outcome's rows have too few of it, the next most
        frequent level is the reference, and a note of each of the category's terms says so.
    """
    design = Design(matrix=pd.DataFrame(index=table.index))
    columns: dict[str, pd.Series] = {}
    for term in terms:
        if term not in table:
            design.dropped[term] = "column is not in the table"
            continue
        words = term in categorical or is_categorical(table[term])
        values = clean(table[term], categorical=words)
        design.missing[term] = int((values.isna() & complete).sum())
        if values[complete].notna().any():
            columns[term] = values
        else:
            design.dropped[term] = "no subject has a value"
    keep = complete.copy()
    for values in columns.values():
        keep &= values.notna()
    whole = dict(columns)
    for term, values in whole.items():
        if not pd.api.types.is_numeric_dtype(values):
            columns[term], left_out = _merge_rare(values, keep, min_level, design)
            keep &= ~left_out
    blocks = [pd.Series(1.0, index=table.index[keep], name="intercept")]
    for term, values in columns.items():
        blocks.extend(_columns(term, values[keep], design, everyone=whole[term]))
    design.matrix = pd.concat(blocks, axis=1)
    _drop_dependent(design)
    return design


def _merge_rare(
    values: pd.Series, keep: pd.Series, min_level: int, design: Design
) -> tuple[pd.Series, pd.Series]:
    """Merge levels too rare to have a coefficient; returns the rows to leave out."""
    counts = values[keep].value_counts()
    rare = set(counts.index[counts < min_level])
    nobody = pd.Series(False, index=values.index)
    if not rare:
        return values, nobody
    merged = values.map(lambda level: _MERGED if level in rare else level)
    listed = ", ".join(sorted(map(str, rare)))
    if (merged[keep] == _MERGED).sum() >= min_level:
        design.general.append(
            f"{values.name}: levels under {min_level} merged as {_MERGED} ({listed})"
        )
        return merged, nobody
    design.general.append(f"{values.name}: left out for fewer than {min_level} ({listed})")
    return values, values.isin(rare)


def _columns(
    term: str, values: pd.Series, design: Design, *, everyone: pd.Series
) -> list[pd.Series]:
    """Columns of one term; a term that does not vary is dropped with a reason."""
    if values.nunique() < 2:
        shown = "no value" if values.empty else f"only {values.iloc[0]!s}"
        design.dropped[term] = f"does not vary ({shown})"
        return []
    if pd.api.types.is_numeric_dtype(values):
        design.sources[term] = term
        if few_whole_numbers(values):
            design.notes[term] = "few different whole numbers are used as a quantity"
        return [values.rename(term)]
    levels = sorted(values.unique())
    reference, doubt = _reference(term, levels, everyone)
    found = []
    for level in levels:
        if level != reference:
            name = f"{term}[{level} vs {reference}]"
            design.sources[name] = term
            if doubt:
                design.notes[name] = doubt
            found.append((values == level).astype(float).rename(name))
    return found


def _reference(term: str, levels: Sequence[str], everyone: pd.Series) -> tuple[str, str]:
    """Return the reference among two or more levels, and why it is not that of the whole table."""
    counts = everyone[everyone != _MERGED].value_counts()
    usual = sorted(counts.index, key=lambda level: (-counts[level], level))
    reference = next(level for level in usual if level in levels)
    if reference == usual[0]:
        return reference, ""
    return reference, (
        f"reference of {term} is {reference}: of {usual[0]}, the most frequent in the table, there "
        "are too few rows here"
    )


def _drop_dependent(design: Design) -> None:
    """Drop columns that are linear combinations of earlier ones, and say of which."""
    matrix = design.matrix
    if matrix.empty:
        return
    centre = matrix - matrix.mean()
    scale = centre.std(ddof=0).where(lambda s: s > 0, 1.0)
    standard = centre / scale
    kept: list[str] = ["intercept"]
    for name in matrix.columns[1:]:
        others = [k for k in kept if k != "intercept"]
        column = standard[name].to_numpy()
        if others:
            basis = standard[others].to_numpy()
            weights, *_ = np.linalg.lstsq(basis, column, rcond=None)
            residual = column - basis @ weights
            if np.sqrt((residual**2).mean()) < 1e-7:
                partners = [o for o, w in zip(others, weights, strict=True) if abs(w) > 1e-6]
                design.dropped[name] = f"collinear with {', '.join(partners)}"
                for partner in partners:
                    cautions = [
                        design.notes.get(partner, ""),
                        f"cannot be distinguished from {name}",
                    ]
                    design.notes[partner] = "; ".join(filter(None, cautions))
                continue
        kept.append(name)
    design.matrix = matrix[kept]
