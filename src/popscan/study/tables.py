"""The study's tables: what the manifests say, one row per subject unless stated otherwise.

Every table is written as Parquet, those that a person can read (`TSV_ROWS`) as TSV, too, with a
JSON data dictionary beside it. In the TSV, text that a spreadsheet would compute has a ``'`` before
it (`popscan.io.spreadsheet`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pandas as pd

from popscan.cells import is_code
from popscan.columns import Column, entries
from popscan.disk import atomic_stream, write_atomic
from popscan.inventory import damaged_files
from popscan.io.tsv import tsv_parts
from popscan.manifest import ManifestRow
from popscan.plan import read_plan, read_shards
from popscan.records import PopscanError, Status
from popscan.registry import read_registry
from popscan.store import Store
from popscan.study.columnar import GROUP_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

#: A longer table is Parquet alone: neither a person nor a spreadsheet reads that much text.
TSV_ROWS = 250_000


class UndescribedColumn(PopscanError):
    """A table has a column that no description knows: a slip of whoever wrote the code."""


def refuse_undescribed(table: str, names: Iterable[str], columns: Mapping[str, Column]) -> None:
    """Refuse a table of which the data dictionary lacks a column.

    Raises
    ------
    UndescribedColumn
        Naming the table and all such columns.
    """
    if lacking := [name for name in names if name not in columns]:
        raise UndescribedColumn(
            f"table {table}: no description says what {', '.join(map(repr, lacking))} means. "
            "That is a slip in the code that made it, not in the study, and no result is lost: "
            f"add popscan.columns.Column to what Stage.tables[{table!r}] names (columns of a "
            "protocol: to its dictionary or its columns), then type the same command again"
        )


def tables_folder(study_root: Path) -> Path:
    """Folder of the study's tables."""
    return study_root / "tables"


def write_table(
    study_root: Path, name: str, table: pd.DataFrame, dictionary: Mapping[str, Column]
) -> None:
    """Write a table as Parquet, as TSV up to `TSV_ROWS` rows, with its data dictionary.

    Parameters
    ----------
    study_root, name
        Study, and name of the table without suffix.
    table
        The rows.
    dictionary
        What its columns mean (`popscan.study.dictionary.of`).

    Raises
    ------
    UndescribedColumn
        If the dictionary lacks a column; nothing is written then.
    """
    names = [str(column) for column in table]
    refuse_undescribed(name, names, dictionary)
    folder = tables_folder(study_root)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_stream(folder / f"{name}.parquet") as stream:
        _write_parquet(stream, table)
    if len(table) > TSV_ROWS:
        (folder / f"{name}.tsv").unlink(missing_ok=True)
    else:
        _write_tsv(folder / f"{name}.tsv", _plain(table))
    write_dictionary(study_root, name, names, dictionary)


def remove_table(study_root: Path, name: str) -> None:
    """Remove a table and its data dictionary, if they are there."""
    for ending in ("parquet", "tsv", "json"):
        (tables_folder(study_root) / f"{name}.{ending}").unlink(missing_ok=True)


def _write_tsv(path: Path, table: pd.DataFrame | pa.Table) -> None:
    with atomic_stream(path) as stream:
        for part in tsv_parts(table):
            stream.write(part)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with words where it has categories."""
    coded = [str(n) for n, c in table.items() if isinstance(c.dtype, pd.CategoricalDtype)]
    return table.assign(**{n: _words_of(table[n]) for n in coded}) if coded else table


def _words_of(column: pd.Series) -> pd.Series:
    """Return what a column of categories holds; words are taken by number, 20 times faster."""
    words = column.cat.categories
    if not isinstance(words.dtype, pd.StringDtype):
        return column.astype(words.dtype)
    taken = words.array.take(column.cat.codes.to_numpy(), allow_fill=True)
    return pd.Series(taken, index=column.index, dtype=words.dtype)


def _write_parquet(stream: IO[bytes], table: pd.DataFrame) -> None:
    """Write as pandas does, categories as words; a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = pa.Table.from_pandas(_plain(table.iloc[:GROUP_ROWS]), preserve_index=False)
    with pq.ParquetWriter(stream, first.schema, compression="snappy") as writer:
        writer.write_table(first)
        for start in range(GROUP_ROWS, len(table), GROUP_ROWS):
            part = _plain(table.iloc[start : start + GROUP_ROWS])
            writer.write_table(
                pa.Table.from_pandas(part, schema=first.schema, preserve_index=False)
            )


def write_dictionary(
    study_root: Path, name: str, names: Iterable[str], dictionary: Mapping[str, Column]
) -> None:
    """Write the data dictionary of a table with these columns."""
    text = json.dumps(entries(names, dictionary), indent=1) + "\n"
    write_atomic(tables_folder(study_root) / f"{name}.json", text.encode())


