"""What a cell of a table says: the one definition of "not recorded", for readers and statistics.

A cohort table is read once, by `popscan.io.tables`: there `cohort.missing_values` (by default
`MISSING_VALUES`) becomes empty. All that comes after it compares with `EMPTY` and `NOT_RECORDED`
only, so that a group that a study calls "none" or "NA" stays a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

#: What the tables of a study have in a cell that holds nothing, as BIDS writes it.
WRITTEN = "n/a"
#: Cells that hold nothing, in small letters: what tables of BIDS and of pandas write for it.
EMPTY = frozenset({"", WRITTEN, "nan", "nat", "<na>"})
#: Words of people for it, and `EMPTY`.
NOT_RECORDED = EMPTY | {"unknown", "missing", "not recorded"}
#: What a cohort table may hold for it beside these; the default of ``cohort.missing_values``.
MISSING_VALUES: tuple[str, ...] = (
    "null", ".", "?", "-", "--", "#n/a", "#na", "#value!", "#ref!", "#div/0!", "#name?",
    "#num!", "#null!", "not available", "prefer not to answer", "prefer not to say",
    "do not know", "don't know", "not known", "declined", "refused",
    "n.a.", "n.a", "n.d.", "n.k.", "tbd", "no data", "not stated", "not reported", "not done",
)  # fmt: skip
#: Words that mean it among numbers, and may be the name of a group among words.
AMBIGUOUS = frozenset({"na", "none", "nil"})

#: A column of more different words holds free text, whose spelling is no group's name.
FREE_TEXT = 50
#: Column of a cohort table -> the name it has in a study.
RENAMED: Mapping[str, str] = MappingProxyType(
    {"age": "age_years", "height": "height_cm", "weight": "weight_kg"}
)
#: Names that popscan gives to columns of its own.
RESERVED = frozenset({"unit", "sub", "ses", "analysed"})


def column_name(text: str) -> str:
    """Return the name of a cohort table's column in a study, for headers and configs alike.

    Examples
    --------
    >>> column_name(" Sex "), column_name("Age"), column_name("Dice_Left"), column_name("sub")
    ('sex', 'age_years', 'dice_left', 'sub_in_table')
    """
    name = " ".join(text.split()).lower()
    return f"{name}_in_table" if name in RESERVED else RENAMED.get(name, name)


def is_recorded(value: object) -> bool:
    """Whether a cell says something.

    Examples
    --------
    >>> is_recorded("none"), is_recorded("Unknown "), is_recorded(float("nan")), is_recorded(0)
    (True, False, False, True)
    """
    # NaN and NaT differ from themselves; None and pandas' NA have these words as their text.
    return value is not None and str(value).strip().lower() not in NOT_RECORDED


def is_code(value: object) -> bool:
    """Whether a cell is a code such as 007, which as a number would lose its zeros."""
    text = value if isinstance(value, str) else ""
    return len(text) > 1 and text.isascii() and text.isdigit() and text[0] == "0"


def spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return spelling -> most frequent spelling, of groups that are written in several ways.

    Case and blanks do not make groups. More than `FREE_TEXT` different ones are no groups.

    Examples
    --------
    >>> spellings({"White": 3, "WHITE": 1, "Black": 2})
    {'WHITE': 'White'}
    """
    groups: dict[str, list[str]] = {}
    for text in counts:
        groups.setdefault(" ".join(text.casefold().split()), []).append(text)
    if len(groups) > FREE_TEXT:
        return {}
    best = {text: max(group, key=counts.__getitem__) for group in groups.values() for text in group}
    return {text: spelling for text, spelling in best.items() if text != spelling}


def listed(counts: Mapping[str, int]) -> str:
    """Name cells with how often they occur, at most five."""
    parts = [f"{cell[:40]!r} ({n})" for cell, n in list(counts.items())[:5]]
    return ", ".join(parts) + (", ..." if len(counts) > 5 else "")


def texts(values: Iterable[object]) -> list[str | None]:
    """Return values as stripped text, None where nothing was recorded; 1.0 among whole is 1.

    Examples
    --------
    >>> texts([1.0, float("nan"), 3.0]), texts([" a", None, "n/a", "none"])
    (['1', None, '3'], ['a', None, None, 'none'])
    """
    kept = [value if is_recorded(value) else None for value in values]
    whole = all(value.is_integer() for value in kept if isinstance(value, float))
    return [
        None
        if value is None
        else str(int(value) if whole and isinstance(value, float) else value).strip()
        for value in kept
    ]
