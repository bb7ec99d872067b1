"""Hidden counts of a release, attacked with everything else that is published.

Counts are published rounded to a base, small ones not at all. Totals, margins and other groups
still bound what is hidden. `Release` holds every count with the range that the publication gives it
and the sums that hold between counts; its `ranges` are what an attacker can work out, by linear
programming. `protect` hides further cells of a table until no small count can be worked out:
primary and complementary suppression with an audit (Hundepool et al. 2012, Statistical Disclosure
Control, chapter 4; Fischetti and Salazar-González 2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

#: A hidden count is worked out if the range that is left of it is not wider than this.
WIDTH = 2

Range = tuple[float, float]
Looks = NDArray[np.int_]
#: How a cell is shown: as a rounded count, as below the smallest one, or not at all.
SHOWN, SMALL, HIDDEN = 0, 1, 2


def shown_range(n: float, *, minimum: int, base: int) -> Range:
    """Return the counts that look the same as `n` in a release.

    Parameters
    ----------
    n
        A count.
    minimum
        Counts of 1 to `minimum` - 1 are shown as small.
    base
        Others are rounded to its multiples, never to 0.

    Returns
    -------
    low, high
        Smallest and largest such count; 0 is shown as it is.

    Examples
    --------
    >>> [shown_range(n, minimum=5, base=5) for n in (0, 3, 6, 9)]
    [(0.0, 0.0), (1.0, 4.0), (5.0, 7.0), (8.0, 12.0)]

    Halves go to the even multiple, so that of an even base some ranges are shorter than others:

    >>> [shown_range(n, minimum=5, base=2) for n in (6, 7, 9, 10)]
    [(6.0, 6.0), (7.0, 9.0), (7.0, 9.0), (10.0, 10.0)]
    """
    if n <= 0:
        return 0.0, 0.0
    if n < minimum:
        return 1.0, float(minimum - 1)
    shown = _shown(n, base)
    near = range(max(minimum, int(shown) - base), int(shown) + base + 1)
    same = [m for m in near if _shown(m, base) == shown]
    return float(same[0]), float(same[-1])


def _shown(n: float, base: int) -> int:
    return max(base * round(n / base), base)


@dataclass
class Release:
    """Counts of a publication, the range in which each is known to lie, and sums that hold.

    Attributes
    ----------
    known
        Count -> range that the publication gives.
    sums
        Count, and counts that add up to it.
    """

    known: dict[Hashable, Range] = field(default_factory=dict)
    sums: list[tuple[Hashable, tuple[Hashable, ...]]] = field(default_factory=list)

    def publish(self, key: Hashable, known: Range = (0.0, math.inf)) -> None:
        """Add a count; of one that is hidden only that it is not negative is known."""
        before = self.known.get(key, (0.0, math.inf))
        self.known[key] = (max(before[0], known[0]), min(before[1], known[1]))

    def add_sum(self, whole: Hashable, parts: Iterable[Hashable]) -> None:
        """Say that counts add up to another."""
        self.sums.append((whole, tuple(parts)))

    def ranges(self, keys: Iterable[Hashable]) -> dict[Hashable, Range]:
        """Return what can be worked out of counts: the smallest and largest possible value."""
        wanted = list(keys)
        names = list(self.known)
        place = {name: i for i, name in enumerate(names)}
        matrix = np.zeros((len(self.sums), len(names)))
        for row, (whole, parts) in enumerate(self.sums):
            matrix[row, place[whole]] = -1.0
            for part in parts:
                matrix[row, place[part]] += 1.0
        bounds = [self.known[name] for name in names]
        found = {}
        for key in wanted:
            if not matrix[:, place[key]].any():
                found[key] = self.known[key]
                continue
            cost = np.zeros(len(names))
            cost[place[key]] = 1.0
            found[key] = (_extreme(cost, matrix, bounds), -_extreme(-cost, matrix, bounds))
        return found


def _extreme(cost: NDArray[np.float64], matrix: NDArray[np.float64], bounds: list[Range]) -> float:
    """Smallest value of a linear form over what is possible, at whole numbers."""
    result = linprog(cost, A_eq=matrix, b_eq=np.zeros(len(matrix)), bounds=bounds, method="highs")
    if result.status == 3:  # unbounded
        return -math.inf
    return float(math.ceil(result.fun - 1e-6)) if result.status == 0 else -math.inf


def is_disclosed(known: Range, *, minimum: int) -> bool:
    """Say whether a range gives a hidden count away.

    Parameters
    ----------
    known
        What can be worked out of a count between 1 and `minimum` - 1, or of an unknown one.
    minimum
        As in `shown_range`. Where so few counts are hidden that saying so leaves a range of `WIDTH`
        or less, any narrower range gives the count away.
    """
    return known[1] >= 1 and known[1] - known[0] <= min(WIDTH, minimum - 3)


def protect(
    counts: ArrayLike,
    *,
    minimum: int,
    base: int,
    total_column: bool = True,
    total_row: bool = False,
) -> Looks:
    """Choose how the cells of a table of counts are shown.

    Parameters
    ----------
    counts : array, shape (rows, columns)
        Non-negative.
    minimum, base
        As in `shown_range`.
    total_column, total_row
        Whether the last column (row) is the sum of the others.

    Returns
    -------
    ndarray of int, shape (rows, columns)
        `SHOWN` (rounded), `SMALL` (given as below `minimum`), or `HIDDEN`, where either would
        help to work out a small count.
    """
    values = np.asarray(counts, dtype=np.float64)
    small = (values > 0) & (values < minimum)
    looks = np.where(small, SMALL, SHOWN)
    totals = (total_column, total_row)
    while True:
        cells = [(int(r), int(c)) for r, c in np.argwhere(small)]
        if not cells:
            return looks
        left = _table(values, looks, minimum, base, totals).ranges(cells)
        given = [cell for cell in cells if is_disclosed(left[cell], minimum=minimum)]
        cell = _next_to_hide(given[0], values, looks, totals) if given else None
        if cell is None:
            return looks
        looks[cell] = HIDDEN


def _next_to_hide(
    given: tuple[int, int], values: NDArray[np.float64], looks: Looks, totals: tuple[bool, bool]
) -> tuple[int, int] | None:
    """Cell whose hiding widens what is left of the given one; None if all are hidden."""
    inner = np.zeros(looks.shape, dtype=bool)
    inner[: looks.shape[0] - totals[1], : looks.shape[1] - totals[0]] = True
    line = np.zeros_like(inner)
    line[given[0], :] = totals[0]
    line[:, given[1]] |= totals[1]
    is_open = (looks == SHOWN) & (values > 0)
    marked = looks == SMALL
    for chosen in (line & inner & is_open, line & is_open, line & ~inner & marked, line & marked,
                   is_open, marked):  # fmt: skip
        if chosen.any():
            row, column = divmod(int(np.where(chosen, values, np.inf).argmin()), values.shape[1])
            return row, column
    return None


def _table(
    values: NDArray[np.float64], looks: Looks, minimum: int, base: int, totals: tuple[bool, bool]
) -> Release:
    """Publication of a table with its margins."""
    release = Release()
    rows, columns = values.shape
    for cell in np.ndindex(rows, columns):
        known = shown_range(float(values[cell]), minimum=minimum, base=base)
        release.publish(cell, known if looks[cell] != HIDDEN else (0.0, math.inf))
    if totals[0]:
        for row in range(rows):
            release.add_sum((row, columns - 1), [(row, c) for c in range(columns - 1)])
    if totals[1]:
        for column in range(columns):
            release.add_sum((rows - 1, column), [(r, column) for r in range(rows - 1)])
    return release


Row = TypeVar("Row", bound=Hashable)
Count = TypeVar("Count", bound=Hashable)


def hide_until_safe(
    build: Callable[[set[Row]], Release],
    small: Callable[[set[Row]], Sequence[tuple[Count, Sequence[Row]]]],
    *,
    minimum: int,
) -> tuple[set[Row], set[Count]]:
    """Hide rows until no small count of a release can be worked out.

    Parameters
    ----------
    build
        From the rows that are hidden to what is published.
    small
        From the rows that are hidden to the small counts, each with the rows that may be hidden to
        protect it, the best first.
    minimum
        As in `shown_range`.

    Returns
    -------
    hidden : set
        The rows to hide.
    given : set
        Small counts that can be worked out even so, from what is published beside the rows.
    """
    hidden: set[Row] = set()
    while True:
        listed = dict(small(hidden))
        known = build(hidden).ranges(listed)
        given = [key for key in listed if is_disclosed(known[key], minimum=minimum)]
        more = {next(iter(rest)) for key in given if (rest := _open(listed[key], hidden))}
        if not more:
            return hidden, set(given)
        hidden |= more


def _open(rows: Sequence[Row], hidden: set[Row]) -> list[Row]:
    """Rows that are not hidden yet."""
    return [row for row in rows if row not in hidden]
