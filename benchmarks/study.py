"""What the jobs of the whole study cost at a size: collect, associate, fairness, report.

Writes a study of N subjects in seven stages as the workflow leaves it, without images (the demo's
records multiplied, their numbers varied: study_writer.py), and runs the four commands on it, of
this build and of another revision side by side: CPU seconds (user and system), peak memory of the
process, and the sizes of what is shown and shared.

    python benchmarks/study.py --subjects 1000                            a look, a minute
    python benchmarks/study.py --subjects 100000 --baseline b5634cd       half an hour, 15 GB

With ``--baseline-subjects`` the other revision gets a smaller study, where its memory ends; what
it cost per subject is compared then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dag import Cost, measure, scratch
from study_writer import JOBS

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Build:
    """One build's costs on a study of so many subjects."""

    name: str
    subjects: int
    costs: Mapping[str, Cost] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)

    def total_s(self) -> float:
        """CPU seconds of all jobs."""
        return sum(cost.cpu_s for cost in self.costs.values())

    def peak_gb(self) -> float:
        """Memory of the job that took most."""
        return max(cost.peak_gb for cost in self.costs.values())


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield a folder with the files of a revision."""
    with scratch() as folder:
        tree = folder / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", tree, revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)


def command(tree: Path, *arguments: str | Path) -> list[str | Path]:
    """Command line of Python with the packages of a tree."""
    paths = os.pathsep.join([str(tree / "src"), str(Path(__file__).parent)])
    return ["env", f"PYTHONPATH={paths}", "OMP_NUM_THREADS=1", sys.executable, *arguments]


def run_build(
    name: str, tree: Path, *, subjects: int, shard_size: int, jobs: Sequence[str], folder: Path
) -> Build:
    """Write the study with a build's own writers, and run the jobs."""
    writer = Path(__file__).with_name("study_writer.py")
    sizes = ["--subjects", str(subjects), "--shard-size", str(shard_size)]
    made = measure(command(tree, writer, folder, *sizes), folder, limit_s=7200)
    print(f"{name}: {subjects} subjects written in {made.cpu_s:.0f} CPU-s", flush=True)
    study, costs = folder / "results" / "large", {}
    for job in jobs:
        given = "--config" if job == "report" else "--options"
        options = ["--study", study, given, folder / "given" / f"{job}.json"]
        costs[job] = measure(command(tree, "-m", "popscan", job, *options), folder, limit_s=7200)
        print(f"{name:<12}{subjects:>9}  {job:<10}{_told(costs[job])}", flush=True)
    return Build(name=name, subjects=subjects, costs=costs, sizes=megabytes(study))


def _told(cost: Cost) -> str:
    return f"{cost.cpu_s:>9.1f} CPU-s{cost.wall_s:>9.1f} s{cost.peak_gb:>8.2f} GB"


def megabytes(study: Path) -> dict[str, float]:
    """Sizes of what the jobs left."""
    parts = {
        "report/index.html": [study / "report" / "index.html"],
        "report/": study.glob("report/**/*.*"),
        "share/index.html": [study / "share" / "index.html"],
        "share/": study.glob("share/**/*.*"),
        "tables/*.parquet": study.glob("tables/*.parquet"),
        "tables/*.tsv": study.glob("tables/*.tsv"),
    }
    return {
        name: sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
        for name, paths in parts.items()
    }


def compare(new: Build, old: Build) -> None:
    """Print what the old build took in multiples of the new one."""
    print(f"\n{old.name} / {new.name}, per subject:")
    for job in new.costs:
        print(f"  {job:<20}{_ratio(new, old, new.costs[job], old.costs[job])}")
    print(f"  {'all jobs':<20}CPU time {_per(old.total_s(), old) / _per(new.total_s(), new):.1f}")
    for name, size in new.sizes.items():
        print(f"  {name:<20}{old.sizes[name]:.2f} MB / {size:.2f} MB")


def _per(value: float, build: Build) -> float:
    return value / build.subjects


def _ratio(new: Build, old: Build, a: Cost, b: Cost) -> str:
    cpu = _per(b.cpu_s, old) / _per(a.cpu_s, new)
    return f"CPU time {cpu:.1f}, memory {_per(b.peak_gb, old) / _per(a.peak_gb, new):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--baseline", metavar="REV", help="revision that is measured beside")
    parser.add_argument("--baseline-subjects", type=int, help="default: as many")
    parser.add_argument("--jobs", nargs="+", default=JOBS, choices=JOBS, help="one needs the last")
    arguments = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, shards of {arguments.shard_size}"
    )
    size = arguments.shard_size
    options: dict[str, Any] = {"shard_size": size, "jobs": arguments.jobs}
    old = None
    if arguments.baseline:
        count = arguments.baseline_subjects or arguments.subjects
        with checkout(arguments.baseline) as tree, scratch() as folder:
            old = run_build(arguments.baseline, tree, subjects=count, folder=folder, **options)
    with scratch() as folder:
        count = arguments.subjects
        new = run_build("this build", ROOT, subjects=count, folder=folder, **options)
    print(f"all jobs: {new.total_s():.1f} CPU-s, {new.peak_gb():.2f} GB")
    for name, megabyte in new.sizes.items():
        print(f"  {name:<20}{megabyte:.2f} MB")
    if old:
        compare(new, old)


if __name__ == "__main__":
    main()
