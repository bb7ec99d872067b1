"""Tables made of the columns of many shards: bounded memory, and what pandas would have written.

The type of a column is known once all of it was seen. Until a row group is full, rows wait; then
the types seen so far are written. Where a later shard has others, the table is `outgrown`, and is
written again with all that was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import pandas as pd

from popscan.records import PopscanError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Rows per row group, as pandas writes them.
GROUP_ROWS = 1 << 20


@dataclass
class Columns:
    """Columns seen so far, in order of first appearance.

    Attributes
    ----------
    types
        Column -> type; null while nothing but missing cells was seen.
    gaps
        Columns with missing cells.
    late
        Columns that some shard lacks.
    n_rows
        Rows seen.
    """

    types: dict[str, pa.DataType] = field(default_factory=dict)
    gaps: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    n_rows: int = 0
    _nested: dict[str, object] = field(default_factory=dict)

    def see(self, chunk: pa.Table) -> None:
        """Learn the columns of further rows.

        Raises
        ------
        PopscanError
            If a column holds words and numbers.
        """
        if not chunk.num_rows:
            return
        for name in chunk.column_names:
            if name not in self.types and self.n_rows:
                self.late.add(name)
            column = chunk[name]
            self.types[name] = _common(self.types.get(name), column.type, name)
            if column.null_count:
                self.gaps.add(name)
            if column.type.num_fields and name not in self._nested:
                self._nested[name] = next(filter(None, column.to_pylist()), None)
        self.late.update(name for name in self.types if name not in chunk.column_names)
        self.gaps |= self.late
        self.n_rows += chunk.num_rows

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """Two rows of columns with the types that pandas finds for all of them."""
        return pd.DataFrame({name: self._example(name) for name in names})

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """Return the schema of some columns, with what pandas notes in it."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.frame(names), preserve_index=False).schema

    def _example(self, name: str) -> pd.Series:
        import pyarrow as pa

        kind, gaps = self.types[name], name in self.gaps
        if pa.types.is_integer(kind) and not gaps:
            return pd.Series([1, 1])
        late_nothing = pa.types.is_null(kind) and name in self.late
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or late_nothing:
            return pd.Series([0.5, 0.5])
        if pa.types.is_boolean(kind):
            return pd.Series([True, None], dtype=object) if gaps else pd.Series([True, True])
        if pa.types.is_string(kind):
            return pd.Series(["a", "a"])
        return pd.Series([self._nested.get(name), None], dtype=object)


def _common(known: pa.DataType | None, new: pa.DataType, name: str) -> pa.DataType:
    """Return the type that has the values of two."""
    import pyarrow as pa

    if known is None or known == new:
        return new
    schemas = [pa.schema([(name, kind)]) for kind in (known, new)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException as error:
        raise PopscanError(
            f"column {name}: some records hold {known}, others {new}; expected one kind of value"
        ) from error


class TableWriter:
    """Writes one table as Parquet, chunk by chunk.

    Parameters
    ----------
    stream
        The open file.
    columns
        Of the rows that the table is made of: whoever adds rows lets it see them first.
    part
        Whether only a part of those rows is added: columns in which it has nothing are left out.
    """

    def __init__(
        self,
        stream: IO[bytes],
        columns: Columns,
        *,
        part: bool = False,
        group_rows: int = GROUP_ROWS,
    ) -> None:
        self.outgrown = False
        self.n_rows = 0
        self._stream, self._columns, self._group = stream, columns, group_rows
        self._filled: set[str] | None = set() if part else None
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0
        self._writer: pq.ParquetWriter | None = None
        self._begun: tuple[object, ...] = ()
        self._schema: pa.Schema | None = None

    @property
    def names(self) -> list[str]:
        """Columns of the table."""
        known = self._columns.types
        return [n for n in known if self._filled is None or n in self._filled]

    def _signature(self) -> tuple[object, ...]:
        columns = self._columns
        return tuple(
            (name, columns.types[name], name in columns.gaps, name in columns.late)
            for name in self.names
        )

    def add(self, chunk: pa.Table) -> None:
        """Add rows."""
        self.n_rows += chunk.num_rows
        if self._filled is not None:
            rest = (name for name in chunk.column_names if name not in self._filled)
            self._filled.update([name for name in rest if _says_something(chunk[name])])
        self.outgrown |= self._writer is not None and self._signature() != self._begun
        if self.outgrown:
            return
        if chunk.num_rows:
            self._waiting.append(chunk)
            self._n_waiting += chunk.num_rows
        while self._n_waiting > self._group:
            self._write(self._take(self._group))

    def again(self) -> None:
        """Begin the file again, with all that was learnt of the columns."""
        if self._writer is not None:
            self._writer.close()
        self._stream.seek(0)
        self._stream.truncate()
        self.outgrown, self.n_rows, self._writer = False, 0, None
        self._waiting, self._n_waiting = [], 0

    def _take(self, n: int) -> list[pa.Table]:
        """Take the first n rows of those that wait."""
        taken: list[pa.Table] = []
        while n and self._waiting:
            chunk = self._waiting.pop(0)
            if chunk.num_rows > n:
                self._waiting.insert(0, chunk.slice(n))
                chunk = chunk.slice(0, n)
            taken.append(chunk)
            n -= chunk.num_rows
            self._n_waiting -= chunk.num_rows
        return taken

    def _write(self, chunks: Sequence[pa.Table]) -> None:
        import pyarrow.parquet as pq

        if self._writer is None or self._schema is None:
            self._schema = self._columns.schema(self.names) if chunks else self._no_rows()
            self._begun = self._signature()
            self._writer = pq.ParquetWriter(self._stream, self._schema, compression="snappy")
        if chunks:
            self._writer.write_table(joined(chunks, self._schema))
        else:
            self._writer.write_table(self._schema.empty_table())

    def _no_rows(self) -> pa.Schema:
        """Return the schema of a table without rows: unit, or nothing if other parts have any."""
        import pyarrow as pa

        names = list(self._columns.types)
        frame = pd.DataFrame({"unit": pd.Series(dtype=str)})
        if self._filled is not None and "kind" in names:
            frame = self._columns.frame(names).iloc[:0].dropna(axis=1, how="all")
        return pa.Table.from_pandas(frame, preserve_index=False).schema

    def close(self) -> None:
        """Write what still waits."""
        if self._n_waiting or self._writer is None:
            self._write(self._take(self._n_waiting))
        if self._writer is not None:
            self._writer.close()


def _says_something(column: pa.ChunkedArray) -> bool:
    """Whether a column has a cell that is not missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return False
    return not (pa.types.is_floating(column.type) and pc.all(pc.is_nan(column)).as_py())


def joined(chunks: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Return chunks as one table of a schema; columns that a chunk lacks are missing cells.

    Numbers that are none are missing cells, too, as pandas writes them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.concat_tables(chunks, promote_options="permissive").combine_chunks()
    columns = []
    for kind in schema:
        column = whole[kind.name].cast(kind.type, safe=False)
        if pa.types.is_floating(kind.type) and pc.any(pc.is_nan(column)).as_py():
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind.type), column)
        columns.append(column)
    return pa.table(columns, schema=schema)
