"""Rows of a cohort table, as text: file, header, identifiers, every problem named at once."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from popscan.cells import AMBIGUOUS, EMPTY, MISSING_VALUES, RENAMED, RESERVED, column_name
from popscan.io.problems import Table
from popscan.records import PopscanError, check_identifier

if TYPE_CHECKING:
    from _csv import Reader

#: What becomes of a long identifier in a spreadsheet: digits are lost.
_SPREADSHEET = re.compile(r"\d([.,]\d+)?[eE]\+\d+", re.ASCII)
_FLOAT = re.compile(r"\d+\.0", re.ASCII)
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


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


@dataclass
class Rows:
    """Rows of a table as text, with the line that each starts on.

    Attributes
    ----------
    columns
        Names in small letters; see `popscan.cells.column_name`.
    cells
        One mapping per row.
    lines
        Line of each row.
    delimiter
        What separates the columns.
    """

    columns: list[str] = field(default_factory=lambda: ["participant_id"])
    cells: list[dict[str, str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    delimiter: str = "\t"


def read_rows(
    path: Path,
    table: Table,
    *,
    required: Sequence[str] = (),
    may_be_empty: bool = False,
    rename: Mapping[str, str] | None = None,
) -> Rows:
    """Read the rows of a table; what is wrong goes to `table`.

    A row is left out if its identifier is unsafe or was seen before (the first one stays), its
    number of cells is wrong, or stray quotes made the next rows a part of it. A quote that never
    closes spoils the whole table.

    Parameters
    ----------
    path
        TSV (or CSV) file in UTF-8.
    table
        Where problems and notes are added.
    required
        Columns that must be there, beside ``participant_id``.
    may_be_empty
        Whether a header without rows is no problem.
    rename
        Name of a column in the file, as `popscan.cells.column_name` has it -> its name here.
    """
    text = _read_text(path, table)
    if text is None:
        return Rows()
    delimiter = _delimiter(path, text, table)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = _columns(next(reader), table, required, rename or {})
        rows = Rows() if columns is None else _rows(reader, columns, table)
    except csv.Error as error:
        table.add_note(0, "", f"a damaged table ({error})", "quotes that close and no NUL bytes")
        return Rows()
    if not rows.cells and not table.problems and not may_be_empty:
        table.add_note(0, "", "a header and no rows", "one row per subject")
    return rows


def _read_text(path: Path, table: Table) -> str | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        table.add_note(0, "", "no such file", "a cohort table")
        return None
    except OSError as error:
        table.add_note(0, "", f"an unreadable file ({error.strerror})", "a cohort table")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        table.add_note(line, "", f"byte 0x{data[error.start]:02x}", "text in UTF-8")
        return None
    if not text.strip():
        table.add_note(0, "", "an empty file", "a header with participant_id and a row per subject")
        return None
    if "\0" in text:
        table.add_note(text[: text.index("\0")].count("\n") + 1, "", "a NUL byte", "text in UTF-8")
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
    table.add_note(
        1,
        "",
        f"columns separated by {_DELIMITERS[used]}",
        f"{_DELIMITERS[promised]} in a {path.suffix or 'TSV'} file",
    )
    return used


def _columns(
    header: list[str], table: Table, required: Sequence[str], rename: Mapping[str, str]
) -> list[str] | None:
    while header and not header[-1].strip():  # spreadsheets leave empty columns at the end
        header.pop()
    columns = [rename.get(column_name(name), column_name(name)) for name in header]
    for position, (given, name) in enumerate(zip(header, columns, strict=True)):
        plain = " ".join(given.split()).lower()
        if not name:  # the index that pandas writes
            columns[position] = f"column_{position + 1}"
            table.note(columns[position], "is the name given to a column without one")
        elif columns.count(name) > 1 and plain in RENAMED:  # both age and age_years
            columns[position] = plain
        elif plain in RESERVED:
            table.note(name, f"is the name given to column {plain!r}, which popscan uses itself")
    ok = True
    for name in dict.fromkeys(["participant_id", *required]):
        if name not in columns:
            listed = ", ".join(repr(c) for c in columns[:20])
            table.add_note(1, name, f"no such column (columns: {listed})", f"a column {name}")
            ok = False
    for name in sorted({c for c in columns if columns.count(c) > 1}):
        table.add_note(1, name, f"{columns.count(name)} columns of this name", "one")
        ok = False
    return columns if ok else None


def _rows(reader: Reader, columns: list[str], table: Table) -> Rows:
    rows = Rows(columns=columns, delimiter=reader.dialect.delimiter)
    seen: dict[tuple[str, str], int] = {}
    for line, cells in _numbered(reader):
        if not any(cell.strip() for cell in cells):
            continue
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(columns):
            table.add_note(line, "", f"{len(cells)} cells", f"{len(columns)}, as in the header")
            continue
        # Only blanks go: a line break within an identifier has to be seen, not mended.
        row = dict(zip(columns, (cell.strip(" \u00a0") for cell in cells), strict=True))
        if _check_identifiers(row, line, table, seen) and _check_breaks(
            row, line, table, reader.dialect.delimiter
        ):
            rows.cells.append(row)
            rows.lines.append(line)
    return rows


def _numbered(reader: Reader) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the line it starts on, which a damaged one has too."""
    line = reader.line_num + 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"in the row of line {line}: {error}") from error


def _check_identifiers(
    row: dict[str, str], line: int, table: Table, seen: dict[tuple[str, str], int]
) -> bool:
    for column, prefix in (("participant_id", "sub-"), ("session_id", "ses-")):
        if column not in row:
            continue
        row[column] = _identifier(row[column])
        if column == "session_id" and not row[column]:
            continue
        try:
            if _SPREADSHEET.fullmatch(row[column]):
                raise PopscanError("a number that a spreadsheet rounded")
            row[column] = subject_label(row[column], prefix=prefix)
        except PopscanError:
            table.add_note(
                line,
                column,
                _shown(row[column]),
                "letters, digits and . _ + - only, starting with a letter or digit, no '..', "
                "at most 64 characters",
            )
            return False
    key = (row["participant_id"], row.get("session_id", ""))
    if key in seen:
        table.add_note(
            line,
            "participant_id",
            f"{' '.join(k for k in key if k)} again (first on line {seen[key]}, which is used)",
            "each subject once",
            subject="_".join(k for k in key if k),
        )
        return False
    seen[key] = line
    return True


def _identifier(text: str) -> str:
    """Return the identifier of a cell, without the .0 that a spreadsheet adds; "" if none."""
    if text.lower() in EMPTY | AMBIGUOUS | set(MISSING_VALUES):
        return ""
    return text[:-2] if _FLOAT.fullmatch(text) else text


def _shown(identifier: str) -> str:
    if _SPREADSHEET.fullmatch(identifier):
        return f"{identifier!r}, a number that a spreadsheet rounded"
    return repr(identifier[:80]) if identifier else "no identifier"


def _check_breaks(row: dict[str, str], line: int, table: Table, delimiter: str) -> bool:
    """Report cells of several lines; one that holds a delimiter too is made of other rows."""
    broken = [name for name, text in row.items() if "\n" in text or "\r" in text]
    for name in broken:
        # What it says is not repeated: it may be a note on somebody else.
        found = f"a cell of {len(row[name].splitlines())} lines"
        table.add_note(line, name, found, "one line, quotes in pairs", row["participant_id"])
    return not any(delimiter in row[name] for name in broken)
