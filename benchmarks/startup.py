"""What a job pays before its first subject: CPU time until a stage's task is imported.

Every shard and stage is a process of its own, so this is paid once per shard. Each stage is
imported in new processes, alternately from this checkout and from another one (an earlier build),
so that a busy machine slows both equally.

    git worktree add ../before COMMIT
    python benchmarks/startup.py --beside ../before

`--command` does what the rule's command line does until it imports the task, too: it reads the
arguments and limits threads. Minima vary less than medians on a machine that does other work.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Imports what a job of the stage imports, wherever a build keeps its table of tasks.
CODE = """
import importlib, sys
if sys.argv[2:]:
    from popscan.cli import main, rules
    rules._stage = lambda arguments: None
    words = ["stage", sys.argv[1], "--study", "x", "--shard", "0", "--options", "{}"]
    assert main([*words, "--threads", "1"]) == 0
for name in ("popscan.stages.tasks", "popscan.pipeline.tasks"):
    try:
        table = importlib.import_module(name).TASKS
        break
    except ModuleNotFoundError:
        continue
module, _, function = table[sys.argv[1]].partition(":")
getattr(importlib.import_module(module), function)
"""
STAGES = ("simulate", "ingest", "reconstruct", "segment", "score", "qc", "biomarkers", "rca")


def cpu_s(source: Path, stage: str, *further: str) -> float:
    """CPU time of one process that imports the task of a stage."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    subprocess.run([sys.executable, "-c", CODE, stage, *further], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print medians of both builds, stage by stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, default=ROOT, help="checkout of another build")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--command", action="store_true", help="the rule's command line as well")
    arguments = parser.parse_args()
    further = ("command",) if arguments.command else ()
    print("CPU s          minimum              median")
    print(f"{'stage':<12}{'here':>7}{'beside':>7}{'ratio':>6}{'here':>8}{'beside':>7}{'ratio':>6}")
    for stage in arguments.stages:
        times: dict[str, list[float]] = {"here": [], "beside": []}
        for _ in range(arguments.repeats):
            times["here"].append(cpu_s(ROOT, stage, *further))
            times["beside"].append(cpu_s(arguments.beside.resolve(), stage, *further))
        line = f"{stage:<11}"
        for typical in (min, statistics.median):
            here, beside = (typical(measured) for measured in times.values())
            line += f"{here:>8.3f}{beside:>7.3f}{here / beside:>6.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
