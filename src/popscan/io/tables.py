"""The cohort table (BIDS ``participants.tsv``): read as text, every problem named at once."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from popscan.io.problems import Problem, Table
from popscan.records import PopscanError, check_identifier

if TYPE_CHECKING:
    from _csv import Reader

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
#: What stands for "not recorded"; read as an empty cell.
MISSING = frozenset({"", "n/a", "na", "nan", "null", "none", "."})
#: Numeric columns that popscan uses -> the values that a living person can have.
RANGES: Mapping[str, tuple[float, float]] = {
    "age_years": (0.0, 125.0),
    "height_cm": (30.0, 260.0),
    "weight_kg": (1.0, 400.0),
}
_RENAMED = {"age": "age_years", "height": "height_cm", "weight": "weight_kg"}
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
_SEXES = ("female", "male", "unknown")


def subject_label(text: str, *, prefix: str = "sub-") -> str:
    """Return `text` as a checked BIDS label: with its prefix, whether or not it had one.

    Raises
    ------
    PopscanError
        If it is not safe as an identifier and folder name.

    Examples
    --------
    >>> subject_label("patient001"), subject_label("sub-0001"), subject_label("02", prefix="ses-")
    ('sub-patient001', 'sub-0001', 'ses-02')
    """
    what = "subject" if prefix == "sub-" else "session"
    check_identifier(text, what=what)
    return text if text.startswith(prefix) else check_identifier(prefix + text, what=what)


def read_participants(
    path: str | Path,
    *,
    sex_codes: Mapping[str, str] | None = None,
    required: Sequence[str] = ("participant_id",),
    may_be_empty: bool = False,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a cohort table; bad rows become problems, the good ones are returned.

    A row is left out if its identifier is unsafe or was seen before (the first one stays), its
    number of cells is wrong, or stray quotes made the next rows a part of it. A line break within a
    cell, an unknown sex code, or a number that cannot be, is a problem too, but the row stays, with
    ``unknown`` or an empty cell for the latter two. A missing cell (``n/a``) is no problem. A quote
    that never closes spoils the whole table.

    Parameters
    ----------
    path
        TSV (or CSV) file in UTF-8, one row per subject or per subject and session.
    sex_codes
        The study's own codes -> ``female``, ``male`` or ``unknown``, beside `SEX_CODES` and before
        them; case does not matter.
    required
        Columns that must be there, beside ``participant_id``.
    may_be_empty
        Whether a header without rows is no problem.

    Returns
    -------
    table : pandas.DataFrame
        Text columns with lower-case names; ``participant_id`` with its prefix ``sub-``, and so
        ``session_id`` (``ses-``) where the column exists; "" where a value is missing; ``age``,
        ``height``, ``weight`` renamed to ``age_years``, ``height_cm``, ``weight_kg``. Empty if the
        file could not be read.
    problems : list of Problem
        All of them, in order of the lines.
    """
    table = Table(file=str(path))
    codes = dict(SEX_CODES) | _own_codes(sex_codes or {})
    text = _read_text(Path(path), table)
    empty = pd.DataFrame({"participant_id": pd.Series(dtype=str)})
    if text is None:
        return empty, table.problems
    delimiter = _delimiter(Path(path), text, table)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = _columns(next(reader), table, required)
        if columns is None:
            return empty, table.problems
        rows = _rows(reader, columns, table, codes)
    except csv.Error as error:
        table.tell(0, "", f"a damaged table ({error})", "quotes that close and no NUL bytes")
        return empty, table.problems
    if not rows and not table.problems and not may_be_empty:
        table.tell(0, "", "a header and no rows", "one row per subject")
    return pd.DataFrame(rows, columns=columns, dtype=str), table.problems


def _own_codes(sex_codes: Mapping[str, str]) -> dict[str, str]:
    for code, sex in sex_codes.items():
        if sex not in _SEXES:
            raise PopscanError(f"sex code {code!r} -> {sex!r}: one of {', '.join(_SEXES)} expected")
    return {str(code).strip().lower(): sex for code, sex in sex_codes.items()}


def _read_text(path: Path, table: Table) -> str | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        table.tell(0, "", "no such file", "a cohort table")
        return None
    except OSError as error:
        table.tell(0, "", f"an unreadable file ({error.strerror})", "a cohort table")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        table.tell(line, "", f"byte 0x{data[error.start]:02x}", "text in UTF-8")
        return None
    if not text.strip():
        table.tell(0, "", "an empty file", "a header with participant_id and a row per subject")
        return None
    if "\0" in text:
        table.tell(text[: text.index("\0")].count("\n") + 1, "", "a NUL byte", "text in UTF-8")
        return None
    return text


