"""Groups of units by attribute, and outcomes as a matrix of units by outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.records import PopscanError
from popscan.stats.crossed import TIMES, crossed_names
from popscan.stats.means import Floats
from popscan.stats.texts import column_texts

#: Name of the group of those whose attribute was not recorded.
MISSING = "missing"
#: Which way an outcome is good.
DIRECTIONS = ("higher", "lower", "neither")


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Units split by one attribute or one intersection.

    Attributes
    ----------
    attribute
        Its name; an intersection is ``sex x race``.
    names
        Group names by code, in order of first appearance (so that renaming a group moves nothing).
    parts
        The groups that each group is made of, one by attribute; only itself if nothing is crossed.
        A name may hold " & " without being crossed, so that names are never split.
    codes : ndarray of int, shape (units,)
        Group of each unit.
    """

    attribute: str
    names: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    codes: NDArray[np.intp]

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Units per group."""
        return np.bincount(self.codes, minlength=len(self.names))

    @property
    def unrecorded(self) -> tuple[bool, ...]:
        """Whether an attribute was not recorded, by group."""
        return tuple(MISSING in groups for groups in self.parts)

    @cached_property
    def members(self) -> tuple[NDArray[np.intp], ...]:
        """Places of the units of each group, in order."""
        return tuple(np.flatnonzero(self.codes == code) for code in range(len(self.names)))


@dataclass(frozen=True, kw_only=True)
class OutcomeMatrix:
    """Outcomes of all units.

    Attributes
    ----------
    units : Index
        Sorted identifiers.
    keys : DataFrame
        One row per outcome: stage, outcome, better_is, kind (``continuous`` or ``binary``).
    values : ndarray, shape (units, outcomes)
        NaN where missing.
    applies : ndarray of bool, shape (units, outcomes)
        Whether an outcome concerns a unit at all: the sensitivity of a classifier concerns the
        positives, and the others do not lack a value of it.
    """

    units: pd.Index
    keys: pd.DataFrame
    values: Floats
    applies: NDArray[np.bool_]

    @cached_property
    def by_outcome(self) -> Floats:
        """Values with each outcome's next to each other in memory, shape (outcomes, units)."""
        return np.ascontiguousarray(self.values.T)

    @cached_property
    def concerned(self) -> NDArray[np.bool_]:
        """The same of `applies`."""
        return np.ascontiguousarray(self.applies.T)

    @cached_property
    def extremes(self) -> Floats:
        """Lowest and highest value of each outcome, shape (outcomes, 2); NaN without values."""
        found = np.full((len(self.by_outcome), 2), np.nan)
        for k, values in enumerate(self.by_outcome):
            if not np.isnan(values).all():
                found[k] = np.nanmin(values), np.nanmax(values)
        return found

    def ranks(self, k: int, members: Sequence[NDArray[np.intp]]) -> tuple[list[Floats], float]:
        """Rank an outcome's values in some groups of units among each other.

        Parameters
        ----------
        k : int
            The outcome.
        members : sequence of ndarray of int
            Places of each group's units; no unit is in two of them.

        Returns
        -------
        ranks : list of ndarray
            Ranks of each group's values, in order of its units.
        ties : float
            As in `popscan.stats.several.Ranked`.
        """
        from popscan.stats.several import ranked, split  # names of groups need no statistics

        values = self.by_outcome[k]
        known = [places[np.isfinite(values[places])] for places in members]
        if k not in self._ranked:
            here = np.flatnonzero(np.isfinite(values))
            of_all = ranked(values[here])
            # Whole and half numbers: half the memory holds them without loss.
            everybody = np.full(len(values), np.nan, np.float32 if len(here) < 1 << 22 else float)
            everybody[here] = of_all.ranks
            self._ranked[k] = everybody, of_all.ties, len(here)
        everybody, ties, n = self._ranked[k]
        if sum(map(len, known)) == n:
            return [everybody[places].astype(np.float64) for places in known], ties
        some = ranked(np.concatenate([*(values[places] for places in known), np.empty(0)]))
        return split(some.ranks, known), some.ties

    @cached_property
    def _ranked(self) -> dict[int, tuple[NDArray[Any], float, int]]:
        return {}

    def records(self) -> list[dict[str, str]]:
        """Return one mapping stage, outcome, better_is, kind per outcome."""
        return [{str(k): str(v) for k, v in row.items()} for row in self.keys.to_dict("records")]


