"""What the DAG of a large study costs: dry run of a new one, and of a finished one.

Writes a synthetic planned study (registry, shard files, manifests, Snakemake's own records of
finished jobs) and measures ``snakemake --dry-run`` of the project's Snakefile on it, at several
shard sizes, beside a Snakefile with one job per subject and stage at sizes where that still runs.

    python benchmarks/dag.py                          100,000 subjects, about 10 idle minutes
    python benchmarks/dag.py --subjects 2000 --naive 200      a look, a minute
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from popscan.inventory import write_inventory
from popscan.plan import Planned, read_shard, write_plan
from popscan.records import Subject
from popscan.stages import stages_of

ROOT = Path(__file__).resolve().parents[1]
STAGES = stages_of("simulated")
TABLES = (
    "participants", "ledger", "cost", "qc", "qc_checks", "segmentation", "scores", "biomarkers",
    "associations", "reference_ranges", "fairness_gaps", "fairness_groups", "fairness_summary",
    "atlas_distances",
    "atlas_subjects",
)  # fmt: skip
#: The same per-subject stages, one job each: what most workflows do.
NAIVE = """
SUBJECTS = [f"sub-{i:06d}" for i in range(int(config["nsub"]))]
rule all:
    input: "out/study.txt"
rule study:
    input: expand("out/LAST/{s}.txt", s=SUBJECTS)
    output: "out/study.txt"
    shell: "touch {output}"
"""
NAIVE_RULE = """
rule STAGE:
    output: "out/STAGE/{s}.txt"
    INPUT
    shell: "touch {output}"
"""
CONFIG = """
study: {{name: big}}
source: {{kind: simulated}}
simulate: {{n_subjects: {n}}}
plan: {{shard_size: {size}}}
"""
#: Snakemake's command line, without the 0.1 s that it waits after each file touched.
TOUCH = """
from snakemake.cli import main
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0.0
main()
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took."""

    wall_s: float
    cpu_s: float
    peak_gb: float
    text: str


def measure(command: Sequence[str | Path], cwd: Path, *, limit_s: float = 3600) -> Cost:
    """Run a command; its wall time, CPU time and peak memory, from the kernel's books."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            ["timeout", "-k", "10", str(limit_s), *map(str, command)],
            cwd=cwd, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        # The usage of `timeout` holds that of its child, the peak of memory included.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))}: exit {process.returncode}\n{text[-2000:]}"
        )
    return Cost(
        wall_s=time.perf_counter() - began,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_gb=usage.ru_maxrss / 1e6,
        text=text,
    )


def snakemake(snakefile: Path, *arguments: str | Path) -> list[str | Path]:
    """Command line of a Snakemake run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--cores", "2"]
    return [*command, *arguments]


def write_study(folder: Path, *, n: int, size: int) -> Path:
    """Write config and plan of a synthetic study; return the study's folder."""
    (folder / "big.yaml").write_text(CONFIG.format(n=n, size=size))
    study = folder / "results" / "big"
    people = [
        Planned(subject=Subject(sub=f"sub-{i:06d}", row={"sex": "female", "age_years": "60"}))
        for i in range(n)
    ]
    write_plan(study, people, shard_size=size)
    return study


def finish_study(snakefile: Path, folder: Path, study: Path, *, atlas_rounds: int = 2) -> None:
    """Write every file that a finished study has for Snakemake, and its records of the jobs."""
    shards = json.loads((study / "plan" / "plan.json").read_text())["shards"]
    names = [f"manifests/{stage}/{shard}.parquet" for stage in STAGES for shard in shards]
    names += [f"atlas/work/prepared/{shard}.npz" for shard in shards]
    names.append("atlas/work/members.parquet")
    for index in range(atlas_rounds):
        names += [f"atlas/work/sums-{index}/{shard}.npz" for shard in shards]
        names.append(f"atlas/work/template-{index}.npz")
    names += [f"tables/{name}.{form}" for name in TABLES for form in ("parquet", "tsv", "json")]
    names += ["atlas/atlas.json", "report/index.html", "share/index.html", "provenance.json"]
    names += ["tables/fairness_sentences.txt"]
    for name in names:
        path = study / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 2000)
    # Snakemake itself records the jobs as done and orders the times of their files.
    arguments = ("--configfile", folder / "big.yaml", "--touch", "--forceall", "--quiet")
    command = [sys.executable, "-c", TOUCH, *snakemake(snakefile, *arguments)[3:]]
    measure([*command, "--cores", "1000"], folder)
    write_inventories(study, shards, names)


