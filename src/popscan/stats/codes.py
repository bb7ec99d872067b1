"""Numbers that are none: answer codes among values, and numbers of sites."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from popscan.stats.texts import column_texts

#: Negative answers of surveys and biobanks (do not know, prefer not to answer, less than one).
NEGATIVE = frozenset(
    {-1, -3, -7, -8, -9, -10, -11, -13, -77, -88, -99, -121, -313, -521, -717, -777, -818, -888,
     -999, -7777, -8888, -9999}
)  # fmt: skip
#: Codes for "missing" that lie far above all values.
NINES = frozenset({99, 777, 888, 999, 7777, 8888, 9999, 99999})
#: Fewest values, and fewest different ones, beside which a number stands out as a code.
_MANY, _DIFFERENT = 10, 5
#: A code of `NINES` is so many times larger than all values.
_FAR = 2.0
_SITE = re.compile(
    r"(.*_)?(site|centre|center|hospital|clinic|scanner|institution)(_?(id|code|number|no|nr))?"
)
_WEIGHT = re.compile(
    r"(.*_)?(ip[ct]?w|pweights?|fweights?|wgt|svywt)(_.*)?|weights|"
    r".*(sampl|survey|design|prob|stratif|rak|calib|response|inverse)\w*_?(weight|wt|wgt)s?"
)


def blank_codes(
    table: pd.DataFrame,
    *,
    codes: Mapping[str, Sequence[float]] | None = None,
    leave: Collection[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """Set answer codes to NaN: those listed in any column, suspected ones in columns of numbers.

    Parameters
    ----------
    table
        Not changed.
    codes
        Column -> its codes, also among words and numbers of categories; of other columns of
        numbers those that `suspected_codes` finds.
    leave
        Columns that hold categories, in which no code is suspected.

    Returns
    -------
    table : DataFrame
        With NaN for codes.
    notes : list of str
        A sentence per column with codes.

    Examples
    --------
    >>> people = pd.DataFrame({"walk_days": [*range(8), 3, 4, -3, -1]})
    >>> blank_codes(people)[1]
    ['walk_days: -3 (1), -1 (1) are codes among values from 0 and count as missing; \
cohort.special_codes can say otherwise.']
    """
    clean, notes = table, []
    for name in map(str, table.columns):
        column = table[name]
        given = (codes or {}).get(name)
        is_number = pd.api.types.is_numeric_dtype(column)
        if given is None and (name in leave or not is_number):
            continue
        found = suspected_codes(column) if given is None else list(given)
        numbers = column if is_number else pd.to_numeric(column, errors="coerce")
        wrong = numbers.isin(found)
        if not wrong.any():
            continue
        counts = sorted(Counter(numbers[wrong].tolist()).items())
        listed = ", ".join(f"{value:g} ({n})" for value, n in counts)
        why = "are codes among values from 0 and" if given is None else "are codes that"
        hint = "; cohort.special_codes can say otherwise" if given is None else ""
        notes.append(f"{name}: {listed} {why} count as missing{hint}.")
        values = column.astype(float) if is_number else column.astype(object)
        clean = clean.assign(**{name: values.mask(wrong, np.nan)})
    return clean, notes


def suspected_codes(column: pd.Series) -> list[float]:
    """Return numbers of a column that are codes rather than values.

    Negative ones are, if all negative numbers are among `NEGATIVE` and ten or more others are not
    negative; those of `NINES` are, if they are more than twice as large as all others.
    """
    values = column.dropna().to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    negative, rest = np.unique(values[values < 0]), values[values >= 0]
    if len(rest) < _MANY or len(np.unique(rest)) < _DIFFERENT:
        return []
    found = list(negative) if set(negative) <= NEGATIVE else []
    others = rest[~np.isin(rest, list(NINES))]
    if len(others) >= _MANY and len(np.unique(others)) >= _DIFFERENT:
        found += sorted(n for n in NINES if n > _FAR * others.max() and n in rest)
    return [float(value) for value in found]


def as_categories(
    table: pd.DataFrame, *, categorical: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Turn numbers that are codes of categories into text: those named, and those of sites.

    Parameters
    ----------
    table
        Not changed.
    categorical
        Columns that are categories. Whole numbers in columns called site, centre, center,
        hospital, clinic, scanner or institution (``site_id``, ``imaging_centre``) are, too.
    """
    found, notes = table, []
    for name in map(str, table.columns):
        column = table[name]
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        if name not in categorical and not (_SITE.fullmatch(name) and _whole(column)):
            continue
        words = pd.Series(column_texts(column), index=column.index, dtype=object)
        found = found.assign(**{name: words})
        if name not in categorical:
            notes.append(f"{name}: its {words.nunique()} whole numbers are read as categories.")
    return found, notes


def few_whole_numbers(column: pd.Series) -> bool:
    """Whether numbers may be codes of categories: 3 to 10 different whole ones, each repeated."""
    known = column.dropna()
    different = known.nunique()
    return 3 <= different <= 10 and len(known) >= 3 * different and _whole(known)


def slope_notes(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Name the columns among `names` whose few whole numbers are used as a quantity."""
    return [
        f"{name}: its {table[name].nunique()} different whole numbers are used as a quantity, with "
        "one slope; if they are codes of categories, list it in cohort.categorical."
        for name in dict.fromkeys(names)
        if name in table
        and pd.api.types.is_numeric_dtype(table[name])
        and few_whole_numbers(table[name])
    ]


def two_value_notes(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Name the columns among `names` that hold two numbers which are not 0 and 1.

    Surveys write 1 and 2 for yes and no, or for no and yes: the sign of a difference hangs on it.

    Examples
    --------
    >>> table = pd.DataFrame({"ill": [1, 2, 2, 1], "well": [0, 1, 1, 0]})
    >>> two_value_notes(table, ["ill", "well"])[0][:32]
    'ill: holds 1 and 2 alone and is '
    """
    notes = []
    for name in dict.fromkeys(names):
        if name not in table or not pd.api.types.is_numeric_dtype(table[name]):
            continue
        values = sorted(set(table[name].dropna().astype(float)))
        if len(values) == 2 and values != [0.0, 1.0] and all(map(float.is_integer, values)):
            notes.append(
                f"{name}: holds {values[0]:g} and {values[1]:g} alone and is compared as a "
                "quantity; if they are codes of yes and no, write 1 for yes and 0 for no: the "
                "sign of its differences depends on it."
            )
    return notes


def weight_notes(table: pd.DataFrame) -> list[str]:
    """Name the columns that look like weights of subjects: nothing is weighted by them."""
    return [
        f"{name}: looks like a weight of subjects (survey, inverse probability); popscan has no "
        "weighted estimates, so all numbers are those of the sample."
        for name in map(str, table.columns)
        if _WEIGHT.fullmatch(name) and pd.api.types.is_numeric_dtype(table[name])
    ]


def _whole(column: pd.Series) -> bool:
    values = column.dropna().to_numpy(dtype=float)
    return bool(len(values) and np.isfinite(values).all() and (values == np.round(values)).all())
