"""Numbers as people and spreadsheets write them: decimal commas, spaces, percent signs, units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from popscan.stats.design import unit_of

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: Sign, digits with their separators, exponent, unit.
_PARTS = re.compile(
    r"([+-]?)(\d[\d.,'\u2019 ]*?|[.,]\d+)([eE][+-]?\d+)? ?"
    r"(%|[a-z\u00b5\u00b2\u00b3/][a-z0-9\u00b2\u00b3/]*)?",
    re.ASCII | re.IGNORECASE,
)
_BLANKS = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2212": "-"})
#: No quantity is as large; squares of squares of what is smaller are finite.
_LARGEST = 1e50
#: Spelling of a unit -> the unit of `popscan.stats.design.UNITS`.
_UNITS = {
    "%": "%", "y": "years", "yr": "years", "yrs": "years", "year": "years", "years": "years",
    "cm": "cm", "kg": "kg", "mm": "mm", "ml": "mL", "g": "g", "bpm": "bpm", "ms": "ms",
    "mmhg": "mmHg", "m2": "m\u00b2", "m\u00b2": "m\u00b2", "kg/m2": "kg/m\u00b2",
    "kg/m\u00b2": "kg/m\u00b2", "g/m2": "g/m\u00b2", "ml/m2": "mL/m\u00b2", "mm3": "mm\u00b3",
    "l/min": "L/min", "m": "m",
}  # fmt: skip
#: (Unit of a cell, unit of its column) -> factor, where they differ and one thing is meant.
_FACTORS = {("m", "cm"): 100.0, ("cm", "mm"): 10.0, ("mm", "cm"): 0.1}


@dataclass(frozen=True, kw_only=True)
class Format:
    """How the numbers of one column are written.

    Attributes
    ----------
    decimal
        ``.`` or ``,``; empty if the column does not say, or uses both.
    percent
        Whether a percent sign may be left out: all numbers have one.
    unit
        Unit of the column: of its name, else the only one in its cells.
    marks
        What the numbers have besides digits, for messages.
    """

    decimal: str
    percent: bool
    unit: str
    marks: tuple[str, ...]

    def words(self) -> str:
        """Name the marks, e.g. ``numbers with a decimal comma``."""
        return "numbers with " + " and ".join(self.marks or ("blanks",))


def is_plain(text: str) -> bool:
    """Whether a cell is a number as computers write it, of a size that can be squared.

    Examples
    --------
    >>> [is_plain(text) for text in ("1.5", "-3e-2", "1,5", "inf", "1_000", "1e999")]
    [True, True, False, False, False, False]
    """
    return bool(_PLAIN.fullmatch(text)) and abs(float(text)) < _LARGEST


def format_of(name: str, cells: Sequence[str], *, decimal: str = "") -> Format:
    """Return how the numbers of a column are written, judged by all of its cells.

    Parameters
    ----------
    name
        The column.
    cells
        Its cells; those that are no numbers do not matter.
    decimal
        Decimal mark of the table, for a column that does not say: 1,234 and 2,345 alone. ``;``:
        its columns are separated so, which makes a comma a decimal one, and says nothing of points.
    """
    numbers = [match for cell in cells if (match := _PARTS.fullmatch(cell.translate(_BLANKS)))]
    digits = [match[2] for match in numbers]
    units = {(match[4] or "").lower() for match in numbers}
    marks = []
    decimal = decimal_mark(digits) or _by_table(digits, decimal)
    if any("," in text for text in digits):
        marks.append("a decimal comma" if decimal == "," else "commas")
    if any(" " in text or "'" in text or "\u2019" in text for text in digits):
        marks.append("separated thousands")
    if units - {"", "%"}:
        marks.append(f"their unit ({', '.join(sorted(units - {'', '%'}))})")
    if "%" in units:
        marks.append("a percent sign")
    percent = units == {"%"} or unit_of(name) == "%"
    named = [_UNITS.get(unit, "") for unit in units - {"", "%"}]
    unit = unit_of(name) or (named[0] if len(named) == 1 else "")
    return Format(decimal=decimal, percent=percent, unit=unit, marks=tuple(marks))


def _by_table(digits: Sequence[str], decimal: str) -> str:
    """Return the decimal mark of a column that does not say it; empty if the table does not."""
    if not any("," in text for text in digits):
        return "," if decimal == "," else "."
    if any("," in text and not _thousands(text, ",") for text in digits):
        return ""  # decimal commas and decimal points in one column
    return "," if decimal == ";" else decimal


def decimal_mark(digits: Sequence[str]) -> str:
    """Return the mark before the decimals; empty if the cells do not say."""
    commas = [text for text in digits if "," in text]
    points = [text for text in digits if "." in text]
    if not commas:
        # 1.234.567 has no decimals, and so neither has 1.234 beside it; 1.234 alone says nothing.
        if any(text.count(".") > 1 for text in points):
            return ","
        return "" if points and all(_thousands(text, ".") for text in points) else "."
    both = [text for text in commas if "." in text]
    alone = [text for text in commas if "." not in text]
    comma = any(text.count(",") == 1 and not _thousands(text, ",") for text in alone)
    comma |= any(text.rindex(",") > text.rindex(".") for text in both)
    comma |= any(text.count(".") > 1 for text in points)
    point = any(text.count(",") > 1 for text in commas)
    point |= any(text.rindex(".") > text.rindex(",") for text in both)
    point |= any("," not in text and not _thousands(text, ".") for text in points)
    if comma == point:
        return ""
    return "," if comma else "."


def _thousands(text: str, mark: str) -> bool:
    """Whether a mark may separate thousands: three digits follow each, and no zero goes first."""
    blank = text.replace(" ", "")
    return bool(re.fullmatch(rf"[1-9]\d{{0,2}}(\{mark}\d{{3}})+", blank, re.ASCII))


def parsed(text: str, style: Format) -> str | None:
    """Return a number as plain text; None if a cell is none, or may be more than one.

    Parameters
    ----------
    text
        The cell.
    style
        How its column writes numbers.

    Examples
    --------
    >>> style = format_of("weight_kg", ["72,5 kg", "1 072", "<40"])
    >>> [parsed(text, style) for text in ("72,5 kg", "1 072", "<40", "160 lb", "71")]
    ['72.5', '1072', None, None, '71']
    """
    if is_plain(text) and style.decimal != ",":
        return text
    match = _PARTS.fullmatch(text.translate(_BLANKS))
    if match is None:
        return None
    sign, digits, exponent, unit = match.groups(default="")
    body = _digits(digits, style.decimal)
    factor = _factor(unit.lower(), style)
    if body is None or factor is None or not is_plain(number := f"{sign}{body}{exponent}"):
        return None
    return number if factor == 1 else repr(round(float(number) * factor, 9))


def _digits(text: str, decimal: str) -> str | None:
    """Digits without separators of thousands and with a decimal point."""
    if re.search(r"[ '\u2019]", text):
        whole = re.fullmatch(r"(\d{1,3}(?:([ '\u2019])\d{3})(?:\2\d{3})*)([.,]\d+)?", text)
        if whole is None:
            return None
        text = re.sub(r"[ '\u2019]", "", whole[1]) + (whole[3] or "")
    if "," not in text and (decimal != "," or "." not in text):
        return text
    if not decimal:  # either mark is used: what cannot be thousands is a decimal one
        marks = re.findall(r"[.,]", text)
        return None if len(marks) > 1 or _thousands(text, marks[0]) else text.replace(",", ".")
    other = "," if decimal == "." else "."
    head, mark, tail = text.partition(decimal)
    if other in head:
        if not _thousands(head, other):
            return None
        head = head.replace(other, "")
    if other in tail or decimal in tail:
        return None
    return f"{head or '0'}.{tail}" if mark else head


def _factor(unit: str, style: Format) -> float | None:
    """Return what turns a cell's unit into that of its column; None if they do not agree."""
    if not unit:
        return 1.0
    if unit == "%":
        return 1.0 if style.percent else None
    known = _UNITS.get(unit)
    if known is None:
        return None
    if known == style.unit:
        return 1.0
    return _FACTORS.get((known, style.unit))


def unclear(text: str) -> bool:
    """Whether a cell such as 1,234 is a number, of which its column has to say what it means."""
    return "," in text and _thousands(text.lstrip("+-"), ",")
