"""Subjects never move between shards, and nobody is lost by planning."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.plan import (
    Planned,
    planned_from_line,
    planned_to_line,
    read_shard,
    read_shards,
    write_plan,
)
from popscan.records import PopscanError, Subject
from popscan.registry import extend_registry, read_registry

NAMES = st.lists(st.integers(0, 10_000), unique=True, min_size=1, max_size=60)


def people(numbers) -> list[Planned]:
    return [Planned(subject=Subject(sub=f"sub-{n:05d}")) for n in numbers]


@given(first=NAMES, second=NAMES, size=st.integers(1, 9))
@settings(max_examples=60)
def test_places_once_given_stay_and_shards_fill_up(first, second, size):
    subjects = [p.subject for p in people(first)]
    registry = extend_registry({}, subjects, shard_size=size)
    more = extend_registry(registry, [p.subject for p in people(second)], shard_size=size)
    assert list(more.items())[: len(registry)] == list(registry.items())
    counts = [list(more.values()).count(shard) for shard in sorted(set(more.values()))]
    assert all(count == size for count in counts[:-1])
    assert 1 <= counts[-1] <= size


def test_new_subjects_touch_one_shard(tmp_path):
    write_plan(tmp_path, people(range(10)), shard_size=8)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "plan" / "shards").iterdir()}
    summary = write_plan(tmp_path, people(range(12)), shard_size=8)
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "plan" / "shards").iterdir()}
    assert summary.new == ("sub-00010", "sub-00011")
    assert {n for n in after if after[n] != before.get(n)} == {"00001.jsonl"}


def test_unchanged_plan_rewrites_nothing(tmp_path):
    write_plan(tmp_path, people(range(5)), shard_size=2)
    files = [p for p in (tmp_path / "plan").rglob("*") if p.is_file()]
    before = [p.stat().st_mtime_ns for p in files]
    summary = write_plan(tmp_path, people(range(5)), shard_size=2)
    assert [p.stat().st_mtime_ns for p in files] == before
    assert (summary.new, summary.changed, summary.removed) == ((), (), ())


def test_removed_and_changed_subjects_are_told(tmp_path):
    write_plan(tmp_path, people(range(4)), shard_size=2)
    now = people([0, 1, 3])
    now[1] = Planned(subject=Subject(sub="sub-00001", row={"sex": "female"}))
    summary = write_plan(tmp_path, now, shard_size=2)
    assert summary.removed == ("sub-00002",)
    assert summary.changed == ("sub-00001",)
    assert [p.subject.unit for p in read_shard(tmp_path, "00001")] == ["sub-00003"]
    # Back again, the subject gets its old place.
    write_plan(tmp_path, people(range(4)), shard_size=2)
    assert [p.subject.unit for p in read_shard(tmp_path, "00001")] == ["sub-00002", "sub-00003"]


def test_every_subject_is_in_exactly_one_shard(tmp_path):
    write_plan(tmp_path, people(range(23)), shard_size=5)
    units = [p.subject.unit for s in read_shards(tmp_path) for p in read_shard(tmp_path, s)]
    assert sorted(units) == [f"sub-{n:05d}" for n in range(23)]


def test_damaged_registry_is_refused_not_guessed(tmp_path):
    write_plan(tmp_path, people(range(3)), shard_size=2)
    path = tmp_path / "plan" / "registry.tsv"
    path.write_text(path.read_text()[:-4])
    with pytest.raises(PopscanError, match="line 4"):
        read_registry(path)


def test_shard_line_gives_back_what_was_put_in():
    planned = Planned(
        subject=Subject(sub="sub-1", ses="ses-2", row={"a": 'x"\n'}, sources=("p/q",)),
        stat={"p/q": (3, 4)},
        problem={"status": "failed", "reason": "r", "message": "m"},
    )
    assert planned_from_line(planned_to_line(planned)) == planned


def test_unknown_shard_says_what_to_do(tmp_path):
    with pytest.raises(PopscanError, match="popscan plan"):
        read_shard(tmp_path, "00007")
