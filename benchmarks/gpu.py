"""Subjects per second of segmentation from NIfTI to NIfTI, and which part limits it.

    python benchmarks/gpu.py                         a GPU if there is one, else the same on the CPU
    python benchmarks/gpu.py --subjects 200 --together 1 4 8

Needs no data: simulated hearts with noise are written as the ingested images of a study, and the
stage `segment` labels them: its own task, read ahead, finished and written behind by the runner.
Each part is timed where it runs:

read      inflating the NIfTI file
prepare   grey values' percentiles; with a GPU the copy into pinned memory
compute   the networks and what goes with them: the device's part
finish    islands, impossible slices, the base, the numbers of the table
write     deflating the labels, the record's files

`compute` is the only part of which one runs at a time, so its share of the wall time says how busy
the device is kept. CPU seconds of the others say for how many subjects per second a core suffices:
what a GPU has to wait for, however fast it is. Without a GPU `compute` is the CPU's and no measure
of a GPU; the other parts are the same ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from popscan.config import Segment
from popscan.io import nifti
from popscan.plan import Planned
from popscan.protocols import DEFAULT, get_protocol
from popscan.protocols.cine_sax.segmentation import inference
from popscan.protocols.cine_sax.segmentation.cine import Cine
from popscan.records import Outcome, Scan, Status, Subject
from popscan.run import run_shard
from popscan.segment.devices import pick_device, pick_precision
from popscan.segment.ensemble import BATCHES
from popscan.stages.segment import STAGE
from popscan.stages.segment.task import segment_task
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.files import FileNames
from popscan.task import Task
from segmentation_host import heart

SHARD = "00000"
PARTS = ("read", "prepare", "compute", "finish", "write")


class Clock:
    """Wall and CPU seconds of each part, added up over threads."""

    def __init__(self) -> None:
        self.wall = dict.fromkeys(PARTS, 0.0)
        self.cpu = dict.fromkeys(PARTS, 0.0)
        self._lock = threading.Lock()
        self._inside = threading.local()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that notes what each call takes, without parts called within."""

        def call(*args: Any, **options: Any) -> Any:
            outer = getattr(self._inside, "taken", None)
            self._inside.taken = taken = [0.0, 0.0]
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **options)
            finally:
                wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
                with self._lock:
                    self.wall[part] += wall - taken[0]
                    self.cpu[part] += cpu - taken[1]
                if outer is not None:
                    outer[0] += wall
                    outer[1] += cpu
                self._inside.taken = outer

        return call


def make_study(root: Path, scans: list[Scan], n: int) -> list[Planned]:
    """Write n subjects' images as the stage ingest leaves them, with their records."""
    names = FileNames(get_protocol(DEFAULT))
    people = [Planned(subject=Subject(sub=f"sub-{i:04d}")) for i in range(n)]

    def work(subject: Subject, _: None) -> Outcome:
        scan = scans[int(subject.sub.removeprefix("sub-")) % len(scans)]
        return Outcome(files={names.image(subject): scan})

    def skip(subject: Subject, _: None) -> Outcome:
        return Outcome(status=Status.NOT_APPLICABLE, reason="no_kspace")

    for stage, make in {"ingest": work, "reconstruct": skip}.items():
        made = Task(
            stage=stage,
            version="1",
            options={},
            reads=lambda subject: {},
            load=lambda subject: None,
            work=make,
            write=names.write,
        )
        run_shard(Store(root), made, SHARD, people)
    return people


