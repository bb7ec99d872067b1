"""How the report writes numbers, names and counts."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from popscan.names import plural as plural
from popscan.report.names import UNITS, name_of

#: Shown for a number that is undefined.
DASH = "–"


def number(value: Any, *, digits: int = 3) -> str:
    """Write a number with `digits` significant digits; undefined becomes a dash.

    Examples
    --------
    >>> number(0.91234), number(152.3), number(12345.6), number(float("nan"))
    ('0.912', '152', '12,346', '–')
    """
    try:
        x = float(value)
    except (TypeError, ValueError):
        return DASH
    if not math.isfinite(x):
        return DASH
    if x == 0:
        return "0"
    if abs(x) < 1e-6:  # would be written as 0.000000
        return "< 0.000001" if x > 0 else "> −0.000001"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    return f"{x:,.{min(decimals, 6)}f}".replace("-", "−")


def measured(value: Any) -> str:
    """Write a measured value; one that is whole, as counts are, has no decimals.

    Examples
    --------
    >>> measured(3.0), measured(0.25), measured(float("nan"))
    ('3', '0.250', '–')
    """
    try:
        x = float(value)
    except (TypeError, ValueError):
        return DASH
    whole = math.isfinite(x) and abs(x) < 1e6 and x == round(x)
    return f"{x:,.0f}".replace("-", "−") if whole else number(x)


def decimals(value: Any, places: int) -> str:
    """Write a number with a fixed number of decimals; undefined becomes a dash."""
    try:
        x = float(value)
    except (TypeError, ValueError):
        return DASH
    return f"{x:,.{places}f}".replace("-", "−") if math.isfinite(x) else DASH


def places_for(scale: float) -> int:
    """Decimals that show a quantity of this spread (a standard deviation) to about 3 digits.

    What is left of a constant by rounding (1e-14) is no spread.
    """
    if not math.isfinite(scale) or scale <= 1e-9:
        return 2
    return min(4, max(0, 1 - math.floor(math.log10(scale))))


def count(value: float) -> str:
    """Write a count with thousands separators; undefined becomes a dash."""
    return DASH if value is None or not math.isfinite(value) else f"{int(value):,}"


def percent(part: float, whole: float) -> str:
    """Write a share as a percentage, with a decimal only where it says something.

    Examples
    --------
    >>> percent(1, 3), percent(1, 1000), percent(0, 0)
    ('33%', '0.1%', '–')
    """
    if not whole:
        return DASH
    share = 100 * part / whole
    return f"{share:.1f}%" if 0 < share < 1 or 99 < share < 100 else f"{share:.0f}%"


def p_value(value: Any) -> str:
    """Write a p value: never as 0."""
    text = decimals(value, 3)
    if text == DASH:
        return text
    return "< 0.001" if float(value) < 0.001 else text


def interval(low: Any, high: Any, places: int) -> str:
    """Write an interval; a dash unless both ends are known, one number where they are the same.

    Examples
    --------
    >>> interval(1.24, 3.5, 1), interval(281.6, 281.6, 4), interval(90, 90, 0)
    ('1.2 to 3.5', '281.6', '90')
    """
    ends = decimals(low, places), decimals(high, places)
    if DASH in ends:
        return DASH
    if ends[0] == ends[1] and math.isclose(float(low), float(high), rel_tol=1e-9, abs_tol=1e-12):
        return ends[0].rstrip("0").rstrip(".") if "." in ends[0] else ends[0]
    return f"{ends[0]} to {ends[1]}"


def span(low: Any, high: Any) -> str:
    """Write a range of measured values; one number where both ends read the same.

    Examples
    --------
    >>> span(10.3, 12), span(100.0, 100.00001), span(float("nan"), 1)
    ('10.3 to 12', '100', '–')
    """
    ends = measured(low), measured(high)
    if DASH in ends:
        return DASH
    same = ends[0] == ends[1] or math.isclose(float(low), float(high), rel_tol=1e-3)
    return ends[0] if same else f"{ends[0]} to {ends[1]}"


def unit_of(column: str) -> str:
    """Return the unit that a column name carries, or an empty text.

    Examples
    --------
    >>> unit_of("size_ml_m2"), unit_of("dice")
    ('mL/m²', '')
    """
    return next((unit for suffix, unit in UNITS.items() if column.endswith(suffix)), "")


def title_of(column: str, *, unit: bool = True) -> str:
    """Turn a column name into words.

    Examples
    --------
    >>> title_of("brain_ml"), title_of("hd95_mm"), title_of("sex x race")
    ('Brain (mL)', 'HD95 (mm)', 'Sex × race')
    """
    name = name_of(column)
    return name.full() if unit else name.title


def stage_title(stage: str) -> str:
    """Return a stage's title; a text that is none, with a capital.

    Examples
    --------
    >>> stage_title("ingest"), stage_title("in all")
    ('Ingestion', 'In all')
    """
    return title_of(stage, unit=False)


def shorten(text: str, limit: int = 280) -> str:
    """Cut a text that would fill the page, and show that it was cut."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def listing(items: list[str]) -> str:
    """Join words as a sentence does.

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else "".join(items)


def is_true(values: pd.Series) -> pd.Series:
    """Read a yes/no column however it was stored; missing counts as no."""
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip().str.lower()
    return text.isin(["true", "1", "1.0", "yes"])
