"""Attributes by which people are grouped, from what a cohort table says of them.

Codings are explicit tables; a code that they do not hold becomes ``code 7 (not in coding)`` and is
seen, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pandas as pd

from popscan.fairness.groups import MISSING, labels
from popscan.records import PopscanError

#: UK Biobank data-coding 1001 (field 21000, ethnic background): code -> top-level category.
#: https://biobank.ndph.ox.ac.uk/ukb/coding.cgi?id=1001
UKB_21000: Mapping[str, str] = MappingProxyType(
    {
        "1": "White", "1001": "White", "1002": "White", "1003": "White",
        "2": "Mixed", "2001": "Mixed", "2002": "Mixed", "2003": "Mixed", "2004": "Mixed",
        "3": "Asian or Asian British", "3001": "Asian or Asian British",
        "3002": "Asian or Asian British", "3003": "Asian or Asian British",
        "3004": "Asian or Asian British",
        "4": "Black or Black British", "4001": "Black or Black British",
        "4002": "Black or Black British", "4003": "Black or Black British",
        "5": "Chinese", "6": "Other ethnic group", "-1": MISSING, "-3": MISSING,
    }
)  # fmt: skip
#: What UK Biobank's platform exports for -1 and -3 of any field.
_NO_ANSWER: Mapping[str, str] = MappingProxyType(
    {"Do not know": MISSING, "Prefer not to answer": MISSING}
)

#: The same field with its second level: code -> category as asked.
UKB_21000_DETAILED: Mapping[str, str] = MappingProxyType(
    {
        **UKB_21000,
        "1001": "British", "1002": "Irish", "1003": "Any other white background",
        "2001": "White and Black Caribbean", "2002": "White and Black African",
        "2003": "White and Asian", "2004": "Any other mixed background", "3001": "Indian",
        "3002": "Pakistani", "3003": "Bangladeshi", "3004": "Any other Asian background",
        "4001": "Caribbean", "4002": "African", "4003": "Any other Black background",
    }
)  # fmt: skip

#: UK Biobank data-coding 9 (field 31, sex).
UKB_31: Mapping[str, str] = MappingProxyType({"0": "female", "1": "male"})

#: IXI's ethnic group codes; 0 was not recorded.
IXI_ETHNIC: Mapping[str, str] = MappingProxyType(
    {"1": "White", "2": "Black", "3": "Asian", "4": "Chinese", "5": "Asian other", "6": "other",
     "0": MISSING}
)  # fmt: skip

#: Codes, and names of the second level as the platform exports them, which hold no code.
_UKB_NAMES: Mapping[str, str] = MappingProxyType(
    {name: UKB_21000[code] for code, name in UKB_21000_DETAILED.items() if name != MISSING}
)

CODINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ukb_21000": MappingProxyType({**UKB_21000, **_UKB_NAMES, **_NO_ANSWER}),
        "ukb_21000_detailed": MappingProxyType({**UKB_21000_DETAILED, **_NO_ANSWER}),
        "ukb_31": UKB_31,
        "ixi_ethnic": IXI_ETHNIC,
    }
)

#: End of the name of a group that a coding does not hold.
_UNCODED = " (not in coding)"

#: Attribute -> what it is cut from, and therefore cannot be compared at equal values of.
DERIVED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"age_band": ("age_years",), "bmi_class": ("bmi_kg_m2",)}
)

#: Limits of the WHO classes of body mass index for adults, kg/m2.
BMI_CLASSES = ((0.0, "underweight"), (18.5, "normal"), (25.0, "overweight"), (30.0, "obese"))


def attributes_table(
    participants: pd.DataFrame,
    *,
    age_bands_years: Sequence[float] = (0, 45, 55, 65, 75),
    codings: Mapping[str, str | Mapping[str, str]] | None = None,
) -> pd.DataFrame:
    """Make the table of attributes that `popscan.fairness.audit` takes.

    Parameters
    ----------
    participants : DataFrame
        One row per unit with a column ``unit``; what else it has is kept.
    age_bands_years : sequence of float
        Lower limits of the bands of ``age_band``, ascending; the last band is open.
    codings : mapping, optional
        Column -> name of a coding of `CODINGS`, or own mapping from code (as text) to category.

    Returns
    -------
    DataFrame
        Indexed by unit; ``age_band`` from ``age_years``, ``bmi_class`` from ``bmi_kg_m2`` or
        height and weight are added where they can be and are not there.

    Raises
    ------
    PopscanError
        If ``unit`` is absent or a coding unknown.
    """
    if "unit" not in participants:
        raise PopscanError("participants table: no column unit")
    table = participants.set_index("unit")
    for column, coding in (codings or {}).items():
        if column in table:
            table[column] = decode(table[column], coding)
    if "age_band" not in table and "age_years" in table:
        table["age_band"] = bands(table["age_years"], limits=age_bands_years)
    if "bmi_class" not in table:
        bmi = _bmi_kg_m2(table)
        if bmi is not None:
            table["bmi_class"] = _cut(bmi, [low for low, _ in BMI_CLASSES],
                                      [name for _, name in BMI_CLASSES])  # fmt: skip
    return table


def confounders_of(attribute: str, wanted: Sequence[str]) -> list[str]:
    """Leave out of confounders what an attribute (or intersection) is, or is cut from.

    Parameters
    ----------
    attribute : str
        E.g. ``sex x age_band``.
    wanted : sequence of str
        Confounders.

    Returns
    -------
    list of str
        E.g. without ``sex``, ``age_band`` and ``age_years``.
    """
    parts = attribute.split(" x ")
    own = {*parts, *(source for part in parts for source in DERIVED.get(part, ()))}
    return [name for name in wanted if name not in own]


def decode(column: pd.Series, coding: str | Mapping[str, str]) -> pd.Series:
    """Translate codes into categories.

    Parameters
    ----------
    column : Series
        Codes; ``1001`` and ``1001.0`` are the same.
    coding : str or mapping
        Name of a coding of `CODINGS`, or a mapping from code (as text) to category.

    Returns
    -------
    Series of str
        Categories; ``missing`` for NaN, and ``code 7 (not in coding)`` for unknown codes.

    Raises
    ------
    PopscanError
        If there is no such coding.
    """
    if isinstance(coding, str):
        if coding not in CODINGS:
            raise PopscanError(f"coding {coding!r} is not known: use one of {sorted(CODINGS)}")
        coding = CODINGS[coding]
    table = {str(code).casefold(): name for code, name in coding.items()}
    names = {name.casefold(): name for name in (*coding.values(), MISSING)}

    def translate(code: str) -> str:
        plain = code.removesuffix(".0")
        known = table.get(plain.casefold()) or names.get(code.casefold())
        return known or f"code {plain}{_UNCODED}"

    return labels(column).map(translate)


def uncoded_notes(attributes: pd.DataFrame, codings: Mapping[str, object]) -> list[str]:
    """Say how many values of decoded columns their coding does not hold."""
    notes = []
    for name in codings:
        if name not in attributes:
            continue
        counts = Counter(v for v in attributes[name] if str(v).endswith(_UNCODED))
        if counts:
            shown = ", ".join(f"{v.removesuffix(_UNCODED)} ({n})" for v, n in counts.most_common(5))
            more = ", ..." if len(counts) > 5 else ""
            notes.append(f"{name}: {counts.total()} values are not in its coding: {shown}{more}.")
    return notes


def bands(column: pd.Series, *, limits: Sequence[float], unit: str = "") -> pd.Series:
    """Cut numbers into named bands.

    Parameters
    ----------
    column : Series
        Numbers; NaN becomes ``missing``.
    limits : sequence of float
        Lower limits, ascending; below the first is a band too, the last is open.
    unit : str
        Appended to the names.

    Returns
    -------
    Series of str
        Names such as ``45-54``, ``75+``, ``under 18``.

    Raises
    ------
    PopscanError
        If the limits do not ascend.
    """
    edges = [float(limit) for limit in limits]
    if not edges or any(b <= a for a, b in pairwise(edges)):
        raise PopscanError(f"band limits {list(limits)} must ascend")
    whole = all(edge.is_integer() for edge in edges)
    names = []
    for low, high in pairwise(edges):
        names.append(f"{low:g}-{high - 1:g}" if whole and high - low > 1 else f"{low:g}-<{high:g}")
    names.append(f"{edges[-1]:g}+")
    if edges[0] == 0:
        names[0] = f"under {edges[1]:g}" if len(edges) > 1 else names[0]
    suffix = f" {unit}" if unit else ""
    return _cut(column, edges, [name + suffix for name in names])


def _cut(column: pd.Series, lows: Sequence[float], names: Sequence[str]) -> pd.Series:
    """Name the band of each number; the first band takes what lies below its limit."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    known = np.isfinite(numbers)
    position = np.searchsorted(np.asarray(lows), np.where(known, numbers, 0), side="right") - 1
    found = np.asarray(names, dtype=object)[np.maximum(position, 0)]
    below = known & (position < 0)
    found[below] = f"under {lows[0]:g}"
    found[~known] = MISSING
    return pd.Series(found, index=column.index, name=column.name)


def _bmi_kg_m2(table: pd.DataFrame) -> pd.Series | None:
    """Body mass index, if the table has it."""
    if "bmi_kg_m2" in table:
        return pd.to_numeric(table["bmi_kg_m2"], errors="coerce")
    if {"height_cm", "weight_kg"} <= set(table.columns):
        height = pd.to_numeric(table["height_cm"], errors="coerce")
        weight = pd.to_numeric(table["weight_kg"], errors="coerce")
        return weight / (height.where(height > 0) / 100) ** 2
    return None