def labels(column: pd.Series) -> pd.Series:
    """Return group names as text, with `MISSING` where nothing was recorded.

    Parameters
    ----------
    column : Series
        An attribute as recorded.

    Returns
    -------
    Series of str
        Whole numbers lose their ``.0``.
    """
    names = [MISSING if text is None else text for text in column_texts(column)]
    return pd.Series(names, index=column.index, name=column.name, dtype=object)


def make_groupings(
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
) -> list[Grouping]:
    """Split the units by each attribute and each intersection.

    Parameters
    ----------
    attributes : DataFrame
        Indexed by unit, one column per attribute.
    attributes_to_test : sequence of str
        Columns.
    intersections : sequence of sequences of str
        Columns to cross, e.g. ``[["sex", "race"]]``.

    Returns
    -------
    list of Grouping
        Attributes first, then intersections.

    Raises
    ------
    PopscanError
        If a column is absent; the message lists those that exist.
    """
    wanted = [[name] for name in attributes_to_test] + [list(names) for names in intersections]
    absent = sorted({name for names in wanted for name in names} - set(attributes.columns))
    if absent:
        raise PopscanError(
            f"attribute {', '.join(absent)} is not in the attributes table; "
            f"it has {', '.join(map(str, attributes.columns)) or 'no columns'}"
        )
    found = []
    for names in wanted:
        codes, combinations = _combinations([labels(attributes[name]) for name in names])
        found.append(
            Grouping(
                attribute=TIMES.join(names),
                names=tuple(crossed_names(combinations)),
                parts=tuple(combinations),
                codes=codes,
            )
        )
    return found


def _combinations(columns: Sequence[pd.Series]) -> tuple[NDArray[np.intp], list[tuple[str, ...]]]:
    """Return the combination of each unit, and the combinations in order of first appearance."""
    codes = np.zeros(len(columns[0]), dtype=np.intp)
    for column in columns:
        own, groups = pd.factorize(column)
        codes = pd.factorize(codes * len(groups) + own)[0].astype(np.intp)
    first = np.unique(codes, return_index=True)[1]
    return codes, list(zip(*(map(str, column.iloc[first]) for column in columns), strict=True))


