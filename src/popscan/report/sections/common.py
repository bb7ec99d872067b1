"""What several sections need: options, cells of counts, tables of whole frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from popscan.report.blocks import Cell, Column, Table
from popscan.report.context import StudyContext
from popscan.report.text import count, number, percent, plural, shorten, title_of
from popscan.report.tidy import numbers, words
from popscan.report.units import attribute_by_unit
from popscan.stats.disclosure import HIDDEN, SHOWN, Looks, protect

#: Stands for a count that would help to work out a small one.
CONCEALED = "hidden"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a report is rendered.

    Attributes
    ----------
    share
        Without identifiers, messages, pictures of persons and small cells.
    minimum
        Smallest count that a shared report shows.
    rounding
        Base to which a shared report rounds counts.
    max_thumbnails, max_rows
        Most thumbnails, and most rows of a table of subjects.
    alpha
        Level of the audit's tests; 1 - confidence of its intervals.
    links
        Unit -> page of those who have one; points of plots open it.
    """

    share: bool = False
    minimum: int = 5
    rounding: int = 5
    max_thumbnails: int = 24
    max_rows: int = 300
    alpha: float = 0.05
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def interval(self) -> str:
        """Name of the audit's intervals, e.g. ``95% interval``."""
        return f"{100 * (1 - self.alpha):g}% interval"

    def count(self, n: float) -> str:
        """Write a count of people.

        In a shared report it is rounded to a multiple of `rounding`, so that no small count can be
        had by subtracting shown ones; smaller counts than `minimum` are only shown as such.
        """
        if not self.share or not np.isfinite(n) or n == 0:
            return count(n)
        if n < self.minimum:
            return f"< {self.minimum}"
        return count(self.rounded(n))

    def rounded(self, n: float) -> float:
        """Return a count as shown: to the nearest multiple of `rounding` in a shared report."""
        if not self.share or n == 0:
            return n
        return max(self.rounding * round(n / self.rounding), self.rounding)

    def percent(self, part: float, whole: float) -> str:
        """Write a share of people; of rounded counts in a shared report, empty for small parts."""
        if self.share and (0 < part < self.minimum or 0 < whole - part < self.minimum):
            return ""
        return percent(self.rounded(part), self.rounded(whole))

    def plural(self, n: int, noun: str) -> str:
        """Write a count of people with its noun."""
        return f"{self.count(n)} {noun}s" if self.share and n else plural(n, noun)


def count_cells(
    counts: Sequence[float],
    options: Options,
    *,
    of: float | None = None,
    tones: Sequence[str] | None = None,
) -> list[Cell]:
    """Return one cell per count of a row.

    With `of`, the share of this whole is written behind each count. `tones` colour counts above 0.
    A cell sorts by what it shows: hidden counts all alike.
    """
    cells = []
    for i, n in enumerate(counts):
        share = options.percent(n, of) if of and n else ""
        text = options.count(n) + (f" ({share})" if share else "")
        tone = tones[i] if tones and n else ""
        sort = 0.0 if small(n, options) else options.rounded(n)
        cells.append(Cell(text=text, sort=sort, tone=tone))
    return cells


def count_rows(
    counts: ArrayLike,
    options: Options,
    *,
    total_column: bool = True,
    total_row: bool = False,
    of: Sequence[float] | None = None,
    tones: Sequence[str] | None = None,
) -> list[list[Cell]]:
    """Return the cells of a table of counts with its margins.

    In a shared report, cells that would help to work out a small one are ``hidden`` too.

    Parameters
    ----------
    counts : array, shape (rows, columns)
        Exact.
    options
        Of the report.
    total_column, total_row
        Whether the last column (row) is the sum of the others.
    of
        Whole of every column; the share of it is written behind each count.
    tones
        Colour of every column's counts above 0.
    """
    values = np.asarray(counts, dtype=float)
    looks = cell_looks(values, options, total_column=total_column, total_row=total_row)
    rows = []
    for numbers_of_row, looks_of_row in zip(values.tolist(), looks.tolist(), strict=True):
        cells = []
        for i, (n, look) in enumerate(zip(numbers_of_row, looks_of_row, strict=True)):
            tone = tones[i] if tones and n else ""
            if look == HIDDEN:
                cells.append(Cell(text=CONCEALED, sort=0.0, tone=tone))
                continue
            whole = of[i] if of is not None else None
            cells += count_cells([n], options, of=whole, tones=[tone])
        rows.append(cells)
    return rows


def cell_looks(
    counts: ArrayLike, options: Options, *, total_column: bool = True, total_row: bool = False
) -> Looks:
    """Return how every cell of a table of counts is shown; all as they are unless shared."""
    values = np.asarray(counts, dtype=float)
    if not options.share:
        return np.full(values.shape, SHOWN)
    return protect(
        values,
        minimum=options.minimum,
        base=options.rounding,
        total_column=total_column,
        total_row=total_row,
    )


def small(n: float, options: Options) -> bool:
    """Say whether statistics of `n` people must not be shown."""
    return options.share and n < options.minimum


def groups_by_sex(context: StudyContext, units: pd.Series) -> pd.Series:
    """Return the sex of every row of a table with `units`; ``all`` without a sex column."""
    sex = attribute_by_unit(context, "sex")
    if not len(sex):
        return pd.Series("all", index=units.index, dtype=object)
    found = words(units).map(sex).astype(object)
    return found.where(found.notna(), "unknown").replace("missing", "unknown").astype(str)


def order_sexes(sexes: Sequence[str]) -> list[str]:
    """Return the groups with female, male first and unknown last."""
    rank = {"female": 0, "male": 1, "unknown": 3}
    return sorted(set(sexes), key=lambda s: (rank.get(s, 2), s))


def split(values: pd.Series, groups: pd.Series) -> dict[str, NDArray[np.float64]]:
    """Return the finite numbers of a column by group, groups in order of `order_sexes`."""
    numeric = numbers(values)
    return {
        group: numeric[(groups == group) & numeric.notna()].to_numpy(dtype=float)
        for group in order_sexes(list(groups.unique()))
    }


def split_units(values: pd.Series, groups: pd.Series, units: pd.Series) -> dict[str, list[str]]:
    """Return the units of the numbers that `split` returns, in the same order."""
    known = numbers(values).notna()
    names = words(units)
    return {
        group: names[(groups == group) & known].tolist()
        for group in order_sexes(list(groups.unique()))
    }


def header(*titles: str, numeric_from: int = 1) -> list[Column]:
    """Return columns with these titles; from `numeric_from` on they hold numbers."""
    return [Column(title=t, numeric=i >= numeric_from) for i, t in enumerate(titles)]


def frame_table(frame: pd.DataFrame, *, caption: str, max_rows: int = 300) -> Table:
    """Return a whole frame as a table: counts whole, numbers with 3 digits, texts as they are."""
    shown = frame.head(max_rows)
    columns = [
        Column(title=title_of(str(c)), numeric=pd.api.types.is_numeric_dtype(frame[c]), hint=str(c))
        for c in frame.columns
    ]
    rows = []
    for values in shown.itertuples(index=False):
        cells = []
        for value, column in zip(values, columns, strict=True):
            if column.numeric and not isinstance(value, bool | np.bool_):
                whole = isinstance(value, int | np.integer)
                cells.append(Cell(text=f"{value:,}" if whole else number(value)))
            else:
                cells.append(Cell(text="–" if pd.isna(value) else shorten(str(value))))
        rows.append(cells)
    left = len(frame) - len(shown)
    note = f"{left:,} more rows are in the study's tables." if left else ""
    return Table(caption=caption, columns=columns, rows=rows, note=note)
