# ruff: noqa: E501
"""Files that popscan wrote and something damaged: read right, or named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from popscan.io.folders import Folders
from popscan.journal import record_line
from popscan.plan import Planned, read_shard, read_shards, write_plan
from popscan.records import Record, Status, Subject
from popscan.registry import read_registry
from popscan.store import Store

N = 6


def records() -> list[Record]:
    return [
        Record(
            unit=f"sub-{i}", stage="qc", status=Status.OK, digest=f"{i:064x}", fingerprint="f",
            values={"a": i, "b": float("nan")}, rows=({"check": "x", "value": i},),
            finished="2026-01-01T00:00:00+00:00",
        )
        for i in range(N)
    ]  # fmt: skip


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    with store.journal("qc", "00000").writer() as writer:
        for record in records():
            writer.attempt(record.unit)
            writer.record(record)
    planned = [
        Planned(subject=Subject(sub=f"sub-{i}", row={"sex": "female"}, sources=(f"raw/sub-{i}",)),
                stat={f"raw/sub-{i}": (10, 20)})
        for i in range(N)
    ]  # fmt: skip
    write_plan(tmp_path, planned, shard_size=3)
    store.write_manifest("qc", "00000", records())
    return store


def damaged(data: bytes, seed: int) -> bytes:
    """Cut, overwrite or flip: one of the things that disks and copies do."""
    rng = np.random.default_rng([seed, 7])
    kind = seed % 5
    at = int(rng.integers(0, len(data)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes(min(64, len(data) - at)) + data[at + 64 :]
    if kind == 2:
        out = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            out[place] ^= 1 << rng.integers(8)
        return bytes(out)
    if kind == 3:
        return data[:at] + data[at // 2 : at] + data[at:]
    return data[at:]


@pytest.mark.parametrize("seed", range(60))
def test_damaged_journal_loses_records_but_invents_none(store, end, seed):
    journal = store.journal("qc", "00000")
    journal.path.write_bytes(damaged(journal.path.read_bytes(), seed))
    ended = end(journal.read)
    assert not ended.refused
    whole = {record.unit: record for record in records()}
    for unit, record in ended.value.records.items():
        assert (record.digest, record.status) == (whole[unit].digest, whole[unit].status)
        assert record.values["a"] == whole[unit].values["a"]


LINES = [
    b"\n", b"{}\n", b"[]\n", b"null\n", b"3\n", b"\xff\xfe\n", b"{" * 5000 + b"\n", b'{"attempt": 3}\n',
    b'{"unit": "sub-1"}\n', b'{"attempt": {"a": 1}, "~": "00000000"}\n', b"\0" * 500 + b"\n",
    b"[" * 200_000 + b"\n", b"x" * 10**6 + b"\n",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_strange_line_in_a_journal_changes_nothing(store, end, line):
    journal = store.journal("qc", "00000")
    journal.path.write_bytes(line + journal.path.read_bytes() + line)
    assert set(end(journal.read).value.records) == {record.unit for record in records()}


@pytest.mark.parametrize(
    "change",
    [{"attempt": 3}, {"attempt": [1]}, {"attempt": {"a": 1}}, {"forget": None}, {"unit": ["a"], "stage": "qc", "status": "ok"},
     {"unit": "sub-1", "stage": "qc", "status": "better"}, {"unit": "sub-1", "status": "ok", "rows": 3},
     {"unit": "sub-1", "stage": 3, "status": "ok", "seconds": "x"}],
    ids=str,
)  # fmt: skip
def test_signed_line_of_another_shape(store, end, change):
    """As a later or earlier version may write it: its checksum is right."""
    from popscan.journal import _signed

    journal = store.journal("qc", "00000")
    journal.path.write_bytes(journal.path.read_bytes() + _signed(change).encode())
    ended = end(journal.read)
    assert not ended.refused
    assert len(ended.value.records) >= N


@pytest.mark.parametrize("seed", range(40))
def test_damaged_manifest_is_read_right_or_named(store, end, seed):
    path = store.manifest_path("qc", "00000")
    path.write_bytes(damaged(path.read_bytes(), seed))
    ended = end(store.read_manifest, "qc", "00000")
    if ended.refused:
        assert str(path) in ended.message
    else:
        assert {row["unit"] for row in ended.value} <= {record.unit for record in records()}
    summary = end(store.read_summary, "qc", "00000")
    assert not summary.refused


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1PAR1", b"x" * 1000, b"PAR1" + b"\xff" * 500 + b"PAR1"]
)
def test_manifest_of_another_kind_is_named(store, end, content):
    path = store.manifest_path("qc", "00000")
    path.write_bytes(content)
    assert str(path) in end(store.read_manifest, "qc", "00000").message
    assert end(store.read_summary, "qc", "00000").value is None


PLANS = [b"", b"{", b"[]", b"null", b"3", b"{}", b'{"shards": 3, "n_subjects": 1}', b'{"shards": ["../x"], "n_subjects": 1}', b'{"shards": [3], "n_subjects": 1}',
         b"\xff\xfe", b"\0" * 50, b"[" * 100_000, b'{"shards": null, "n_subjects": 1}', b'{"shards": {"a": 1}, "n_subjects": 1}']  # fmt: skip


@pytest.mark.parametrize("content", PLANS, ids=range(len(PLANS)))
def test_plan_of_another_kind_is_named(store, end, content):
    path = store.root / "plan" / "plan.json"
    path.write_bytes(content)
    ended = end(read_shards, store.root)
    assert ended.refused
    assert str(path) in ended.message


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(
    "name", ["registry.tsv", "shards/00000.jsonl", "plan.json", "folders.json"]
)
def test_damaged_plan_is_read_right_or_named(store, end, name, seed):
    path = store.root / "plan" / name
    if name == "folders.json":
        path.write_text(json.dumps({"raw": [[1, 2], [], [], [], 3, 4]}))
    path.write_bytes(damaged(path.read_bytes(), seed))
    readers = {
        "registry.tsv": lambda: read_registry(path),
        "shards/00000.jsonl": lambda: read_shard(store.root, "00000"),
        "plan.json": lambda: read_shards(store.root),
        "folders.json": lambda: Folders.read(path),
    }
    ended = end(readers[name])
    if ended.refused:
        assert str(path) in ended.message


SHARD_LINES = [
    "", "{}", "[]", "null", "{", '{"sub": 3}', '{"sub": "sub-1", "ses": "", "row": [], "sources": 3, "stat": {}, "problem": {}}',
    '{"sub": "../x", "ses": "", "row": {}, "sources": [], "stat": {}, "problem": {}}',
    '{"sub": "sub-1", "ses": "", "row": {}, "sources": [], "stat": {"a": [1]}, "problem": {}}',
    '{"sub": "sub-1", "ses": "", "row": {}, "sources": [], "stat": {"a": ["x", 1]}, "problem": {}}',
    '{"sub": "sub-1", "ses": "", "row": {}, "sources": [], "stat": {}, "problem": {"status": "odd"}}',
]  # fmt: skip


@pytest.mark.parametrize("line", SHARD_LINES, ids=range(len(SHARD_LINES)))
def test_strange_line_in_a_shard_is_named(store, end, line):
    path = store.root / "plan" / "shards" / "00000.jsonl"
    path.write_text(path.read_text() + line + "\n")
    ended = end(read_shard, store.root, "00000")
    assert ended.refused
    assert str(path) in ended.message


def test_record_line_is_what_it_was(store):
    line = record_line(records()[0])
    assert store.journal("qc", "00000").path.read_text().splitlines()[1] + "\n" == line


def test_the_healthy_one_is_read(store):
    assert set(read_registry(Path(store.root, "plan", "registry.tsv"))) == {
        f"sub-{i}" for i in range(N)
    }
    assert [len(read_shard(store.root, shard)) for shard in read_shards(store.root)] == [3, 3]
    assert len(store.read_manifest("qc", "00000")) == N
