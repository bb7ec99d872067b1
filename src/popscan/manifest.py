"""A manifest's file: one Parquet row per record, what a stage found as typed columns.

``values`` is a struct and ``rows`` a list of structs, in order of first appearance, so that tables
are made of columns and nothing is parsed. Where a shard's records do not fit one type (a word among
numbers), and in manifests of earlier versions, both are JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from popscan.records import PopscanError, Record, Status

if TYPE_CHECKING:
    import pyarrow as pa

#: Statuses of records whose values count.
USABLE = (str(Status.OK), str(Status.EXCLUDED))
#: Records per row group.
_GROUP = 1024
#: Columns that hold what a stage found.
_FOUND = ("values", "rows")
#: What stands in journals only.
_LEFT_OUT = ("removed", "packed")
#: Columns without a type of their own.
_JSON = ("files", *_FOUND)


class ManifestRow(TypedDict, total=False):
    """A record as a manifest has it: the columns that were asked for (`popscan.records.Record`)."""

    unit: str
    stage: str
    status: str
    reason: str
    message: str
    fingerprint: str
    digest: str
    files: dict[str, int]
    values: dict[str, Any]
    rows: list[dict[str, Any]]
    seconds: float
    peak_mb: float
    cores: float
    gpus: float
    finished: str


def manifest_bytes(
    records: Sequence[Record],
    metadata: Mapping[str, str],
    *,
    text: Callable[[Any], str],
    printable: Callable[[str], str],
) -> bytes:
    """Return the Parquet file of a shard's records.

    Parameters
    ----------
    records
        In order of the plan.
    metadata
        For the file's footer.
    text
        Canonical JSON of anything.
    printable
        Text that UTF-8 can hold.
    """
    import pyarrow as pa

    plain = [_plain_row(record, text, printable) for record in records]
    try:
        return _written(plain, metadata, _typed(plain))
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return _written(plain, metadata, {})


def _plain_row(
    record: Record, text: Callable[[Any], str], printable: Callable[[str], str]
) -> dict[str, Any]:
    texts = {name: text(getattr(record, name)) for name in _JSON}
    texts |= {name: printable(getattr(record, name)) for name in ("reason", "message")}
    return {**vars(record), "status": str(record.status), **texts}


def _typed(plain: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """Return values and rows as typed columns; none where values lie where none count."""
    import pyarrow as pa

    if any(row["status"] not in USABLE and row["values"] != "{}" for row in plain):
        return {}
    counts = [row["status"] in USABLE for row in plain]
    columns = {name: _column([json.loads(row[name]) for row in plain], counts) for name in _FOUND}
    if not columns["values"].type.num_fields:  # no file can hold a struct of nothing
        columns["values"] = pa.nulls(len(plain))
    return columns


def _column(found: Sequence[Any], counts: Sequence[bool]) -> pa.Array:
    """Return values or rows of records as one typed column.

    A key that holds nothing, and that not all records have that count, has no numbers: so pandas
    reads it.
    """
    import pyarrow as pa

    column = pa.array(found)
    many = pa.types.is_list(column.type)
    struct = column.type.value_type if many else column.type
    if not pa.types.is_struct(struct) or all(not pa.types.is_null(field.type) for field in struct):
        return column
    rows = [row for each in found for row in each] if many else list(compress(found, counts))
    fields = [
        field.with_type(pa.float64())
        if pa.types.is_null(field.type) and not all(field.name in row for row in rows)
        else field
        for field in struct
    ]
    kind = pa.struct(fields)
    return pa.array(found, type=pa.list_(kind) if many else kind)


def _written(
    plain: Sequence[Mapping[str, Any]], metadata: Mapping[str, str], typed: Mapping[str, pa.Array]
) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        f.name: pa.float64() if f.type == "float" else pa.string()
        for f in fields(Record)
        if f.name not in _LEFT_OUT
    }
    columns = {
        name: typed[name] if name in typed else pa.array([row[name] for row in plain], type=kind)
        for name, kind in kinds.items()
    }
    table = pa.table(columns).replace_schema_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table, row_group_size=_GROUP)
    return sink.getvalue().to_pybytes()


def manifest_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a manifest as columns; values and rows are typed whatever the file has.

    Parameters
    ----------
    path
        The file.
    columns
        Which of `popscan.records.Record`'s fields; all by default. With values or rows also status.

    Raises
    ------
    OSError, ValueError
        If it is damaged.
    PopscanError
        If records do not fit one type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A manifest is small: to read ahead in threads costs more than it saves.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
    for name in _FOUND:
        if name in table.column_names and table.schema.field(name).type == pa.string():
            found = [json.loads(text) for text in table[name].to_pylist()]
            try:
                typed = _column(found, [status in USABLE for status in table["status"].to_pylist()])
            except pa.ArrowException as error:
                raise PopscanError(
                    f"{path}: {name} hold words where other records hold numbers ({error}); "
                    "expected one kind of value in a column"
                ) from error
            table = table.set_column(table.column_names.index(name), name, typed)
    return table


def manifest_rows(path: Path, columns: Sequence[str] | None = None) -> list[ManifestRow]:
    """Read a manifest as records, in plain Python.

    Parameters
    ----------
    path, columns
        As for `manifest_columns`.

    Raises
    ------
    OSError, ValueError
        If the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
    rows: list[dict[str, Any]] = table.to_pylist()
    for name in (name for name in _JSON if name in table.column_names):
        kind = table.schema.field(name).type
        read = json.loads if kind == pa.string() else _reader(name, kind)
        for row in rows:
            row[name] = read(row[name])
    return cast("list[ManifestRow]", rows)


def _reader(name: str, kind: pa.DataType) -> Callable[[Any], Any]:
    """Return the function that turns one cell of values or rows into plain Python."""
    import pyarrow as pa

    item = kind.value_type if name == "rows" and pa.types.is_list(kind) else kind
    # A key that a record lacks reads as None; where all have None, the key was there.
    empty = (
        {item.field(i).name for i in range(item.num_fields) if pa.types.is_null(item.field(i).type)}
        if pa.types.is_struct(item)
        else set()
    )

    def known(cell: Mapping[str, Any] | None) -> dict[str, Any]:
        pairs = (cell or {}).items()
        return {key: value for key, value in pairs if value is not None or key in empty}

    def known_rows(cells: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        return [known(cell) for cell in cells or ()]

    return known_rows if name == "rows" else known
