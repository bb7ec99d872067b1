"""What a cell of a table says: the one definition of "not recorded", for readers and statistics.

A cohort table is read once, by `popscan.io.tables`: there `cohort.missing_values` (by default
`MISSING_VALUES`) becomes empty. All that comes after it compares with `EMPTY` and `NOT_RECORDED`
only, so that a group that a study calls "none" or "NA" stays a group.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Cells that hold nothing, in small letters: what tables of BIDS and of pandas write for it.
EMPTY = frozenset({"", "n/a", "nan", "nat", "<na>"})
#: Words of people for it, and `EMPTY`.
NOT_RECORDED = EMPTY | {"unknown", "missing", "not recorded"}
#: What a cohort table may hold for it beside these; the default of ``cohort.missing_values``.
MISSING_VALUES: tuple[str, ...] = (
    "null", ".", "?", "-", "--", "#n/a", "#na", "#value!", "#ref!", "#div/0!", "#name?",
    "#num!", "#null!", "not available", "prefer not to answer", "prefer not to say",
    "do not know", "don't know", "not known", "declined", "refused",
)  # fmt: skip
#: Words that mean it among numbers, and may be the name of a group among words.
AMBIGUOUS = frozenset({"na", "none", "nil"})


def is_recorded(value: object) -> bool:
    """Whether a cell says something.

    Examples
    --------
    >>> is_recorded("none"), is_recorded("Unknown "), is_recorded(float("nan")), is_recorded(0)
    (True, False, False, True)
    """
    # NaN and NaT differ from themselves; None and pandas' NA have these words as their text.
    return value is not None and str(value).strip().lower() not in NOT_RECORDED


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
