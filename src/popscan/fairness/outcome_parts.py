"""One outcome of every unit, and many of them as one long table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ["unit", "stage", "outcome", "value", "better_is", "kind"]


class Part(NamedTuple):
    """One outcome: a value per unit."""

    units: pd.Index
    stage: str
    outcome: str
    values: NDArray[np.float64]
    better_is: str
    kind: str


def part_of(
    units: pd.Series | pd.Index,
    stage: str,
    outcome: str,
    values: pd.Series | NDArray[np.bool_],
    *,
    better_is: str = "lower",
    kind: str = "binary",
) -> Part:
    """One outcome; undefined values stay, as NaN."""
    return Part(pd.Index(units), stage, outcome, np.asarray(values, dtype=float), better_is, kind)


def joined(parts: Sequence[Part]) -> pd.DataFrame:
    """Parts in long form; words are categories, since each stands in very many rows."""
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    units: pd.Index = parts[0].units[:0]
    codes: list[NDArray[np.intp]] = []
    for i, part in enumerate(parts):
        if i and part.units.equals(parts[i - 1].units):  # columns of one table have the same units
            codes.append(codes[-1])
            continue
        own, different = pd.factorize(part.units)
        place = units.get_indexer(different)
        fresh = place < 0
        place[fresh] = len(units) + np.arange(int(fresh.sum()))
        units = units.append(different[fresh]) if fresh.any() else units
        codes.append(place[own])
    lengths = [len(part.values) for part in parts]
    columns: dict[str, Any] = {"unit": pd.Categorical.from_codes(np.concatenate(codes), units)}
    for name in ("stage", "outcome", "better_is", "kind"):
        each, known = pd.factorize(pd.Series([getattr(part, name) for part in parts]))
        columns[name] = pd.Categorical.from_codes(np.repeat(each, lengths), known)
    columns["value"] = np.concatenate([part.values for part in parts])
    return pd.DataFrame({name: columns[name] for name in COLUMNS})


def sorted_words(column: pd.Series) -> tuple[NDArray[np.intp], pd.Index]:
    """Return codes and the different words, sorted; categories are not written out."""
    if not isinstance(column.dtype, pd.CategoricalDtype) or column.isna().any():
        places, words = pd.factorize(column.astype(str), sort=True)
        return places, pd.Index(words)
    codes = column.cat.codes.to_numpy()
    used = np.flatnonzero(np.bincount(codes, minlength=len(column.cat.categories)))
    places, words = pd.factorize(column.cat.categories[used].astype(str), sort=True)
    lookup = np.zeros(len(column.cat.categories), dtype=np.intp)
    lookup[used] = places
    return lookup[codes], pd.Index(words)
