"""UK Biobank's field table as a cohort table: one row per visit, columns with readable names.

The table has a row per participant and a column per field, instance and array. What belongs to a
visit is taken from the visit's instance and nowhere else; what belongs to the participant (sex,
ethnic background) from the first instance that says something. The table is read row by row, and
only participants with images are kept: it may hold half a million others.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from popscan.io.cell_numbers import is_plain
from popscan.io.problems import Table
from popscan.io.tables import Rows, subject_label
from popscan.io.ukb_fields import (
    ATTRIBUTES,
    IMAGING_INSTANCES,
    Attribute,
    decoded,
    field_column,
    is_eid,
)
from popscan.records import PopscanError

_SESSION = re.compile(r"ses-(\d{1,2})", re.ASCII)
#: Header of the widest table that there is: 30,000 columns of 30 letters.
_MAX_HEADER = 2**23
_DELIMITERS = ",\t;"


@dataclass(frozen=True, kw_only=True)
class FieldTable:
    """What a study takes of a field table.

    Attributes
    ----------
    visits
        Subject (``sub-1000012``) -> its visits (``ses-2``, or ``""``) with images; None for all
        participants, at the first imaging visit.
    image_fields
        Bulk fields of which a participant without images ought to have some.
    own
        Further attributes -> field.
    """

    visits: Mapping[str, Collection[str]] | None = None
    image_fields: Collection[int] = ()
    own: Mapping[str, int] = field(default_factory=dict)


def is_field_table(path: Path) -> bool:
    """Whether a file's header is that of a field table: an eid, and columns of fields."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline(_MAX_HEADER)
    except (OSError, UnicodeDecodeError):
        return False
    names = _split(header)
    return any(map(is_eid, names)) and any(map(field_column, names))


