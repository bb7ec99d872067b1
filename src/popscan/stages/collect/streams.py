"""Tables of one stage's records, shard after shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from popscan.disk import atomic_stream
from popscan.manifest import USABLE
from popscan.stages.collect.columns import COST, LEDGER
from popscan.stages.description import Table
from popscan.store import Store
from popscan.study.columnar import Columns, TableWriter, joined
from popscan.study.tables import tables_folder

if TYPE_CHECKING:
    import pyarrow as pa

#: All that is read of a manifest.
_READ = tuple(dict.fromkeys([*LEDGER, *COST, "values", "rows"]))


#: Records that are passed on together, as far as the manifests' columns are the same.
_TOGETHER = 1024


def manifests(store: Store, stage: str, shards: Sequence[str]) -> Iterator[pa.Table]:
    """Yield a stage's manifests, typed, in order; neighbours of the same columns as one."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for shard in shards:
        columns = store.manifest_columns(stage, shard, _READ)
        if columns is None:
            continue
        columns = columns.replace_schema_metadata(None)
        full = sum(table.num_rows for table in waiting) >= _TOGETHER
        if waiting and (full or columns.schema != waiting[0].schema):
            yield pa.concat_tables(waiting)
            waiting = []
        waiting.append(columns)
    if waiting:
        yield pa.concat_tables(waiting)


class Written(NamedTuple):
    """A table that was written: how many rows, which columns."""

    n_rows: int
    names: list[str]


def _closed(writers: Mapping[str, TableWriter]) -> dict[str, Written]:
    for writer in writers.values():
        writer.close()
    return {name: Written(writer.n_rows, writer.names) for name, writer in writers.items()}


class StageStreams:
    """The tables that are made of one stage's records.

    Parameters
    ----------
    root
        The study's folder.
    tables
        Table -> what it is made of.
    stack
        Closes the files: they take their names when it ends without an error.
    whole
        Whether the records' values are wanted as a whole (`values_frame`).
    """

    def __init__(
        self, root: Path, tables: Mapping[str, Table], stack: ExitStack, *, whole: bool = False
    ) -> None:
        self._columns = {of: Columns() for of in ("values", "rows")}
        self._tables = dict(tables)
        self._writers = {
            name: TableWriter(
                stack.enter_context(atomic_stream(tables_folder(root) / f"{name}.parquet")),
                self._columns[table.of],
                part=bool(table.kind),
            )
            for name, table in tables.items()
        }
        self._whole: list[pa.Table] | None = [] if whole else None
        self._twice: set[str] = set()

    def add(self, manifest: pa.Table, *, again: bool = False) -> None:
        """Add a shard's records.

        Parameters
        ----------
        manifest
            As `manifests` yields them.
        again
            Whether they were all added before: only tables that were `outgrown` take them.
        """
        chunks = {"values": values_chunk(manifest), "rows": rows_chunk(manifest)}
        if not again:
            for of, columns in self._columns.items():
                columns.see(chunks[of])
            if self._whole is not None:
                self._whole.append(chunks["values"])
        for name, writer in self._writers.items():
            if not again or name in self._twice:
                writer.add(of_kind(chunks[self._tables[name].of], self._tables[name].kind))

    @property
    def outgrown(self) -> bool:
        """Whether a table has to be written again, since its columns turned out otherwise."""
        return any(writer.outgrown for writer in self._writers.values())

    def again(self) -> None:
        """Begin such tables again."""
        self._twice = {name for name, writer in self._writers.items() if writer.outgrown}
        for name in self._twice:
            self._writers[name].again()

    def close(self) -> dict[str, Written]:
        """End the tables, and say what was written."""
        return _closed(self._writers)

    def values_frame(self) -> pd.DataFrame:
        """Return the values of all records as one table."""
        columns = self._columns["values"]
        if not columns.n_rows:
            return pd.DataFrame({"unit": pd.Series(dtype=str)})
        schema = columns.schema(list(columns.types))
        frame: pd.DataFrame = joined(self._whole or [], schema).to_pandas()
        return frame


class AccountStreams:
    """The ledger and the table of costs: a row for every record of every stage.

    Parameters
    ----------
    root, stack
        As for `StageStreams`.
    """

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._parts = {"ledger": list(LEDGER), "cost": list(COST)}
        self._columns = {name: Columns() for name in self._parts}
        self._writers = {
            name: TableWriter(
                stack.enter_context(atomic_stream(tables_folder(root) / f"{name}.parquet")), columns
            )
            for name, columns in self._columns.items()
        }

    def add(self, manifest: pa.Table) -> None:
        """Add the records of a shard."""
        for name, names in self._parts.items():
            chunk = manifest.select(names)
            self._columns[name].see(chunk)
            self._writers[name].add(chunk)

    def close(self) -> dict[str, Written]:
        """End the tables, and say what was written."""
        return _closed(self._writers)


def values_chunk(manifest: pa.Table) -> pa.Table:
    """One row per record that counts: unit and what was found."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = manifest.filter(pc.is_in(manifest["status"], pa.array(USABLE)))
    return _with_unit(kept["unit"].combine_chunks(), kept["values"].combine_chunks())


def rows_chunk(manifest: pa.Table) -> pa.Table:
    """Long-form rows, each with its unit."""
    import pyarrow.compute as pc

    rows = manifest["rows"].combine_chunks()
    units = manifest["unit"].combine_chunks().take(pc.list_parent_indices(rows))
    return _with_unit(units, pc.list_flatten(rows))


def _with_unit(units: pa.Array, found: pa.Array) -> pa.Table:
    """Table of units and of what a struct holds; a unit among that counts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {"unit": units}
    if pa.types.is_struct(found.type):
        for field, column in zip(found.type, found.flatten(), strict=True):
            own = column if field.name != "unit" else pc.coalesce(column, units)
            columns[field.name] = own
    return pa.table(columns)


def of_kind(rows: pa.Table, kind: str) -> pa.Table:
    """Rows of a kind, without the column that says so; all rows where none is named."""
    import pyarrow.compute as pc

    if not kind:
        return rows
    if "kind" not in rows.column_names:
        return rows.slice(0, 0)
    return rows.filter(pc.equal(rows["kind"], kind)).drop_columns(["kind"])
