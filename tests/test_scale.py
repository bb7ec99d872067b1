"""Counting, marking and locking of a study: quick ways give what slow ways give."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from plain_table import plain_table
from popscan.cli import main
from popscan.commands.estimate import DiskUse, format_estimate, stage_costs
from popscan.commands.rerun import mark_rerun
from popscan.commands.status import format_status, study_status
from popscan.disk import no_later_than_now, remove_temporaries
from popscan.journal import record_line
from popscan.lock import StudyLock, clear_stale_locks
from popscan.plan import Planned, write_plan
from popscan.records import PopscanError, Record, Status, Subject
from popscan.stages import STUDY_STAGES
from popscan.stages.collect.columns import COST
from popscan.store import Store
from popscan.study.costs import cost_rates, study_costs

N, SIZE = 10, 4


def record(index: int, **changes) -> Record:
    failed = index % 3 == 0
    return Record(
        unit=f"sub-{index:02d}",
        stage="ingest",
        status=Status.FAILED if failed else Status.OK,
        reason="torn" if failed else "",
        message="ends early" if failed else "",
        files={} if failed else {"a.nii.gz": 10, "a.json": 2},
        seconds=float(index),
        finished=f"2026-01-01T00:00:{index:02d}+00:00",
        **changes,
    )


@pytest.fixture
def store(tmp_path) -> Store:
    """A planned study whose ingest is done: ten subjects, every third failed."""
    store = Store(tmp_path / "results" / "s")
    store.root.mkdir(parents=True)
    (store.root / "a.nii.gz").write_bytes(bytes(10))
    (store.root / "a.json").write_bytes(b"{}")
    people = [Planned(subject=Subject(sub=f"sub-{i:02d}")) for i in range(N)]
    write_plan(store.root, people, shard_size=SIZE)
    for start in range(0, N, SIZE):
        records = [record(i) for i in range(start, min(start + SIZE, N))]
        journal = store.journal("ingest", f"{start // SIZE:05d}")
        journal.path.parent.mkdir(parents=True, exist_ok=True)
        journal.path.write_text("".join(map(record_line, records)))
        store.write_manifest("ingest", f"{start // SIZE:05d}", records)
    return store


def test_status_of_manifests_is_status_of_journals(store):
    (quick,) = study_status(store)
    for path in (store.root / "manifests").rglob("*.parquet"):
        path.unlink()
    (slow,) = study_status(store)
    assert vars(quick) == vars(slow)
    assert (quick.statuses, quick.reasons) == ({"failed": 4, "ok": 6}, {"torn": 4})
    assert quick.n_pending == 0
    assert "torn (4), e.g. sub-00: ends early" in format_status([quick])


def test_status_reads_the_journal_where_it_is_newer_than_the_manifest(store):
    with store.journal("ingest", "00000").writer() as writer:
        writer.forget("sub-01")
    later = time.time() + 10
    os.utime(store.journal("ingest", "00000").path, (later, later))
    (status,) = study_status(store)
    assert (status.n_pending, status.statuses["ok"]) == (1, 5)


def test_rerun_of_failed_marks_only_their_shards(store):
    assert mark_rerun(store, failed=True, stages=["ingest"]) == {"ingest": 4}
    assert not list((store.root / "manifests").rglob("*.parquet"))
    assert mark_rerun(store, failed=True, stages=["ingest"]) == {"ingest": 0}


def test_rerun_of_one_subject_leaves_other_shards_their_manifests(store):
    assert mark_rerun(store, subjects=["sub-05"], stages=["ingest"]) == {"ingest": 1}
    left = sorted(p.stem for p in (store.root / "manifests").rglob("*.parquet"))
    assert left == ["00000", "00002"]


def test_rerun_takes_lists_longer_than_a_file_name(store, capsys):
    names = [f"sub-{i:02d}" for i in range(N)] * 5
    assert main(["rerun", str(store.root), "--stage", "ingest", "--subjects", ",".join(names)]) == 0
    assert capsys.readouterr().out == f"ingest: {N} records will be redone\n"
    path = store.root / "list.txt"
    path.write_text("\n".join(names))
    assert main(["rerun", str(store.root), "--stage", "ingest", "--subjects", str(path)]) == 0
    assert capsys.readouterr().out == "nothing to redo\n"


def write_costs(store: Store, *, cores: float = 1.0, gpus: float = 0.0) -> None:
    rows = [vars(record(i, cores=cores, gpus=gpus)) for i in range(N)]
    plain_table(store.root, "cost", pd.DataFrame(rows)[list(COST)])


def write_benchmark(store: Store, job: str, seconds: float, *, ended: str) -> Path:
    """Write what Snakemake's benchmark directive does; `ended` is the file's time."""
    path = store.root / "logs" / f"{job}.benchmark.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = "s\th:m:s\tmax_rss\tmax_vms\tmean_load\tcpu_time"
    path.write_text(f"{columns}\n{seconds}\t0:00:00\t300.00\t-\t50.0\t{seconds / 2}\n")
    at = datetime.fromisoformat(ended).timestamp()
    os.utime(path, (at, at))
    return path


def test_estimate_is_in_proportion(store):
    write_costs(store)
    (cost,) = stage_costs(store.root)
    assert (cost.seconds, cost.inodes, cost.bytes) == (4.5, 1.2, 7.2)
    told = format_estimate([cost], n=3600, shard_size=36).splitlines()[1].split()
    # 3600 subjects of 4.5 s are 4.5 h; 100 jobs of 6 s start-up (assumed) are a sixth of an hour.
    hours = 4.5 + 100 * 6 / 3600
    assert told[3] == "~6"
    assert [float(cell) for cell in told[6:10]] == pytest.approx(
        [hours / 3.6, 0, hours, 0], rel=1e-3
    )
    assert told[10:12] == ["100", "4320"]


def test_estimate_counts_folders_and_what_is_linked_once(store, tmp_path):
    for stage in ("simulate", "ingest"):
        folder = store.stage_folder(stage, "sub-01")
        folder.mkdir(parents=True)
        (folder / "own.txt").write_text(stage)
    (store.stage_folder("simulate", "sub-01") / "big.txt").write_bytes(bytes(1000))
    os.link(
        store.stage_folder("simulate", "sub-01") / "big.txt",
        store.stage_folder("ingest", "sub-01") / "big.txt",
    )
    disk = DiskUse(store.root)
    added = {}
    for stage in ("simulate", "ingest"):
        files = store.stage_folder(stage, "sub-01").iterdir()
        sizes = {str(p.relative_to(store.root)): p.stat().st_size for p in files}
        added[stage] = disk.added([sizes, {}])
    # The subject's folder, the stage's, two files; then the stage's and one file.
    assert added == {"simulate": (4, 1008), "ingest": (2, 6)}


def test_cost_of_1000_subjects_counts_cores_gpus_and_start_up(store):
    """Shard 0 holds seconds 0 to 3 (6 s of work), its job took 9 s: 3 s of start-up per job."""
    write_costs(store, cores=2, gpus=1)
    write_benchmark(store, "ingest/00000", 9.0, ended="2026-01-01T00:00:04+00:00")
    # Shard 1's last job found its subjects done, hours later: it says nothing of start-up.
    write_benchmark(store, "ingest/00001", 1.0, ended="2026-01-01T09:00:00+00:00")
    (rate,) = cost_rates(store.root).to_dict("records")
    assert rate["startup_s"] == pytest.approx(3.0)
    # 45 s of work and three jobs' start-up, of ten subjects, on two cores and a GPU.
    assert rate["gpu_hours_per_1000"] == pytest.approx((45 + 3 * 3) / 10 * 1000 / 3600)
    assert rate["core_hours_per_1000"] == pytest.approx(2 * rate["gpu_hours_per_1000"])


def test_costs_of_the_atlas_and_of_the_study_come_from_their_jobs(store):
    write_costs(store)
    for shard in ("00000", "00001"):
        for index in range(2):
            write_benchmark(
                store, f"atlas/map-{index}-{shard}", 18.0, ended="2026-01-01T01:00:00+00:00"
            )
    for job in ("collect", "atlas/reduce-0", "atlas/reduce-1"):
        write_benchmark(store, job, 7.0, ended="2026-01-01T01:00:00+00:00")
    (store.root / "logs" / "fairness.benchmark.tsv").write_text("")
    rates = cost_rates(store.root).set_index("stage")["core_hours_per_1000"]
    assert rates["atlas_map"] == pytest.approx(4 * 18 / N * 1000 / 3600)
    told = study_costs(store.root).set_index("stage")["seconds"]
    assert told.to_dict() == {"collect": 7.0, "atlas_reduce": 14.0}


def test_every_job_that_a_rule_measures_is_in_the_table_of_costs(store, repo_root):
    """What the rules' ``benchmark`` names becomes a row, whichever stages are enabled."""
    write_costs(store)
    for path in (repo_root / "workflow" / "rules").glob("*.smk"):
        for name in re.findall(r'benchmark:\n +f"\{STUDY\}/logs/(.+)\.benchmark', path.read_text()):
            if "STAGE" not in name and not name.startswith("experiment/"):
                filled = name.replace("{{shard}}", "00000").replace("{{iteration}}", "0")
                write_benchmark(store, filled, 5.0, ended="2026-01-01T01:00:00+00:00")
    per_shard = set(cost_rates(store.root)["stage"]) - {"ingest"}
    assert per_shard == {n for n, s in STUDY_STAGES.items() if s.per == "shard"}
    whole = {n for n, s in STUDY_STAGES.items() if s.per == "study"} - {"report"}
    assert set(study_costs(store.root)["stage"]) == whole
    assert {"rca_references", "rca_validity", "visibility", "visibility_maps"} <= whole