def read_field_rows(path: Path, table: Table, wanted: FieldTable) -> Rows:
    """Read the rows of the visits with images; problems and notes go to `table`.

    A participant without images is a row only where a bulk column says that there are some.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(_MAX_HEADER)
            delimiter = max(_DELIMITERS, key=header.count)
            reader = csv.reader(file, delimiter=delimiter)
            return _read(_split(header), reader, delimiter, table, wanted)
    except OSError as error:
        table.add_note(0, "", f"an unreadable file ({error.strerror})", "a field table")
    except UnicodeDecodeError as error:
        table.add_note(0, "", f"byte 0x{error.object[error.start]:02x}", "text in UTF-8")
    except csv.Error as error:
        table.add_note(0, "", f"a damaged table ({error})", "quotes that close and no NUL bytes")
    return Rows()


def _split(header: str) -> list[str]:
    delimiter = max(_DELIMITERS, key=header.count)
    return next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter), [])


class _Columns:
    """Where the cells of fields stand, and what is made of them."""

    def __init__(self, header: Sequence[str], own: Mapping[str, int]) -> None:
        self.cells: dict[int, dict[int, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
        for position, name in enumerate(header):
            if (found := field_column(name)) is not None:
                self.cells[found.field][found.instance].setdefault(found.array, position)
        known = [a for a in ATTRIBUTES if a.name not in own]
        # Of a field that was not asked at imaging visits there is the participant's answer only.
        added = [
            Attribute(
                name=name,
                fields=(number,),
                fixed=not set(self.cells.get(number, {})) & set(IMAGING_INSTANCES),
            )
            for name, number in own.items()
        ]
        self.attributes = [
            a for a in [*known, *added] if any(number in self.cells for number in a.fields)
        ]
        self.lacking = [
            f"{a.name} (field {a.fields[0]})" for a in added if a.fields[0] not in self.cells
        ]

    def value(self, attribute: Attribute, row: Sequence[str], instance: int) -> str:
        """Return the value of an attribute at a visit; empty where nothing is recorded."""
        for number in attribute.fields:
            there = self.cells.get(number, {})
            for one in sorted(there) if attribute.fixed else [instance]:
                texts = [row[p] for _, p in sorted(there.get(one, {}).items())]
                if found := _combined(attribute, texts):
                    return found
        return ""

    def has_images(self, row: Sequence[str], instance: int, fields: Collection[int]) -> bool:
        """Whether a bulk column says that there is an image of this visit."""
        places = [p for f in fields for p in self.cells.get(f, {}).get(instance, {}).values()]
        return any(decoded(row[p], {}) for p in places)

    def notes(self) -> Iterator[tuple[str, str]]:
        """Say of each attribute which fields it is."""
        for attribute in self.attributes:
            numbers = [n for n in attribute.fields if n in self.cells]
            where = "first instance recorded" if attribute.fixed else "the visit's instance"
            n_arrays = max(len(a) for n in numbers for a in self.cells[n].values())
            many = {
                "mean": f", mean of {n_arrays} arrays",
                "first": f", first of {n_arrays} arrays",
            }
            yield (
                attribute.name,
                f"is UK Biobank field {', else '.join(map(str, numbers))} ({where}"
                + (many[attribute.arrays] if n_arrays > 1 else "")
                + ")",
            )


def _combined(attribute: Attribute, texts: Sequence[str]) -> str:
    """Return one value for the arrays of a field."""
    values = [text for text in (decoded(t, attribute.coding) for t in texts) if text]
    if attribute.arrays == "mean" and len(values) > 1 and all(map(is_plain, values)):
        return f"{sum(map(float, values)) / len(values):.10g}"
    return values[0] if values else ""


def _read(
    header: Sequence[str],
    reader: Iterator[list[str]],
    delimiter: str,
    table: Table,
    wanted: FieldTable,
) -> Rows:
    eid_at = next(n for n, name in enumerate(header) if is_eid(name))
    columns = _Columns(header, wanted.own)
    for name, text in columns.notes():
        table.note(name, text)
    for name in columns.lacking:
        table.add_note(1, "", f"no column of {name}", "the fields of cohort.ukb_fields")
    names = ["participant_id", "session_id", *(a.name for a in columns.attributes)]
    rows = Rows(columns=names, delimiter=delimiter)
    seen: dict[str, int] = {}
    n_without = 0
    for line, row in enumerate(reader, start=2):
        eid = row[eid_at].strip().removesuffix(".0") if len(row) > eid_at else ""
        if not eid:
            continue
        sub = _label(eid)
        if sub is None or len(row) != len(header):
            _tell_row(table, line, sub, len(row), len(header))
            continue
        sessions = _sessions(columns, row, sub, wanted)
        n_without += not sessions
        if sessions and sub in seen:
            found = f"{sub} again (first on line {seen[sub]}, which is used)"
            table.add_note(line, "eid", found, "each participant once", subject=sub)
            continue
        for session in sessions:
            seen[sub] = line
            rows.cells.append(_row(columns, row, sub, session))
            rows.lines.append(line)
    if n_without:
        table.note("eid", f"{n_without} participants of the table have no images and are left out")
    used = {number for a in columns.attributes for number in a.fields}
    if others := set(columns.cells) - used:
        table.note(
            "columns", f"{len(others)} other fields are not used; cohort.ukb_fields can name them"
        )
    return rows


def _row(columns: _Columns, row: Sequence[str], sub: str, session: str) -> dict[str, str]:
    match = _SESSION.fullmatch(session)
    instance = int(match[1]) if match else IMAGING_INSTANCES[0]
    values = {a.name: columns.value(a, row, instance) for a in columns.attributes}
    return {"participant_id": sub, "session_id": session, **values}


def _sessions(columns: _Columns, row: Sequence[str], sub: str, wanted: FieldTable) -> list[str]:
    """Visits of a participant that are part of the study."""
    if wanted.visits is None:
        return [""]
    there = set(wanted.visits.get(sub, ()))
    if "" in there:  # images without a visit
        return sorted(there)
    promised = {
        f"ses-{i}" for i in IMAGING_INSTANCES if columns.has_images(row, i, wanted.image_fields)
    }
    return sorted(there | promised)


def _label(eid: str) -> str | None:
    try:
        return subject_label(eid)
    except PopscanError:
        return None


def _tell_row(table: Table, line: int, sub: str | None, n_cells: int, n_columns: int) -> None:
    if sub is None:
        table.add_note(line, "eid", "no eid", "a number")
    else:
        table.add_note(line, "", f"{n_cells} cells", f"{n_columns}, as in the header")


def withdrawn_eids(path: Path) -> list[str] | None:
    """Read UK Biobank's list of withdrawn participants: an eid per line, without a header.

    Returns
    -------
    list of str
        Empty for an empty file; None where the file is another table.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError):
        return None
    words = [word.strip('",;') for word in lines]
    eids = [word for word in words if word]
    if eids and is_eid(eids[0]):
        eids = eids[1:]
    return eids if all(re.fullmatch(r"\d{4,10}", eid, re.ASCII) for eid in eids) else None
