"""Collecting a study in columns gives the tables that pandas would make of all its records.

The study is the one that benchmarks/study.py writes: records of the demo, multiplied.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plain_table import plain_table
from popscan.io.spreadsheet import tsv_text
from popscan.io.tsv import tsv_bytes
from popscan.jsontext import canonical_json
from popscan.records import PopscanError, Record, Status
from popscan.report import tidy
from popscan.report.tidy import words
from popscan.stages import STAGES, stages_of
from popscan.stages.collect import streams
from popscan.stages.collect.columns import COST, LEDGER
from popscan.stages.collect.job import collect
from popscan.store import Store
from popscan.study import columnar
from popscan.study.overrides import final_verdicts, with_analysed
from popscan.study.participants import participants_table
from popscan.study.tables import read_records, read_table, rows_table, study_shards, values_table

N, SIZE = 30, 8


@pytest.fixture(scope="module")
def study(repo_root, tmp_path_factory) -> tuple[Store, dict[str, Any]]:
    """A study of thirty subjects in four shards, and what collect is given."""
    folder = tmp_path_factory.mktemp("large")
    command = [sys.executable, repo_root / "benchmarks" / "study_writer.py", folder]
    sizes = ["--subjects", str(N), "--shard-size", str(SIZE)]
    environment = os.environ | {"PYTHONPATH": str(repo_root / "benchmarks")}
    subprocess.run([*command, *sizes], env=environment, check=True)
    options = json.loads((folder / "given" / "collect.json").read_text())
    return Store(folder / "results" / "large"), options


def of_kind(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    if not kind:
        return rows
    return rows.loc[rows["kind"] == kind].drop(columns="kind").dropna(axis=1, how="all")


def slow_tables(store: Store, options: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Every table, made of all records at once."""
    shards = study_shards(store.root)
    records = {stage: read_records(store, stage, shards) for stage in stages_of("simulated")}
    everything = pd.DataFrame([row for rows in records.values() for row in rows])
    tables = {"ledger": everything[list(LEDGER)], "cost": everything[list(COST)]}
    for stage, rows in records.items():
        for name, table in STAGES[stage].tables.items():
            if table.of == "values":
                tables[name] = values_table(rows)
            elif table.of == "rows":
                tables[name] = of_kind(rows_table(rows), table.kind)
    verdicts = final_verdicts(tables["qc"], options)
    ingest = values_table(records["ingest"])
    return tables | {
        "qc": verdicts,
        "biomarkers": with_analysed(tables["biomarkers"], verdicts),
        "participants": participants_table(store.root, shards, ingest, simulated=True),
    }


def test_tables_have_the_bytes_that_pandas_writes(study):
    store, options = study
    counts = collect(store, options)
    expected = slow_tables(store, options)
    assert counts == {name: len(table) for name, table in expected.items()}
    folder = store.root / "tables"
    for name, table in expected.items():
        assert (folder / f"{name}.parquet").read_bytes() == table.to_parquet(index=False), name
        assert (folder / f"{name}.tsv").read_text() == tsv_text(table), name
    assert not list(folder.glob(".*"))  # no temporary file
    ledger = expected["ledger"]
    assert ledger.groupby("stage")["unit"].nunique().eq(N).all()


def test_row_groups_and_long_tables(study, tmp_path, monkeypatch):
    """Columns that turn out otherwise after a row group was written: the table is begun again."""
    store, options = study
    copy = Store(tmp_path / "study")
    shutil.copytree(store.root, copy.root)
    expected = slow_tables(copy, options)
    monkeypatch.setattr("popscan.study.tables.TSV_ROWS", 100)
    whole = columnar.TableWriter.__init__

    def small(self, *arguments, **options) -> None:
        whole(self, *arguments, **options, group_rows=50)

    monkeypatch.setattr(columnar.TableWriter, "__init__", small)
    collect(copy, options)
    for name, table in expected.items():
        path = copy.root / "tables" / f"{name}.parquet"
        pd.testing.assert_frame_equal(
            pd.read_parquet(path), table.reset_index(drop=True), check_dtype=False, obj=name
        )
        assert path.with_suffix(".tsv").exists() == (len(table) <= 100), name
    assert pq.ParquetFile(copy.root / "tables" / "qc_checks.parquet").num_row_groups > 10