def read_table(
    study_root: Path,
    name: str,
    *,
    columns: Sequence[str] | None = None,
    coded: Sequence[str] = (),
    units: Collection[str] | None = None,
) -> pd.DataFrame:
    """Read a table of the study; an empty one if it was not written.

    Parameters
    ----------
    study_root, name
        The study and its table.
    columns
        Which columns, as far as the table has them; all by default.
    coded
        Columns of words that recur in very many rows, as far as the table has them: read as
        categories.
    units
        Whose rows, where ``unit`` is among the columns; everybody's by default.

    Raises
    ------
    PopscanError
        If the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = tables_folder(study_root) / f"{name}.parquet"
    if not path.exists():
        return pd.DataFrame()
    try:
        if columns is None and not coded and units is None:
            return pd.read_parquet(path)
        # A table without rows may lack columns that others have.
        names = pq.read_schema(path).names
        known = [n for n in names if columns is None or n in columns]
        with pq.ParquetFile(path, read_dictionary=[n for n in coded if n in names]) as file:
            if units is None or "unit" not in known:
                table: pd.DataFrame = file.read(columns=known).to_pandas()
                return table
            wanted = pa.array(sorted(units), pa.string())
            parts = [
                batch.filter(pc.is_in(batch["unit"].cast(pa.string()), wanted))
                for batch in file.iter_batches(columns=known)
            ]
            if not parts:
                return pd.DataFrame(columns=known)
            some: pd.DataFrame = pa.Table.from_batches(parts).to_pandas()
            return some
    except (OSError, ValueError) as error:
        raise PopscanError(
            f"{path}: the table is damaged; type the same command again: it is made anew"
        ) from error


def describe_written(study_root: Path, name: str, dictionary: Mapping[str, Column]) -> None:
    """Write TSV and data dictionary of a table whose Parquet file is there."""
    import pyarrow.parquet as pq

    folder = tables_folder(study_root)
    with pq.ParquetFile(folder / f"{name}.parquet") as file:
        if file.metadata.num_rows > TSV_ROWS:
            (folder / f"{name}.tsv").unlink(missing_ok=True)
        else:
            _write_tsv(folder / f"{name}.tsv", file.read())
        write_dictionary(study_root, name, file.schema_arrow.names, dictionary)


def read_records(store: Store, stage: str, shards: Sequence[str]) -> list[ManifestRow]:
    """Read all rows of a stage's manifests, in order of shards."""
    return [row for shard in shards for row in store.read_manifest(stage, shard)]


def check_account(stage: str, recorded: Sequence[str], units: Sequence[str]) -> None:
    """Refuse a stage whose records lost or doubled a subject.

    Parameters
    ----------
    stage
        The stage.
    recorded
        Subject of every record.
    units
        Every subject of the plan.

    Raises
    ------
    PopscanError
        Naming the stage and the first subjects without exactly one record.
    """
    if len(recorded) == len(units) and set(recorded) == set(units):
        return
    missing = sorted(set(units) - set(recorded))
    doubled = (unit for unit, count in Counter(recorded).items() for _ in range(count - 1))
    extra = sorted(set(recorded) - set(units)) + sorted(doubled)
    raise PopscanError(
        f"ledger, {stage}: {len(recorded)} records of {len(units)} subjects; "
        f"without record: {missing[:5]}; not in the plan or doubled: {extra[:5]}"
    )


def check_plan(study_root: Path, units: Sequence[str]) -> None:
    """Refuse shard files that lost or doubled a subject: the plan has counted them, too.

    Raises
    ------
    PopscanError
        Naming the subjects that the registry knows and the shard files do not.
    """
    plan = read_plan(study_root)
    registry = read_registry(study_root / "plan" / "registry.tsv")
    missing = sorted(set(registry) - set(plan["removed"]) - set(units))
    if len(units) != plan["n_subjects"]:
        raise PopscanError(
            f"{study_root}/plan: {plan['n_subjects']} subjects were planned, but the files in "
            f"plan/shards list {len(units)} (missing: {missing[:5]}); run 'popscan plan' or type "
            "the same command again: the files are written anew"
        )


def check_manifests(store: Store, stages: Iterable[str], shards: Sequence[str]) -> None:
    """Refuse manifests that do not say what the journals do: a record was lost since.

    Raises
    ------
    PopscanError
        Naming the first stage and shard.
    """
    for stage in stages:
        for shard in shards:
            name = store.manifest_name(stage, shard)
            if damaged := damaged_files(store.root, name, subject_files=False):
                raise PopscanError(
                    f"{stage}, shard {shard}: {damaged[0]} was changed since the shard was done; "
                    "type the same command again: the shard is looked through again"
                )


def values_table(records: Sequence[ManifestRow]) -> pd.DataFrame:
    """One row per subject whose record is ok or excluded: unit and the record's values."""
    usable = (str(Status.OK), str(Status.EXCLUDED))
    rows = [{"unit": r["unit"], **r["values"]} for r in records if r["status"] in usable]
    return pd.DataFrame(rows) if rows else pd.DataFrame({"unit": pd.Series(dtype=str)})


def rows_table(records: Sequence[ManifestRow]) -> pd.DataFrame:
    """Long-form rows of a stage, each with its unit."""
    rows = [{"unit": record["unit"], **row} for record in records for row in record["rows"]]
    return pd.DataFrame(rows) if rows else pd.DataFrame({"unit": pd.Series(dtype=str)})


def numbers_if_all(column: pd.Series) -> pd.Series:
    """Return a column of text as numbers, if it is one; codes with leading zeros stay text."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() != column.notna().sum():
        return column
    return column if any(map(is_code, column.dropna())) else numbers


def study_shards(study_root: Path) -> list[str]:
    """Shards of a planned study.

    Raises
    ------
    PopscanError
        If it was not planned yet.
    """
    shards = read_shards(study_root)
    if not shards:
        raise PopscanError(f"{study_root}: not planned yet; run 'popscan plan' or snakemake first")
    return shards