def label(root: Path, people: list[Planned], options: dict[str, Any]) -> tuple[Clock, float, float]:
    """Label a study anew; return its clock, and wall and CPU seconds in all."""
    store, clock = Store(root), Clock()
    config = {"version": f"{STAGE.version}.{time.time_ns()}", "study": {"seed": 1}}
    context = ShardContext(
        store=store,
        shard=SHARD,
        options={**config, "protocol": DEFAULT, "segment": options},
        planned={p.subject.unit: p for p in people},
    )
    places = (
        (nifti, "read_scan", "read"),
        (Cine, "__init__", "prepare"),
        (inference, "label_together", "compute"),
        (Cine, "finish", "finish"),
    )
    plain = [getattr(owner, name) for owner, name, _ in places]
    for owner, name, part in places:
        setattr(owner, name, clock.timed(part, getattr(owner, name)))
    try:
        task = segment_task(context)
        task = replace(task, write=clock.timed("write", task.write))
        if options["device"] == "cuda":
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter(), time.process_time()
        records = run_shard(store, task, SHARD, people).records
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        for (owner, name, _), function in zip(places, plain, strict=True):
            setattr(owner, name, function)
    lost = [r for r in records if r.status is not Status.OK]
    if lost or len(records) != len(people):
        raise SystemExit(f"{len(lost)} subjects failed, first: {lost[:1]}")
    return clock, wall, cpu


def limit_of(clock: Clock, wall: float, *, gpu: bool) -> str:
    """Return the part that limits: the device if it is busy, else the largest of the others."""
    if gpu and clock.wall["compute"] > 0.9 * wall:
        return "limited by compute"
    others = {part: clock.cpu[part] for part in PARTS if part != "compute"}
    largest = max(others, key=lambda part: others[part])
    return f"limited by {largest}" if gpu else f"a GPU would wait for {largest} first"


def show(together: int, clock: Clock, wall: float, cpu: float, n: int, *, gpu: bool) -> None:
    """Print one run."""
    print(
        f"\n== {together} subject(s) at a time: {n / wall:.2f} subjects/s, {cpu / n:.2f} CPU s =="
    )
    what = "device" if gpu else "CPU, in place of a GPU,"
    print(f"{what} computes {100 * clock.wall['compute'] / wall:.0f} % of the wall time")
    print(limit_of(clock, wall, gpu=gpu))
    for part in PARTS:
        print(f"{part:9s} wall {clock.wall[part] / n:7.3f} s, CPU {clock.cpu[part] / n:7.3f} s")
    host = sum(clock.cpu[part] for part in PARTS if part != "compute") / n
    print(
        f"read, prepare, finish and write: {host:.2f} CPU s a subject, so one core keeps a GPU of "
        f"up to {1 / host:.2f} subjects/s busy"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cine_sax", help="bundle: a name or a folder")
    parser.add_argument("--subjects", type=int, default=0, help="0: 64 on a GPU, 4 on a CPU")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--side", type=int, default=216, help="pixels along x and y")
    parser.add_argument("--together", type=int, nargs="+", default=[], help="subjects at a time")
    parser.add_argument("--batch-slices", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of the networks on a CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=None, help="where the study is made")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = pick_device("auto")
    gpu = device.type != "cpu"
    n = given.subjects or (64 if gpu else 4)
    what = torch.cuda.get_device_name() if gpu else "none: all of it runs on the CPU"
    batch = given.batch_slices or BATCHES["gpu" if gpu else "cpu"]
    print(f"GPU: {what}; {pick_precision('auto', device)}, batches of {batch} slices")
    scans = [
        heart(seed=given.seed + i, frames=given.frames, side=given.side) for i in range(min(n, 4))
    ]
    shapes = ", ".join("x".join(map(str, scan.array.shape)) for scan in scans)
    print(f"{n} subjects, cines of {shapes} (repeated)")
    section = partial(
        Segment,
        method=get_protocol(DEFAULT).segmentation.method,
        model=given.model,
        device=device.type,
        batch_slices=given.batch_slices,
    )
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        people = make_study(Path(name), scans, n)
        # The first subjects pay for the device's start.
        label(Path(name), people[:1], section(batch_subjects=2).model_dump())
        for together in given.together or ([1, 4] if gpu else [1, 2]):
            options = section(batch_subjects=together).model_dump()
            show(together, *label(Path(name), people, options), n, gpu=gpu)


if __name__ == "__main__":
    sys.exit(main())
