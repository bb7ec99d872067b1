"""Signs that a table mixes units or exchanges codes: reported, never changed.

A note says what was seen and what may lie behind it. Each sign needs enough people, so that a few
unusual ones are none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from popscan.stats.codes import NINES

#: Fewer people show nothing of how a column was coded.
_LEAST = 10
#: Women are smaller than men by some 13 cm everywhere; women who are larger by this are men.
_TALLER_CM = 3.0
#: Body mass index above which few people are, the share of a table that lies beyond it where
#: weights are in pounds, and the median of a cohort of patients with obesity.
_HEAVY_KG_M2, _HEAVY_SHARE, _OBESE = 50.0, 0.1, 35.0
#: Values of one quantity in two units leave a gap of this factor between them, and each part
#: spreads over less than the second factor (its 10th to its 90th percentile).
_GAP, _SPREAD = 10.0, 5.0
#: Least share of the smaller part.
_PART = 0.01
#: A code such as 99 occurs so often, and lies this share of itself above all values.
_REPEATED, _ALONE = 3, 0.05
#: Factors between units that are usual, for the note.
_FACTORS = (10.0, 12.0, 60.0, 100.0, 365.25, 1000.0)


def mixed_notes(
    table: pd.DataFrame,
    *,
    columns: Sequence[str] = (),
    decided: Mapping[str, Collection[float]] | None = None,
) -> list[str]:
    """Say where sexes seem exchanged, weights are in pounds, or a column is in two units.

    Parameters
    ----------
    table
        One row per person, as read.
    columns
        Columns of measurements that are looked at for two units.
    decided
        Column -> its codes as the config lists them (``cohort.special_codes``): an empty list says
        that whatever the column holds is a value; other numbers than those listed are still looked
        at.

    Returns
    -------
    list of str
        Sentences that name no person and no value of a single one.
    """
    given = {name: (decided or {}).get(name) for name in columns if name in table}
    open_to_doubt = {
        name: tuple(codes or ()) for name, codes in given.items() if codes is None or len(codes)
    }
    return [
        *_exchanged_sexes(table),
        *_pounds(table),
        *(note for name in columns if name in table for note in _two_units(name, table[name])),
        *(note for name, codes in open_to_doubt.items() for note in _zeros(table[name], codes)),
        *(note for name, codes in open_to_doubt.items() for note in _nines(table[name], codes)),
    ]


def _numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    return numbers[np.isfinite(numbers)]


def _exchanged_sexes(table: pd.DataFrame) -> list[str]:
    if not {"sex", "height_cm"} <= set(table.columns):
        return []
    heights = _numbers(table["height_cm"])
    sex = table["sex"].reindex(heights.index)
    women, men = heights[sex == "female"], heights[sex == "male"]
    if min(len(women), len(men)) < _LEAST or women.mean() < men.mean() + _TALLER_CM:
        return []
    return [
        f"sex: those read as female are taller than those read as male, by "
        f"{women.mean() - men.mean():.0f} cm on average; are the codes exchanged? "
        "cohort.sex_codes can say which is which."
    ]


def _pounds(table: pd.DataFrame) -> list[str]:
    if not {"height_cm", "weight_kg"} <= set(table.columns):
        return []
    size = table[["height_cm", "weight_kg"]].apply(pd.to_numeric, errors="coerce").dropna()
    size = size[(size["height_cm"] > 100) & (size["weight_kg"] > 0)]
    if len(size) < _LEAST:
        return []
    index = size["weight_kg"] / (size["height_cm"] / 100) ** 2
    heavy = index > _HEAVY_KG_M2
    if heavy.mean() < _HEAVY_SHARE or (heavy.mean() < 0.5 and index[~heavy].median() > _OBESE):
        return []  # a few, or patients who are all obese
    return [
        f"weight_kg: {100 * heavy.mean():.0f}% of all have a body mass index above "
        f"{_HEAVY_KG_M2:g} kg/m2; are these weights in pounds?"
    ]


def _two_units(name: str, column: pd.Series) -> list[str]:
    """Say whether values above 0 lie in two narrow ranges with a wide gap between them."""
    numbers = _numbers(column)
    values = np.sort(numbers[numbers > 0].to_numpy())
    if len(values) < 2 * _LEAST or len(np.unique(values)) < _LEAST:
        return []
    steps = values[1:] / values[:-1]
    at = int(np.argmax(steps)) + 1
    low, high = values[:at], values[at:]
    smaller = min(len(low), len(high))
    if steps[at - 1] < _GAP or smaller < max(2, _PART * len(values)):
        return []
    if any(np.quantile(part, 0.9) > _SPREAD * np.quantile(part, 0.1) for part in (low, high)):
        return []
    ratio = float(np.median(high) / np.median(low))
    near = [factor for factor in _FACTORS if 0.7 < ratio / factor < 1.4]
    unit = f" (a factor of {near[0]:g}?)" if near else ""
    return [
        f"{name}: its values lie in two ranges, {len(low)} and {len(high)} of them, about "
        f"{ratio:.3g} times apart; are there two units{unit}?"
    ]


def _advice(name: object, code: float, listed: Collection[float]) -> str:
    """Write the setting that makes a number a code, and keeps those that are."""
    return f"{{{name}: [{', '.join(f'{one:g}' for one in [*listed, code])}]}}"


def _zeros(column: pd.Series, listed: Collection[float]) -> list[str]:
    """Say whether exact zeros lie far below values that are close together."""
    name, numbers = column.name, _numbers(column).to_numpy()
    values = numbers[numbers != 0]
    n_zeros = len(numbers) - len(values)
    if 0 in listed or n_zeros < 2 or len(np.unique(values)) < _LEAST or values.min() <= 0:
        return []
    if np.quantile(values, 0.01) < np.median(values) / 3:
        return []
    return [
        f"{name}: {n_zeros} values are exactly 0, far below all others, and count as measured; "
        f"where 0 means not measured, set cohort.special_codes: {_advice(name, 0, listed)}."
    ]


def _nines(column: pd.Series, listed: Collection[float]) -> list[str]:
    """Say whether 99, 888 and the like stand alone above all values, several times each.

    Those far above are blanked before (`popscan.stats.codes.blank_codes`).
    """
    name, numbers = column.name, _numbers(column).to_numpy()
    rest = numbers[~np.isin(numbers, [*NINES, *listed])]
    if len(np.unique(rest)) < _LEAST:
        return []
    found = {code: int((numbers == code).sum()) for code in sorted(NINES)}
    return [
        f"{name}: {n} values are exactly {code}, and apart from such codes none is above "
        f"{rest.max():.3g}; if {code} means not measured, set cohort.special_codes: "
        f"{_advice(name, code, listed)}."
        for code, n in found.items()
        if code not in listed and n >= _REPEATED and code - rest.max() >= _ALONE * code
    ]


def alike_notes(units: Sequence[str], *, what: str = "participant_id") -> list[str]:
    """Say which identifiers differ only in upper and lower case or in leading zeros.

    Parameters
    ----------
    units
        Identifiers.
    what
        Column, for the note.
    """
    notes = []
    for words, key in (
        ("upper and lower case: one folder on file systems of macOS and Windows", str.casefold),
        ("leading zeros", _without_zeros),
    ):
        spelt: dict[str, set[str]] = defaultdict(set)
        for unit in units:
            spelt[key(unit)].add(unit)
        several = sorted(sorted(found) for found in spelt.values() if len(found) > 1)
        if several:
            shown = "; ".join(" and ".join(found) for found in several[:3])
            more = f" and {len(several) - 3} more" if len(several) > 3 else ""
            notes.append(f"{what}: {shown}{more} differ only in {words}. Are they one person?")
    return notes


def _without_zeros(unit: str) -> str:
    start = unit.removeprefix("sub-")
    return start.lstrip("0") or "0"
