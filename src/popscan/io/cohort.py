"""The cohort table (BIDS ``participants.tsv``): every problem named at once, good rows kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from popscan.cells import AMBIGUOUS, EMPTY, MISSING_VALUES, column_name
from popscan.io.cell_numbers import decimal_mark, is_plain
from popscan.io.columns import Column, read_column
from popscan.io.problems import Problem, Table
from popscan.io.tables import Rows, read_rows
from popscan.io.ukb_table import FieldTable, is_field_table, read_field_rows
from popscan.records import PopscanError

#: Sex codes that need no configuration; 0 and 1 as in UK Biobank's data field 31.
SEX_CODES: Mapping[str, str] = {
    "f": "female",
    "female": "female",
    "w": "female",
    "woman": "female",
    "0": "female",
    "m": "male",
    "male": "male",
    "man": "male",
    "1": "male",
    "unknown": "unknown",
    "u": "unknown",
    "": "unknown",
}
#: Numeric columns that popscan uses -> the values that a living person can have.
RANGES: Mapping[str, tuple[float, float]] = {
    "age_years": (0.0, 125.0),
    "height_cm": (30.0, 260.0),
    "weight_kg": (1.0, 400.0),
}
_SEXES = ("female", "male", "unknown")
_IDENTIFIERS = ("participant_id", "session_id")
#: Columns whose cells are read by rules of their own.
_OWN_RULES = (*_IDENTIFIERS, "sex")
_BAND = re.compile(r"\d{1,3} ?(-|\u2013|to) ?\d{1,3}|[<>\u2264\u2265]=? ?\d{1,3}|\d{1,3}\+")
_NUMBER = re.compile(r"\d+([.,]\d+)+", re.ASCII)
#: Problems of a kind in one column that are named one by one.
_NAMED = 20


class CohortTable(NamedTuple):
    """A cohort table as it was read.

    Attributes
    ----------
    rows
        Text columns; "" where a value is missing.
    problems
        What has to be mended, in order of the lines.
    notes
        What was counted as missing, or read otherwise than it is written.
    """

    rows: pd.DataFrame
    problems: list[Problem]
    notes: list[str]


def read_participants(
    path: str | Path,
    *,
    sex_codes: Mapping[str, str] | None = None,
    required: Sequence[str] = ("participant_id",),
    may_be_empty: bool = False,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a table of subjects as `read_cohort` does; its rows and problems."""
    found = read_cohort(path, sex_codes=sex_codes, required=required, may_be_empty=may_be_empty)
    return found.rows, found.problems


def read_cohort(
    path: str | Path,
    *,
    sex_codes: Mapping[str, str] | None = None,
    missing_values: Collection[str] = MISSING_VALUES,
    categorical: Collection[str] = (),
    numeric: Collection[str] = (),
    required: Sequence[str] = ("participant_id",),
    may_be_empty: bool = False,
    fields: FieldTable | None = None,
    rename: Mapping[str, str] | None = None,
) -> CohortTable:
    """Read a cohort table; bad rows become problems, the good ones are returned.

    A line break within a cell, an unknown sex code, or a number that cannot be, is a problem, but
    the row stays, with ``unknown`` or an empty cell for the latter two. A missing cell (``n/a``) is
    no problem. Which rows are left out says `popscan.io.tables.read_rows`.

    Parameters
    ----------
    path
        TSV (or CSV) file in UTF-8, one row per subject or per subject and session.
    sex_codes
        The study's own codes -> ``female``, ``male`` or ``unknown``, beside `SEX_CODES` and before
        them; case does not matter.
    missing_values
        Words for "not recorded", besides `popscan.cells.EMPTY`.
    categorical, numeric
        Columns that hold groups, or numbers, whatever they look like.
    required
        Columns that must be there, beside ``participant_id``.
    may_be_empty
        Whether a header without rows is no problem.
    fields
        What is taken of a field table of UK Biobank; any other table is read as it is.
    rename
        Column of the file -> the name that it has in what is returned.

    Returns
    -------
    CohortTable
        Columns have the names of `popscan.cells.column_name`; ``participant_id`` has its prefix
        ``sub-``, and so has ``session_id`` (``ses-``) where the column exists. No rows if the file
        could not be read.
    """
    table = Table(file=str(path))
    codes = dict(SEX_CODES) | _own_codes(sex_codes or {})
    names = {column_name(old): new for old, new in (rename or {}).items()}
    if not names and is_field_table(Path(path)):
        rows = read_field_rows(Path(path), table, fields or FieldTable())
    else:
        rows = read_rows(
            Path(path), table, required=required, may_be_empty=may_be_empty, rename=names
        )
    if not rows.cells:
        # Of a table that could not be read nothing but the identifier is promised.
        empty = pd.DataFrame(columns=pd.Index(rows.columns), dtype=str)
        return CohortTable(empty, table.problems, table.notes)
    _read_columns(rows, table, missing_values, categorical, numeric)
    if "sex" in rows.columns:
        _check_sex(rows, table, codes, sex_codes or {}, missing_values)
    for line, row in zip(rows.lines, rows.cells, strict=True):
        _check_numbers(row, line, table)
    table.problems.sort(key=lambda problem: problem.line)
    frame = pd.DataFrame(rows.cells, columns=rows.columns, dtype=str)
    return CohortTable(frame, table.problems, table.notes)


def listed(problems: Sequence[Problem]) -> list[str]:
    """Say problems one by one; of many of a kind in one column the first, and how many."""
    counts: Counter[tuple[str, str]] = Counter()
    lines = []
    for problem in problems:
        kind = (problem.column, problem.expected)
        counts[kind] += 1
        if counts[kind] <= _NAMED:
            lines.append(str(problem))
    for (column, expected), n in counts.items():
        if n > _NAMED:
            what = f"column {column}" if column else "rows"
            lines.append(f"{problems[0].file}, {what}: {n - _NAMED} more; expected {expected}")
    return lines