@pytest.mark.parametrize("twice", [False, True])
def test_a_lost_or_doubled_record_leaves_the_tables_as_they_were(study, tmp_path, twice):
    store, options = study
    copy = Store(tmp_path / "study")
    shutil.copytree(store.root, copy.root)
    collect(copy, options)
    before = {path.name: path.read_bytes() for path in (copy.root / "tables").iterdir()}
    table = pq.read_table(copy.manifest_path("score", "00001"))
    table = pa.concat_tables([table, table.slice(2, 1)]) if twice else table.slice(1)
    pq.write_table(table, copy.manifest_path("score", "00001"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("popscan.stages.collect.job.check_manifests", lambda *known: None)
        message = r"31 records.*doubled: \['sub-000010'\]" if twice else "record: .'sub-000008'"
        with pytest.raises(PopscanError, match=f"ledger, score: .*{message}"):
            collect(copy, options)
    assert before == {path.name: path.read_bytes() for path in (copy.root / "tables").iterdir()}


#: Values of one record each: columns come late, have gaps, hold nothing, are whole or not.
ODD: list[dict[str, Any]] = [
    {"count": 1, "flag": True, "word": "=1+1", "none": None, "nan": float("nan"), "mixed": 1},
    {"count": 2, "flag": False, "word": 'a "b"\tc', "none": None, "mixed": 2.5, "list": [1, 2]},
    {"count": 3, "flag": None, "word": "\r\nö", "none": None, "nan": float("nan"), "mixed": 3},
    {"count": 4, "late": 7, "word": "", "flag": True, "mixed": 1e-7, "list": []},
    {"late": 8, "word": "-3.5", "mixed": float("inf")},
]


def as_records(values: list[dict[str, Any]]) -> list[Record]:
    return [
        Record(unit=f"sub-{i}", stage="s", status=Status.OK, values=each, rows=(each, each))
        for i, each in enumerate(values)
    ]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_odd_columns_are_what_pandas_makes_of_them(tmp_path, size):
    store = Store(tmp_path)
    shards = []
    for start in range(0, len(ODD), size):
        shards.append(f"{start:05d}")
        store.write_manifest("s", shards[-1], as_records(ODD)[start : start + size])
    columns = columnar.Columns()
    chunks = list(map(streams.rows_chunk, streams.manifests(store, "s", shards)))
    for chunk in chunks:
        columns.see(chunk)
    found = columnar.joined(chunks, columns.schema(list(columns.types)))
    expected = rows_table([json.loads(canonical_json(vars(r))) for r in as_records(ODD)])
    assert found.equals(pa.Table.from_pandas(expected, preserve_index=False), check_metadata=True)
    assert [row["values"].get("late") for row in read_records(store, "s", shards)] == [
        None, None, None, 7, 8,
    ]  # fmt: skip


def test_manifests_of_words_among_numbers_stay_text(tmp_path):
    store = Store(tmp_path)
    records = as_records([{"a": 1}, {"a": "b"}])
    store.write_manifest("s", "00000", records)
    rows = store.read_manifest("s", "00000")
    assert [row["values"] for row in rows] == [{"a": 1}, {"a": "b"}]
    with pytest.raises(PopscanError, match="values hold words where other"):
        list(streams.manifests(store, "s", ["00000"]))


@pytest.mark.parametrize(("most", "n_tables"), [(1024, 1), (2 * SIZE, 2), (SIZE, 4)])
def test_neighbours_of_the_same_columns_are_read_as_one(study, monkeypatch, most, n_tables):
    store, _ = study
    shards = study_shards(store.root)
    monkeypatch.setattr(streams, "_TOGETHER", most)
    read = [table["unit"].to_pylist() for table in streams.manifests(store, "qc", shards)]
    assert len(read) == n_tables
    recorded = [unit for units in read for unit in units]
    assert recorded == [row["unit"] for row in read_records(store, "qc", shards)]


def test_manifests_of_other_columns_are_read_apart(tmp_path):
    store = Store(tmp_path)
    for shard, values in (("00000", {"a": 1}), ("00001", {"a": 1}), ("00002", {"a": 1.5})):
        record = Record(unit=f"sub-{shard}", stage="s", status=Status.OK, values=values)
        store.write_manifest("s", shard, [record])
    read = list(streams.manifests(store, "s", ["00000", "00001", "00002"]))
    assert [table.num_rows for table in read] == [2, 1]


def test_text_is_what_pandas_writes(rng):
    exponents = rng.integers(-12, 22, 400)
    numbers = rng.normal(size=400) * 10.0**exponents
    numbers[:6] = [0.0, -0.0, np.inf, -np.inf, np.nan, 12.0]
    words = ["", "a", "=1", "+1", " -x", "\t", "ü\n", '"', "-", "n/a", "x\ty", "\r", "a\rb", None]
    table = pd.DataFrame(
        {
            "number": numbers,
            "=name": np.arange(400),
            "word": [words[i % len(words)] for i in range(400)],
            "flag": numbers > 0,
            "maybe": pd.Series([True, None] * 200, dtype=object),
            "nothing": pd.Series([None] * 400, dtype=object),
        }
    )
    assert tsv_bytes(table) == tsv_text(table).encode()
    for odd in (table[["word"]], table.assign(when=pd.Timestamp("2026-01-01")), pd.DataFrame()):
        assert tsv_bytes(odd) == tsv_text(odd).encode()


def test_columns_and_rows_of_a_table_are_those_of_the_whole(study):
    root = study[0].root
    collect(*study)
    whole = read_table(root, "qc_checks")
    names = ["unit", "check", "value", "absent"]
    part = read_table(root, "qc_checks", columns=names, coded=["check"])
    assert isinstance(part["check"].dtype, pd.CategoricalDtype)
    expected = whole[names[:-1]]
    pd.testing.assert_frame_equal(part.astype({"check": expected["check"].dtype}), expected)
    some = read_table(root, "qc_checks", units=["sub-000003", "sub-000009"])
    chosen = whole[whole["unit"].isin(["sub-000003", "sub-000009"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, chosen)


def test_categories_are_written_as_words(tmp_path, monkeypatch):
    table = pd.DataFrame({"a": ["x", "y", "x"], "b": [1.0, np.nan, 2.0], "c": ["u", "u", "v"]})
    plain_table(tmp_path, "words", table)
    monkeypatch.setattr("popscan.study.tables.GROUP_ROWS", 2)
    coded = table.astype({"a": "category", "c": "category"})
    plain_table(tmp_path, "coded", coded)
    assert (tmp_path / "tables" / "words.tsv").read_text() == tsv_text(table)
    assert (tmp_path / "tables" / "coded.tsv").read_text() == tsv_text(table)
    assert read_table(tmp_path, "coded").equals(read_table(tmp_path, "words"))
    schemas = [pq.read_schema(tmp_path / "tables" / f"{n}.parquet") for n in ("words", "coded")]
    assert schemas[0].equals(schemas[1], check_metadata=True)


def test_words_of_long_columns_are_those_of_short_ones(monkeypatch):
    cells = pd.Series([" a ", None, "n/a", "b", "a", "NaN", ""] * 3, name="w")
    columns = [cells, cells.astype("category"), pd.Series([1.5, np.nan, 2.0] * 7)]
    short = [words(column, missing="?") for column in columns]
    monkeypatch.setattr(tidy, "_MANY", 0)
    for column, expected in zip(columns, short, strict=True):
        pd.testing.assert_series_equal(words(column, missing="?"), expected)
