#!/usr/bin/env bash
# If the first subject failed, the measurements of all others are not in the table.
#
# Version    pyarrow 26.0.1, pandas 3.1.1, duckdb 2.0.1, polars 2.1.0
# Behaviour  One Parquet file per subject, as parallel jobs write them. The first subject failed and
#            has the columns sub and status, the second has lvef as well. A folder read by pyarrow
#            or pandas has the columns of its first file, and DuckDB's read of *.parquet, too: lvef
#            is left out without a message. If the first subject is the one who has lvef, it is
#            there, and empty for the other. polars raises a SchemaError.
# Output     pyarrow, pandas and DuckDB: sub, status; with the names exchanged: sub, status, lvef
# Source     pyarrow's documentation of dataset() (the schema is inferred from the first fragment);
#            DuckDB's page on combining schemas (union_by_name); Parquet itself keeps each file
#            whole.
# Consequence Which measurements a study has depends on whose name sorts first. A measurement added
#            halfway through a study is lost for all. Unify the schemas of all files first
#            (pyarrow.unify_schemas), or give union_by_name=true.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 pandas==3.1.1 duckdb==2.0.1 polars==2.1.0 numpy==2.4.6
env/bin/python -W error - <<'PY'
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

failed = {"status": ["failed"]}
measured = {"status": ["ok"], "lvef": [55.0]}


def write(folder, records):
    Path(folder).mkdir()
    for number, record in enumerate(records, start=1):
        pq.write_table(pa.table({"sub": [f"s{number}"]} | record), f"{folder}/s{number}.parquet")
    return folder


def columns(folder):
    return {
        "pyarrow": ds.dataset(folder).to_table().column_names,
        "pandas": list(pd.read_parquet(folder).columns),
        "DuckDB": duckdb.sql(f"select * from '{folder}/*.parquet'").columns,
    }


lost = columns(write("failed_first", [failed, measured]))
kept = columns(write("measured_first", [measured, failed]))
print("first subject failed:", lost)
print("first subject measured:", kept)
assert all(names == ["sub", "status"] for names in lost.values()), "all columns are read now"
assert all(names == ["sub", "status", "lvef"] for names in kept.values())
assert ds.dataset("measured_first").to_table()["lvef"].to_pylist() == [55.0, None]
try:
    pl.read_parquet("failed_first/*.parquet")
except pl.exceptions.SchemaError:
    pass
else:
    raise AssertionError("polars raises nothing now")
files = sorted(Path("failed_first").iterdir())
schema = pa.unify_schemas([pq.read_schema(file) for file in files])
assert ds.dataset("failed_first", schema=schema).to_table()["lvef"].to_pylist() == [None, 55.0]
union = "select * from read_parquet('failed_first/*.parquet', union_by_name=true)"
assert duckdb.sql(union).columns == ["sub", "status", "lvef"]
PY