def _own_codes(sex_codes: Mapping[str, str]) -> dict[str, str]:
    for code, sex in sex_codes.items():
        if sex not in _SEXES:
            raise PopscanError(f"sex code {code!r} -> {sex!r}: one of {', '.join(_SEXES)} expected")
    return {str(code).strip().lower(): sex for code, sex in sex_codes.items()}


def _read_columns(
    rows: Rows,
    table: Table,
    missing_values: Collection[str],
    categorical: Collection[str],
    numeric: Collection[str],
) -> None:
    """Read all columns but those with rules of their own."""
    _rename_bands(rows, table)
    names = [name for name in rows.columns if name not in _OWN_RULES]
    cells = {name: [row[name] for row in rows.cells] for name in names}
    wanted = {*numeric, *RANGES}
    decimal = _decimal_mark(rows.delimiter, cells)
    columns = {
        name: read_column(
            name, cells[name], missing_values=missing_values,
            categorical=name in categorical, numeric=name in wanted, decimal=decimal,
        )
        for name in names
    }  # fmt: skip
    # R writes NA for what is missing, in all columns alike.
    if any(_is_na(cell) and columns[n].numeric for n in names for cell in cells[n]):
        for name in names:
            if not columns[name].numeric and any(map(_is_na, cells[name])):
                columns[name] = read_column(
                    name, cells[name], missing_values=[*missing_values, "na"],
                    categorical=name in categorical,
                )  # fmt: skip
    for name, column in columns.items():
        for text in column.notes:
            table.note(name, text)
        _refuse(name, column, rows, table)
        for row, value in zip(rows.cells, column.values, strict=True):
            row[name] = value


def _decimal_mark(delimiter: str, cells: Mapping[str, Sequence[str]]) -> str:
    """Return the decimal mark of a table, as `format_of` takes it.

    The columns decide that leave no doubt, if they agree; else what separates columns.
    """
    found = set()
    commas = [name for name, values in cells.items() if any("," in text for text in values)]
    if not commas:
        return ""  # nothing to ask
    for values in cells.values():
        numbers = [text for text in values if _NUMBER.fullmatch(text)]
        if numbers:
            found.add(decimal_mark(numbers))
    found.discard("")
    if found:
        return found.pop() if len(found) == 1 else ""
    return {",": ".", ";": ";"}.get(delimiter, "")


def _is_na(cell: str) -> bool:
    return cell.lower() == "na"


def _rename_bands(rows: Rows, table: Table) -> None:
    """Take a column of ages that holds bands (40-44) for what it is."""
    if "age_years" not in rows.columns or "age_band" in rows.columns:
        return
    known = [row["age_years"] for row in rows.cells if row["age_years"].lower() not in EMPTY]
    bands = [text for text in known if _BAND.fullmatch(text)]
    if 2 * len(bands) <= len(known):
        return
    rows.columns[rows.columns.index("age_years")] = "age_band"
    for row in rows.cells:
        row["age_band"] = row.pop("age_years")
    table.note(
        "age_band",
        f"is the name given to the column of ages, which holds bands ({bands[0]!r}); no age in "
        "years is known",
    )


def _refuse(name: str, column: Column, rows: Rows, table: Table) -> None:
    """Report cells that are not numbers; columns with a range are reported line by line."""
    if not column.refused:
        return
    if name in RANGES:
        for row, text in column.refused.items():
            column.values[row] = text
        return
    counts = Counter(column.refused.values())
    shown = ", ".join(f"{text[:40]!r} ({n})" for text, n in counts.most_common(5))
    n = len(column.refused)
    known = n + sum(1 for value in column.values if value)
    table.add_note(
        rows.lines[min(column.refused)],
        name,
        shown + (", ..." if len(counts) > 5 else "") + f" among {known} cells",
        "finite numbers such as 1234.5, or n/a",
        count=n,
    )


def _check_sex(
    rows: Rows,
    table: Table,
    codes: Mapping[str, str],
    own: Mapping[str, str],
    missing_values: Collection[str],
) -> None:
    missing = EMPTY | AMBIGUOUS | {word.lower() for word in missing_values}
    cells = [row["sex"].lower() for row in rows.cells]
    # "1.0": a spreadsheet took it for a number.
    cells = [c[:-2] if c not in codes and c.endswith(".0") else c for c in cells]
    known = dict(codes)
    worded = any(not code.isdigit() and codes.get(code) in ("female", "male") for code in cells)
    if worded or ("2" in cells and "2" not in codes):
        # Coded as 1 and 2, or with digits beside words, as where two tables were joined: which of
        # them is female is not the same everywhere.
        for digit in {"0", "1"} - {str(code).strip() for code in own}:
            known.pop(digit, None)
    expected = f"one of {', '.join(sorted(c for c in known if c))}, n/a, or a code of "
    expected += "cohort.sex_codes"
    for row, line, code in zip(rows.cells, rows.lines, cells, strict=True):
        sex = "unknown" if code in missing and code not in known else known.get(code)
        if sex is None:
            table.add_note(line, "sex", repr(row["sex"][:40]), expected, row["participant_id"])
        row["sex"] = sex or "unknown"


def _check_numbers(row: dict[str, str], line: int, table: Table) -> None:
    for column, (low, high) in RANGES.items():
        text = row.get(column, "")
        if text and not (is_plain(text) and low <= float(text) <= high):
            expected = f"a number from {low:g} to {high:g}"
            table.add_note(line, column, repr(text[:40]), expected, row["participant_id"])
            row[column] = ""