def _delimiter(path: Path, text: str, table: Table) -> str:
    """Delimiter that the header uses; one that the file name does not promise is a problem."""
    promised = "," if path.suffix.lower() == ".csv" else "\t"
    header = text.splitlines()[0]
    used = max(_DELIMITERS, key=lambda d: (header.count(d), d == promised))
    if header.count(used) == 0 or used == promised:
        return promised
    if promised == "," and used == ";":  # what spreadsheets call CSV in half of Europe
        return used
    table.tell(
        1,
        "",
        f"columns separated by {_DELIMITERS[used]}",
        f"{_DELIMITERS[promised]} in a {path.suffix or 'TSV'} file",
    )
    return used


def _columns(header: list[str], table: Table, required: Sequence[str]) -> list[str] | None:
    columns = [name.strip().lower() for name in header]
    while columns and not columns[-1]:  # spreadsheets leave empty columns at the end
        columns.pop()
    columns = [
        _RENAMED[name] if name in _RENAMED and _RENAMED[name] not in columns else name
        for name in columns
    ]
    ok = True
    for name in dict.fromkeys(["participant_id", *required]):
        if name not in columns:
            listed = ", ".join(repr(c) for c in columns[:20])
            table.tell(1, name, f"no such column (columns: {listed})", f"a column {name}")
            ok = False
    for name in sorted({c for c in columns if columns.count(c) > 1}):
        table.tell(1, name, f"{columns.count(name)} columns of this name", "one")
        ok = False
    return columns if ok else None


def _rows(
    reader: Reader,
    columns: list[str],
    table: Table,
    codes: Mapping[str, str],
) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    seen: dict[tuple[str, str], int] = {}
    for line, cells in _numbered(reader):
        if not any(cell.strip() for cell in cells):
            continue
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(columns):
            table.tell(line, "", f"{len(cells)} cells", f"{len(columns)}, as in the header")
            continue
        row = dict(zip(columns, (_cell(c) for c in cells), strict=True))
        if _check_identifiers(row, line, table, seen) and _check_breaks(
            row, line, table, reader.dialect.delimiter
        ):
            _check_sex(row, line, table, codes)
            _check_numbers(row, line, table)
            rows.append(row)
    return rows


def _numbered(reader: Reader) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the line it starts on, which a damaged one tells too."""
    line = reader.line_num + 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"in the row of line {line}: {error}") from error


def _cell(text: str) -> str:
    # Only blanks go: a line break within an identifier has to be seen, not mended.
    text = text.strip(" \u00a0")
    return "" if text.lower() in MISSING else text


def _check_identifiers(
    row: dict[str, str], line: int, table: Table, seen: dict[tuple[str, str], int]
) -> bool:
    for column, prefix in (("participant_id", "sub-"), ("session_id", "ses-")):
        if column not in row or (column == "session_id" and not row[column]):
            continue
        try:
            row[column] = subject_label(row[column], prefix=prefix)
        except PopscanError:
            table.tell(
                line,
                column,
                repr(row[column][:80]) if row[column] else "no identifier",
                "letters, digits and . _ + - only, starting with a letter or digit, no '..', "
                "at most 64 characters",
            )
            return False
    key = (row["participant_id"], row.get("session_id", ""))
    if key in seen:
        table.tell(
            line,
            "participant_id",
            f"{' '.join(k for k in key if k)} again (first on line {seen[key]}, which is used)",
            "each subject once",
            subject="_".join(k for k in key if k),
        )
        return False
    seen[key] = line
    return True


def _check_breaks(row: dict[str, str], line: int, table: Table, delimiter: str) -> bool:
    """Tell cells of several lines; one that holds a delimiter too is made of other rows' cells."""
    broken = [name for name, text in row.items() if "\n" in text or "\r" in text]
    for name in broken:
        # What it says is not told: it may be a note on somebody else.
        found = f"a cell of {len(row[name].splitlines())} lines"
        table.tell(line, name, found, "one line, quotes in pairs", row["participant_id"])
    return not any(delimiter in row[name] for name in broken)


def _check_sex(row: dict[str, str], line: int, table: Table, codes: Mapping[str, str]) -> None:
    if "sex" not in row:
        return
    code = row["sex"].lower()
    if code not in codes and code.endswith(".0"):  # "1.0": a spreadsheet took it for a number
        code = code[:-2]
    if code not in codes:
        known = ", ".join(sorted(c for c in codes if c))
        table.tell(
            line, "sex", repr(row["sex"][:40]), f"one of {known}, n/a", row["participant_id"]
        )
    row["sex"] = codes.get(code, "unknown")


def _check_numbers(row: dict[str, str], line: int, table: Table) -> None:
    for column, (low, high) in RANGES.items():
        text = row.get(column, "")
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            expected = f"a number from {low:g} to {high:g}"
            table.tell(line, column, repr(text[:40]), expected, row["participant_id"])
            row[column] = ""
