"""One column of a cohort table: what counts as missing, as a number, as one group.

A cell is rewritten only where it can mean one thing; what is left out or changed is counted and
named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from popscan.cells import AMBIGUOUS, EMPTY, FREE_TEXT, MISSING_VALUES, is_code, listed, spellings
from popscan.io.cell_numbers import Format, format_of, is_plain, parsed, unclear

#: A column with as many numbers is one of numbers, even if a few cells are none.
_MANY = 10
#: Answers that are none, as surveys code them; and those that may also be a group's number.
#: Negative answers that are none. Not among them: -7 (UK Biobank's "none of the above"), -10.
_NO_ANSWER = re.compile(r"-(1|3|9|77|88|99|121|717|777|818|888|999|7777|8888|9999)(\.0)?").fullmatch
_NEGATIVE = re.compile(r"-[1-9]\d*(\.0)?").fullmatch
_CODE_OF_NINES = re.compile(r"(99|77|88|999|777|888|9999|7777|8888|99999)(\.0)?").fullmatch
_YES_NO = {"yes": "1", "no": "0", "y": "1", "n": "0", "true": "1", "false": "0", "1": "1", "0": "0"}


@dataclass
class Column:
    """A column as it was read.

    Attributes
    ----------
    values
        One text per row, "" where nothing was recorded.
    notes
        What was changed, or counted as missing, without the column's name.
    refused
        Row -> cell that was left out, being neither a number nor a known word for "missing".
    numeric
        Whether it was read as numbers.
    """

    values: list[str]
    notes: list[str] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    numeric: bool = False


def read_column(
    name: str,
    cells: Sequence[str],
    *,
    missing_values: Collection[str] = MISSING_VALUES,
    categorical: bool = False,
    numeric: bool = False,
    decimal: str = "",
) -> Column:
    """Read the cells of one column.

    Parameters
    ----------
    name
        The column; its ending says which unit a cell may carry.
    cells
        Text without blanks around it.
    missing_values
        Words for "not recorded", besides `popscan.cells.EMPTY`; case does not matter.
    categorical
        The column holds groups, also if they look like numbers.
    numeric
        The column holds numbers, whatever it looks like.
    decimal
        Decimal mark of the table, for a column that does not say.

    Examples
    --------
    >>> read_column("x_mm", ["0,91", "1,5", "12,25 mm", "NA"]).values
    ['0.91', '1.5', '12.25', '']
    >>> read_column("race", ["White", "WHITE", "NA", "White"]).values
    ['White', 'White', 'NA', 'White']
    """
    column = Column(values=_without_missing(cells, missing_values))
    if decimal != "," and not categorical and _all_plain(column.values, numeric):
        column.numeric = True
    words = Counter(
        cell
        for cell, value in zip(cells, column.values, strict=True)
        if cell and not value and cell.lower() not in EMPTY
    )
    if words:
        column.notes.append(f"{listed(words)} count as not recorded")
    if column.numeric:
        return column
    if not categorical and (numeric or _holds_numbers(name, column.values, decimal)):
        column.numeric = True
        _read_numbers(name, column, decimal)
    else:
        _fold_spelling(column)
    return column


def _all_plain(values: Sequence[str], numeric: bool) -> bool:
    """Whether nothing is to be read otherwise than it is written: most columns of large tables."""
    known = [value for value in values if value]
    return bool(known) and all(map(is_plain, known)) and (numeric or not any(map(is_code, known)))


def _without_missing(cells: Sequence[str], missing_values: Collection[str]) -> list[str]:
    missing = EMPTY | {word.strip().lower() for word in missing_values}
    return ["" if cell.lower() in missing else cell for cell in cells]


def _holds_numbers(name: str, values: Sequence[str], decimal: str) -> bool:
    """Whether a column is one of numbers; codes with leading zeros are words."""
    known = [value for value in values if value and value.lower() not in AMBIGUOUS]
    if any(is_code(value) for value in known):
        return False
    if known and all(map(is_plain, known)):
        return True
    style = format_of(name, known, decimal=decimal)
    numbers = [value for value in known if parsed(value, style) is not None or unclear(value)]
    if len(numbers) == len(known):
        return bool(known)
    return len(set(numbers)) > _MANY and len(numbers) >= len(known) / 2


def _read_numbers(name: str, column: Column, decimal: str) -> None:
    """Rewrite numbers as 1234.5; leave out what is none."""
    known = [value for value in column.values if value and value.lower() not in AMBIGUOUS]
    if known and {value.lower() for value in known} <= set(_YES_NO):
        _read_yes_no(column)
        return
    style: Format = format_of(name, known, decimal=decimal)
    missing, rewritten = Counter[str](), Counter[str]()
    for row, text in enumerate(column.values):
        if not text or parsed(text, style) == text:
            continue
        if text.lower() in AMBIGUOUS:
            missing[text] += 1
            column.values[row] = ""
            continue
        number = parsed(text, style)
        column.values[row] = number or ""
        if number is None:
            column.refused[row] = text
        else:
            rewritten[text] += 1
    if missing:
        column.notes.append(f"{listed(missing)} count as not recorded")
    if rewritten:
        first = next(iter(rewritten))
        n = sum(rewritten.values())
        column.notes.append(
            f"{n} {'values are' if n > 1 else 'value is'} written as {style.words()} and read so "
            f"({first!r} is {parsed(first, style)})"
        )


def _read_yes_no(column: Column) -> None:
    """Rewrite yes and no as 1 and 0, unless they are already."""
    counts = Counter(value for value in column.values if value and not is_plain(value))
    if counts:
        column.notes.append(f"{listed(counts)} are read as 1 (yes) and 0 (no)")
    column.values = [
        value if is_plain(value) else _YES_NO.get(value.lower(), "") for value in column.values
    ]


def _leave_out_codes(column: Column) -> None:
    """Take -1, -3, -9 ... among words as answers that are none, and name other numbers there.

    A column of numbers alone holds codes of groups, of which each may be one.
    """
    counts = Counter(value for value in column.values if value)
    if len(counts) > FREE_TEXT:
        return
    codes = {value for value in counts if _NO_ANSWER(value)}
    doubtful = sorted(
        value
        for value in counts
        if value not in codes and (_CODE_OF_NINES(value) or _NEGATIVE(value))
    )
    words = [value for value in counts if value not in codes and value not in doubtful]
    if not words or not all(any(map(str.isalpha, value)) for value in words):
        return
    if codes:
        column.notes.append(
            f"{listed({code: counts[code] for code in sorted(codes)})} among words count as not "
            "recorded; an answer has to be written as a word"
        )
        column.values = ["" if value in codes else value for value in column.values]
    column.notes += [_read_as_group(code, counts[code]) for code in doubtful]


def _read_as_group(word: str, n: int) -> str:
    return (
        f"{word!r} ({n} {'rows' if n > 1 else 'row'}) is read as a group; if it means 'not "
        "recorded', add it to cohort.missing_values"
    )


def _fold_spelling(column: Column) -> None:
    """Give a group that is written in several ways its most frequent spelling."""
    _leave_out_codes(column)
    counts = Counter(value for value in column.values if value)
    replaced = spellings(counts)
    for best in dict.fromkeys(replaced.values()):
        others = {text: counts[text] for text in replaced if replaced[text] == best}
        column.notes.append(f"{listed(others)} read as {best!r}")
    column.values = [replaced.get(value, value) for value in column.values]
    if len(counts) > FREE_TEXT:
        return
    for word in sorted({value for value in counts if value.lower() in AMBIGUOUS}):
        column.notes.append(_read_as_group(word, counts[word]))