def write_inventories(study: Path, shards: Sequence[str], names: Sequence[str]) -> None:
    """Write down what was written, as the runner does: two files a subject and image stage."""
    for shard in shards:
        units = [planned.subject.unit for planned in read_shard(study, shard)]
        for stage in STAGES:
            name = f"manifests/{stage}/{shard}.parquet"
            files = {
                f"derivatives/{unit}/{stage}/{unit}_acq-sax_{kind}": (1000, 1)
                for unit in units
                for kind in ("cine.nii.gz", "cine.json")
                if stage in ("ingest", "segment")
            }
            write_inventory(study, name, [study / name], files)
    for name in names:
        if not name.startswith("manifests/"):
            write_inventory(study, name, [study / name])


def measure_sharded(snakefile: Path, *, n: int, size: int) -> Iterator[tuple[str, Cost]]:
    """Dry run of the new and of the finished study."""
    with scratch() as folder:
        study = write_study(folder, n=n, size=size)
        dry = snakemake(snakefile, "--configfile", folder / "big.yaml", "--dry-run", "--quiet")
        new = measure(dry, folder)
        yield "new", new
        finish_study(snakefile, folder, study)
        finished = measure([*dry[:-1]], folder)
        if "Nothing to be done" not in finished.text:
            raise SystemExit(f"the finished study is not up to date:\n{finished.text[-2000:]}")
        yield "finished", finished


def measure_naive(*, n: int) -> Iterator[tuple[str, Cost]]:
    """Measure the same for one job per subject and stage."""
    with scratch() as folder:
        text = NAIVE.replace("LAST", STAGES[-1])
        for index, stage in enumerate(STAGES):
            above = f'input: "out/{STAGES[index - 1]}/{{s}}.txt"' if index else ""
            text += NAIVE_RULE.replace("STAGE", stage).replace("INPUT", above)
        (folder / "Snakefile").write_text(text)
        dry = snakemake(folder / "Snakefile", "--config", f"nsub={n}", "--dry-run", "--quiet")
        yield "new", measure(dry, folder)
        for stage in STAGES:
            (folder / "out" / stage).mkdir(parents=True)
            for index in range(n):
                (folder / "out" / stage / f"sub-{index:06d}.txt").write_text("x")
        (folder / "out" / "study.txt").write_text("x")
        yield "finished", measure(dry[:-1], folder)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="popscan-dag-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=100_000)
    parser.add_argument("--shard-sizes", type=int, nargs="*", default=[256, 64])
    parser.add_argument("--naive", type=int, nargs="*", default=[1000, 3000, 10_000])
    parser.add_argument("--snakefile", type=Path, default=ROOT / "Snakefile")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {len(STAGES)} stages")
    head = f"{'design':<26}{'subjects':>9}{'study':>10}{'wall s':>9}{'cpu s':>8}{'GB':>7}"
    print(head + f"{'ms/subject':>12}")
    last: dict[str, tuple[float, float]] = {}
    for n in arguments.naive:
        for study, cost in measure_naive(n=n):
            show("one job per subject", n, study, cost)
            last[study] = (cost.cpu_s / n, cost.peak_gb / n)
    for size in arguments.shard_sizes:
        for study, cost in measure_sharded(arguments.snakefile, n=arguments.subjects, size=size):
            show(f"one job per shard of {size}", arguments.subjects, study, cost)
            if study in last:
                cpu, peak = (value * arguments.subjects for value in last[study])
                print(
                    f"    one job per subject, extended in proportion: {cpu / cost.cpu_s:.0f} x "
                    f"the CPU time, {peak / cost.peak_gb:.0f} x the memory"
                )


def show(design: str, n: int, study: str, cost: Cost) -> None:
    """Print one row."""
    line = f"{design:<26}{n:>9}{study:>10}{cost.wall_s:>9.1f}{cost.cpu_s:>8.1f}{cost.peak_gb:>7.2f}"
    print(line + f"{1000 * cost.cpu_s / n:>12.3f}", flush=True)


if __name__ == "__main__":
    main()
