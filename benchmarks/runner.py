"""What the runner itself costs per subject, with the work taken out.

A stage that does nothing runs over shards of growing size: cold (every subject done and recorded),
with a small file each, and warm (nothing to do). Beside it a bare loop that writes the same files
and says nothing of anybody. Then memory in shard size, with an image of 16 MB in every subject's
hands, and ``popscan status`` of a large study.

    python benchmarks/runner.py                      100,000 subjects
    python benchmarks/runner.py --subjects 2000      a look
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dag import measure
from popscan.journal import record_line
from popscan.plan import Planned, write_plan
from popscan.records import Outcome, Record, Status, Subject
from popscan.run import run_shard
from popscan.store import Store
from popscan.task import Task

#: A shard in a process of its own: memory is that of this shard alone.
SHARD = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import numpy
from runner import people, no_op
from popscan.run import run_shard
from popscan.store import Store
root, n, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
# What every shard has, whatever its size: libraries, the machinery of manifests.
run_shard(Store(root / "first"), no_op("record"), "00000", people(1))
planned, store = people(n), Store(root)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(2):
    wall, cpu = time.perf_counter(), time.process_time()
    result = run_shard(store, no_op(kind), "00000", planned)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(result.n_done, wall, cpu, (peak - before) / 1024)
"""
IMAGE_MB = 16
STAGES = ("ingest", "reconstruct", "segment", "score", "qc", "biomarkers")


def people(n: int) -> list[Planned]:
    """Subjects of a synthetic study."""
    return [
        Planned(subject=Subject(sub=f"sub-{i:06d}", row={"sex": "female", "age_years": "60"}))
        for i in range(n)
    ]


def no_op(kind: str) -> Task:
    """Return a stage that does nothing (record), writes a file, or only holds an image."""
    content = {"out.txt": "done\n"} if kind == "files" else {}

    def load(subject: Subject) -> Any:
        return np.ones(IMAGE_MB * 2**20, np.uint8) if kind == "image" else None

    return Task(
        stage="ingest",
        version="1",
        options={},
        reads=lambda subject: {"age": subject.row["age_years"]},
        load=load,
        work=lambda subject, loaded: Outcome(files=content, values={"x": 1.0, "y": 2.0}),
        write=lambda path, text: path.write_text(text),
    )


def bare_loop(folder: Path, n: int) -> float:
    """Seconds of writing the same files with no record, no digest and no atomic rename."""
    began = time.perf_counter()
    for item in people(n):
        place = folder / item.subject.folder / "ingest"
        place.mkdir(parents=True)
        (place / "out.txt").write_text("done\n")
    return time.perf_counter() - began


def measure_shards(sizes: list[int]) -> None:
    """Print the runner's rates at growing shard sizes: per second of CPU time, and of the clock."""
    head = f"{'shard':>7}{'stage':>28}{'wall s':>9}{'cpu s':>8}{'subjects/s':>12}{'/cpu s':>9}"
    print(f"{head}{'+ MB':>8}")
    for n in sizes:
        for kind in ("record", "files", "image"):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-c", SHARD, folder, str(n), kind]
                done = subprocess.run(
                    [*command, str(Path(__file__).parent)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
            for line in done.stdout.splitlines():
                count, wall, cpu, peak = map(float, line.split())
                name = f"{kind}, " + ("cold" if count else "warm, nothing to do")
                row = f"{n:>7}{name:>28}{wall:>9.2f}{cpu:>8.2f}{n / wall:>12.0f}{n / cpu:>9.0f}"
                print(f"{row}{peak:>8.1f}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            wall = bare_loop(Path(folder), n)
        print(f"{n:>7}{'bare loop, files':>28}{wall:>9.2f}{'':>8}{n / wall:>12.0f}", flush=True)


def write_study(root: Path, n: int, shard_size: int) -> None:
    """Write plan, journals and manifests of a study as its stages leave them."""
    planned = people(n)
    write_plan(root, planned, shard_size=shard_size)
    store = Store(root)
    for stage in STAGES:
        for start in range(0, n, shard_size):
            shard = f"{start // shard_size:05d}"
            records = [
                record_of(item.subject.unit, stage, index)
                for index, item in enumerate(planned[start : start + shard_size], start=start)
            ]
            journal = store.journal(stage, shard)
            journal.path.parent.mkdir(parents=True, exist_ok=True)
            journal.path.write_text("".join(map(record_line, records)))
            store.write_manifest(stage, shard, records)


def record_of(unit: str, stage: str, index: int) -> Record:
    """Return a record as large as those of real stages; one in fifty says failed."""
    failed = index % 50 == 0
    return Record(
        unit=unit,
        stage=stage,
        status=Status.FAILED if failed else Status.OK,
        reason="truncated_file" if failed else "",
        message="ends early" if failed else "",
        fingerprint="f" * 64,
        digest="d" * 64,
        files={} if failed else {f"derivatives/{unit}/{stage}/{unit}_acq-sax_cine.nii.gz": 12345},
        values={f"value_{k}": k + index / 7 for k in range(20)},
        seconds=1.5,
        peak_mb=500.0,
        finished="2026-01-01T00:00:00+00:00",
    )


def measure_large(n: int, shard_size: int) -> None:
    """Time status of a large study."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "results" / "big"
        write_study(root, n, shard_size)
        title = f"{n} subjects x {len(STAGES)} stages, shards of {shard_size}"
        for state in ("first", "again"):
            cost = measure([sys.executable, "-m", "popscan", "status", root], root)
            print(
                f"popscan status, {title}, {state}: {cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s, "
                f"{cost.peak_gb:.2f} GB"
            )
        print("\n".join(cost.text.splitlines()[1:]))


def check() -> None:
    """Hold the benchmark's stage to what it claims: it does all, then nothing."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        counts = [run_shard(store, no_op("files"), "00000", people(5)).n_done for _ in range(2)]
    assert counts == [5, 0], counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=100_000)
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 256, 1024, 4096])
    arguments = parser.parse_args()
    check()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    measure_shards(arguments.sizes)
    measure_large(arguments.subjects, arguments.shard_size)


if __name__ == "__main__":
    main()
