"""Journals survive what kills their writer; manifests give back what was put in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from popscan.disk import write_atomic
from popscan.journal import Journal
from popscan.jsontext import canonical_json
from popscan.records import Record, Status
from popscan.store import Store, summarise


def record(unit: str, **changes) -> Record:
    return Record(unit=unit, stage="s", status=Status.OK, fingerprint="f", **changes)


def test_last_record_of_a_unit_wins(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    with journal.writer() as writer:
        writer.record(record("a", values={"x": 1}))
        writer.record(record("b"))
        writer.record(record("a", values={"x": 2}))
    state = journal.read()
    assert list(state.records) == ["a", "b"]
    assert state.records["a"].values == {"x": 2}


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_torn_last_line_is_ignored_and_cut_before_the_next(tmp_path, cut):
    journal = Journal(tmp_path / "j.jsonl")
    with journal.writer() as writer:
        writer.record(record("a"))
        writer.record(record("b"))
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    assert list(journal.read().records) == ["a"]
    with journal.writer() as writer:
        writer.record(record("c"))
    assert list(journal.read().records) == ["a", "c"]


def test_damaged_line_costs_only_its_own_record(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    with journal.writer() as writer:
        writer.record(record("a"))
        writer.record(record("b"))
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"\x00\xff{" + lines[0] + b'[1, "attempt"]\n' + lines[1])
    assert list(journal.read().records) == ["b"]


def test_no_changed_byte_makes_another_record(tmp_path, rng):
    """A digit that the disk changed leaves good JSON; it must not count all the same."""
    journal = Journal(tmp_path / "j.jsonl")
    truth = {unit: record(unit, values={"lvedv_ml": 153.25, "note": "a"}) for unit in "abc"}
    with journal.writer() as writer:
        for one in truth.values():
            writer.record(one)
    data = journal.path.read_bytes()
    digit = data.index(b"153.25")
    for place in [digit, *rng.integers(len(data), size=200)]:
        damaged = bytearray(data)
        damaged[place] = ord("9") if place == digit else int(rng.integers(256))
        journal.path.write_bytes(damaged)
        found = journal.read().records
        assert all(one == truth[unit] for unit, one in found.items())
        assert len(found) >= 1


def test_attempts_count_until_a_record_and_forget_removes(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    with journal.writer() as writer:
        writer.attempt("a")
        writer.attempt("a")
        writer.attempt("b")
        writer.record(record("b"))
        writer.record(record("c"))
        writer.forget("c")
    state = journal.read()
    assert state.attempts == {"a": 2}
    assert list(state.records) == ["b"]


SECOND = """
import sys
from pathlib import Path
from popscan.journal import Journal
with Journal(Path(sys.argv[1])).writer():
    print("wrote")
"""


def test_second_writer_is_refused_in_words(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    command = [sys.executable, "-c", SECOND, str(journal.path)]
    with journal.writer():
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another popscan process is working on this shard" in refused.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "wrote\n"


def test_compact_keeps_every_record(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    with journal.writer() as writer:
        for index in range(200):
            writer.record(record("a", values={"x": index}))
    journal.compact(["a"], journal.read())
    assert journal.read().n_lines == 1
    assert journal.read().records["a"].values == {"x": 199}


def test_manifest_gives_back_what_was_put_in(tmp_path):
    store = Store(tmp_path)
    one = record("a", values={"x": 1.5, "n": float("nan")}, rows=({"c": "é"},), files={"p": 3})
    store.write_manifest("s", "00000", [one])
    (row,) = store.read_manifest("s", "00000")
    assert row["values"]["x"] == 1.5
    assert row["values"]["n"] != row["values"]["n"]
    assert row["rows"] == [{"c": "é"}]
    assert row["files"] == {"p": 3}
    assert row["status"] == "ok"
    assert store.read_manifest("s", "00001") == []


def test_journal_with_a_lone_surrogate_gives_a_manifest_and_counts(tmp_path):
    """Journals of versions that did not clean their messages; a file name was not UTF-8."""
    store = Store(tmp_path)
    old = Record(
        unit="a",
        stage="s",
        status=Status.FAILED,
        reason="torn",
        message="M\udcfcller.dcm ends early",
    )
    with store.journal("s", "00000").writer() as writer:
        writer.record(old)
    records = store.journal("s", "00000").read().records
    store.write_manifest("s", "00000", records.values())
    assert store.read_manifest("s", "00000")[0]["message"] == "M?ller.dcm ends early"
    assert summarise(records.values())["reasons"] == {"torn": (1, "a", "M?ller.dcm ends early")}


def test_same_records_same_manifest_bytes(tmp_path):
    store = Store(tmp_path)
    for shard in ("00000", "00001"):
        store.write_manifest("s", shard, [record("a", values={"b": 1, "a": 2})])
    first, second = (store.manifest_path("s", s).read_bytes() for s in ("00000", "00001"))
    assert first == second


def test_write_atomic_leaves_old_content_when_writing_fails(tmp_path):
    path = tmp_path / "x"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "no bytes")  # type: ignore[arg-type]  # a write that fails, for real
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_canonical_json_ignores_order_of_keys():
    assert canonical_json({"b": 1, "a": (1, 2)}) == canonical_json({"a": [1, 2], "b": 1})
