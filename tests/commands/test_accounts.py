"""What is damaged or does not add up is named with what to do: no traceback, no short table."""

from __future__ import annotations

import pytest

from popscan.commands.rerun import mark_rerun
from popscan.commands.status import study_status
from popscan.commands.verify import verify_study
from popscan.inventory import damaged_outputs
from popscan.plan import Planned, read_plan, read_shard, read_shards, write_plan
from popscan.records import Outcome, PopscanError, Status, Subject, SubjectError
from popscan.run import run_shard
from popscan.store import Store
from popscan.study.tables import check_manifests, check_plan, read_table
from popscan.task import Task

UNITS = [f"sub-{i}" for i in range(6)]
PLAN = "plan/plan.json"
SHARD = "plan/shards/00001.jsonl"


def people() -> list[Planned]:
    return [Planned(subject=Subject(sub=unit)) for unit in UNITS]


def task() -> Task:
    def work(subject, loaded):
        if subject.unit == "sub-5":
            raise SubjectError("no_images", "none")
        return Outcome(files={"out.txt": subject.unit})

    return Task(
        stage="ingest",
        version="1",
        options={},
        reads=lambda subject: {},
        load=lambda subject: None,
        work=work,
        write=lambda path, content: path.write_text(content),
    )


@pytest.fixture
def store(tmp_path) -> Store:
    """Plan six subjects in two shards, and run a stage on them that fails for one."""
    write_plan(tmp_path, people(), shard_size=3)
    store = Store(tmp_path)
    for shard in read_shards(tmp_path):
        run_shard(store, task(), shard, read_shard(tmp_path, shard))
    assert damaged_outputs(tmp_path, subject_files=True) == {}
    return store


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"shards": []}'])
def test_damaged_plan_is_named_and_planned_anew(store, text):
    path = store.root / PLAN
    whole = path.read_text()
    path.write_text(text)
    for asked in (read_plan, read_shards, lambda root: study_status(Store(root))):
        with pytest.raises(PopscanError, match=r"plan\.json: damaged; run 'popscan plan'"):
            asked(store.root)
    assert damaged_outputs(store.root, subject_files=False) == {PLAN: [PLAN]}
    write_plan(store.root, people(), shard_size=3)
    assert path.read_text() == whole
    assert damaged_outputs(store.root, subject_files=False) == {}


@pytest.mark.parametrize(
    "damage", [lambda line: "", lambda line: line[:20] + "\n", lambda line: "\udcb4\n"]
)
def test_line_lost_in_the_plan_is_seen_and_written_anew(store, damage):
    path = store.root / SHARD
    lines = path.read_text().splitlines(keepends=True)
    text = damage(lines[0]) + "".join(lines[1:])
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert damaged_outputs(store.root, subject_files=False) == {PLAN: [SHARD]}
    write_plan(store.root, people(), shard_size=3)
    assert path.read_text() == "".join(lines)


def test_garbled_line_of_the_plan_is_named(store):
    path = store.root / SHARD
    path.write_text(path.read_text().replace('"ses"', '"sez"', 1))
    with pytest.raises(PopscanError, match=r"00001\.jsonl, line 1: damaged"):
        read_shard(store.root, "00001")


def test_fewer_subjects_than_planned_are_refused_by_name(store):
    check_plan(store.root, UNITS)
    with pytest.raises(PopscanError, match=r"6 subjects were planned.*list 5.*sub-4"):
        check_plan(store.root, [unit for unit in UNITS if unit != "sub-4"])


def test_manifest_of_records_lost_since_is_refused(store):
    check_manifests(store, ["ingest"], ["00000", "00001"])
    journal = store.journal("ingest", "00001").path
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(PopscanError, match=r"ingest, shard 00001.*type the same command again"):
        check_manifests(store, ["ingest"], ["00000", "00001"])


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_damaged_parquet_is_named(store, data):
    store.manifest_path("ingest", "00000").write_bytes(data)
    with pytest.raises(PopscanError, match="the manifest is damaged"):
        store.read_manifest("ingest", "00000")
    (store.root / "tables").mkdir()
    (store.root / "tables" / "ledger.parquet").write_bytes(data)
    with pytest.raises(PopscanError, match="the table is damaged"):
        read_table(store.root, "ledger")


def test_rerun_of_failures_counts_lost_records_and_files(store):
    assert mark_rerun(store, failed=True, stages=["ingest"]) == {"ingest": 1}
    for shard in read_shards(store.root):
        run_shard(store, task(), shard, read_shard(store.root, shard))
    (store.root / "derivatives" / "sub-0" / "ingest" / "out.txt").unlink()
    journal = store.journal("ingest", "00000").path
    kept = [line for line in journal.read_text().splitlines(keepends=True) if "sub-2" not in line]
    journal.write_text("".join(kept))
    assert mark_rerun(store, failed=True, stages=["ingest"]) == {"ingest": 3}
    assert not store.manifest_path("ingest", "00000").exists()


def test_verify_marks_only_what_is_lost(store):
    assert verify_study(store, deep=True) == {}
    path = store.root / "derivatives" / "sub-1" / "ingest" / "out.txt"
    path.write_text("sub-2")
    name = store.manifest_name("ingest", "00000")
    assert verify_study(store) == {name: ["derivatives/sub-1/ingest/out.txt"]}
    result = run_shard(store, task(), "00000", read_shard(store.root, "00000"))
    assert (result.n_done, path.read_text()) == (1, "sub-1")
    assert {record.status for record in result.records} == {Status.OK}
    assert verify_study(store, deep=True) == {}