def reference_code(grouping: Grouping, wanted: Mapping[str, str] | None) -> int:
    """Return the code of the group that others are compared with.

    Parameters
    ----------
    grouping : Grouping
        The groups of one attribute.
    wanted : mapping, optional
        Attribute -> reference group.

    Returns
    -------
    int
        The group asked for, in any case, else the largest with a recorded attribute; -1 without
        groups.

    Raises
    ------
    PopscanError
        If the group asked for does not occur.
    """
    name = (wanted or {}).get(grouping.attribute)
    if not grouping.names:
        return -1
    if name is None:
        return int(np.where(grouping.unrecorded, -1, grouping.sizes).argmax())
    if name not in grouping.names:
        alike = [k for k, n in enumerate(grouping.names) if n.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
        raise PopscanError(
            f"reference group {name!r} of {grouping.attribute} does not occur; "
            f"groups are {sorted(grouping.names)}"
        )
    return grouping.names.index(name)


def outcome_matrix(
    outcomes: pd.DataFrame, units: pd.Index, *, made: OutcomeMatrix | None = None
) -> OutcomeMatrix:
    """Turn the long table of outcomes into a matrix over all units of the study.

    Parameters
    ----------
    outcomes : DataFrame
        Columns unit, stage, outcome, value, better_is, and optionally kind and applies. Values that
        are not finite count as missing, like units without a row, unless ``applies`` is false.
    units : Index
        All units, sorted; rows of others are ignored (the caller reports them).
    made : OutcomeMatrix, optional
        Made of the same outcomes before: returned where its units are the same.

    Returns
    -------
    OutcomeMatrix
        Outcomes in order of first appearance. Without `kind`, an outcome whose values are all 0
        or 1 is binary.

    Raises
    ------
    PopscanError
        If a column is absent, a direction unknown or contradictory, or a unit has two values.
    """
    if made is not None and made.units.equals(units):
        return made
    needed = ["unit", "stage", "outcome", "value", "better_is"]
    absent = [name for name in needed if name not in outcomes]
    if absent:
        raise PopscanError(f"outcomes table: no column {', '.join(absent)}; needed are {needed}")
    keys = outcomes[["stage", "outcome", "better_is"]].drop_duplicates()
    wrong = sorted(set(map(str, keys["better_is"])) - set(DIRECTIONS))
    if wrong:
        raise PopscanError(f"better_is {wrong} is not known: use one of {list(DIRECTIONS)}")
    twice = keys[keys.duplicated(["stage", "outcome"])]
    if len(twice):
        names = ", ".join(twice["outcome"].astype(str))
        raise PopscanError(f"outcomes table: better_is differs between rows of {names}")
    keys = keys.reset_index(drop=True).astype({"stage": str, "outcome": str, "better_is": str})
    row = _places(outcomes["unit"], units)
    of_stage, of_outcome = (pd.factorize(outcomes[key])[0] for key in ("stage", "outcome"))
    column = pd.factorize(of_stage * (int(of_outcome.max(initial=0)) + 1) + of_outcome)[0]
    known = row >= 0
    flat = row[known].astype(np.int64) * len(keys) + column[known]
    filled = np.zeros(len(units) * len(keys), dtype=bool)
    filled[flat] = True
    if filled.sum() < len(flat):
        values, counts = np.unique(flat, return_counts=True)
        where = int(values[counts.argmax()])
        raise PopscanError(
            f"outcomes table: unit {units[where // len(keys)]} has several rows of "
            f"{keys['outcome'][where % len(keys)]}"
        )
    # Each outcome's values lie next to each other in memory, since each is looked at alone.
    matrix = np.full((len(keys), len(units)), np.nan).T
    numbers = pd.to_numeric(outcomes["value"], errors="coerce").to_numpy(dtype=np.float64)
    matrix[row[known], column[known]] = numbers[known]
    matrix[~np.isfinite(matrix)] = np.nan
    applies = np.ones((len(keys), len(units)), dtype=bool).T
    if "applies" in outcomes:
        flags = outcomes["applies"]
        applied = flags.where(flags.notna(), True).to_numpy(dtype=bool)
        applies[row[known], column[known]] = applied[known]
        matrix[~applies] = np.nan
    keys["kind"] = _kinds(outcomes, column, matrix)
    return OutcomeMatrix(units=units, keys=keys, values=matrix, applies=applies)


def _places(units_of_rows: pd.Series, units: pd.Index) -> NDArray[np.intp]:
    """Place of every row's unit among all units; -1 for a stranger."""
    codes, different = pd.factorize(units_of_rows)
    places = np.append(units.get_indexer(pd.Index(different)), -1)  # the last is of no unit
    return np.asarray(places[codes], dtype=np.intp)


def _kinds(outcomes: pd.DataFrame, column: NDArray[np.intp], matrix: Floats) -> list[str]:
    """Kind of each outcome, as declared or as its values say."""
    if "kind" in outcomes:
        first = np.flatnonzero(~pd.Series(column).duplicated().to_numpy())
        declared = list(outcomes["kind"].iloc[first].astype(str))
        wrong = sorted(set(declared) - {"continuous", "binary"})
        if wrong:
            raise PopscanError(f"kind {wrong} is not known: use continuous or binary")
        return declared
    zero_one = np.all(np.isnan(matrix) | (matrix == 0) | (matrix == 1), axis=0)
    return ["binary" if flag else "continuous" for flag in zero_one]