def test_study_that_was_not_run_has_no_costs(store):
    assert cost_rates(store.root).empty
    assert study_costs(store.root).empty


def test_estimate_without_a_run_is_refused_in_words(store):
    with pytest.raises(PopscanError, match="an estimate needs a study that was run"):
        stage_costs(store.root)


HOLD = """
import sys, time
from pathlib import Path
from popscan.lock import StudyLock
lock = StudyLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_study_is_one_process_own_until_it_dies(tmp_path):
    """While it is held Snakemake's locks stand; a killed holder leaves nothing to unlock."""
    study = tmp_path / "results" / "s"
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text(f"{study}/tables/ledger.parquet\n")
    (locks / "1.output.lock").write_text("results/other/tables/ledger.parquet\n")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(study)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"is being run by process {holder.pid} on "):
            StudyLock(study).acquire()
        assert clear_stale_locks(tmp_path / ".snakemake", str(study)) == []
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert [p.name for p in clear_stale_locks(tmp_path / ".snakemake", str(study))] == [
        "0.output.lock"
    ]
    StudyLock(study).acquire()


def test_files_of_the_future_are_set_to_now(tmp_path):
    ahead, behind = tmp_path / "ahead", tmp_path / "behind"
    for path, time_s in ((ahead, time.time() + 1e6), (behind, 1e9)):
        path.touch()
        os.utime(path, (time_s, time_s))
    no_later_than_now([ahead, behind, tmp_path / "absent"])
    assert ahead.stat().st_mtime <= time.time()
    assert behind.stat().st_mtime == 1e9


def test_temporaries_of_the_dead_go_and_of_the_living_stay(tmp_path):
    dead, living = tmp_path / ".x.4999999.tmp", tmp_path / f".x.{os.getpid()}.tmp"
    for path in (dead, living):
        path.touch()
    remove_temporaries(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [living.name]
