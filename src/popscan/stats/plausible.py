"""Values that no living adult has: blanked before anything is computed, and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

#: Column -> smallest and largest value taken at face value; wide enough for patients.
LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "age_years": (0.0, 120.0),
        "height_cm": (100.0, 230.0),
        "weight_kg": (25.0, 300.0),
        "bmi_kg_m2": (10.0, 90.0),
        "hr_bpm": (20.0, 250.0),
    }
)


@dataclass(frozen=True, kw_only=True)
class Blanked:
    """What was blanked in one column.

    Attributes
    ----------
    column, low, high
        The column and its limits.
    values
        What it held beyond them, sorted, each as often as it occurred.
    """

    column: str
    low: float
    high: float
    values: tuple[float, ...]

    def sentence(self) -> str:
        """Say it in a sentence: how many, which, and that they count as missing."""
        n = len(self.values)
        shown = list(dict.fromkeys(f"{value:g}" for value in self.values))
        listed = ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
        return (
            f"{self.column}: {n} value{'s' if n != 1 else ''} outside {self.low:g} to "
            f"{self.high:g} ({listed}) cannot be right and count{'s' if n == 1 else ''} as missing."
        )


def blank_implausible(
    table: pd.DataFrame, *, limits: Mapping[str, Sequence[float]] = LIMITS
) -> tuple[pd.DataFrame, list[Blanked]]:
    """Set values beyond limits to NaN.

    Parameters
    ----------
    table : DataFrame
        Not changed.
    limits : mapping
        Column -> (smallest, largest) plausible value; absent columns are ignored.

    Returns
    -------
    table : DataFrame
        With NaN for what is implausible; columns without such values are left as they are.
    blanked : list of Blanked
        One per column with implausible values.

    Examples
    --------
    >>> people = pd.DataFrame({"weight_kg": [70.0, 710.0, 0.0, np.nan]})
    >>> clean, blanked = blank_implausible(people)
    >>> int(clean["weight_kg"].isna().sum()), blanked[0].values
    (3, (0.0, 710.0))
    """
    clean, blanked = table, []
    for column, (low, high) in limits.items():
        if column not in table:
            continue
        numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
        wrong = numbers.notna() & ~numbers.between(low, high)
        if not wrong.any():
            continue
        clean = clean.assign(**{column: numbers.mask(wrong, np.nan)})
        found = tuple(sorted(numbers[wrong].tolist()))
        blanked.append(Blanked(column=column, low=float(low), high=float(high), values=found))
    return clean, blanked
