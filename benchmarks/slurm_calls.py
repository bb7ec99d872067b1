"""How often Snakemake calls sbatch for a study: rules alone, in groups, as job arrays.

A real Slurm of one node (tests/slurm.sh; needs root, `slurm-wlm` and `munge`) runs a real simulated
study of one subject a shard, up to the biomarkers. The commands `sbatch`, `squeue` and `sacct` are
counted on their way. One minute of CPU time a shard and way; two numbers of shards show what a
further shard costs, from which the calls of 1,000 shards are calculated.

    python benchmarks/slurm_calls.py --shards 4 8
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from dag import ROOT, scratch

COUNTED = ("sbatch", "squeue", "sacct")
#: Stages per subject of this study, which are jobs of a shard.
CONFIG = {
    "study": {"name": "calls"},
    "source": {"kind": "simulated"},
    "simulate": {"kspace": False, "matrix": 64, "spacing_mm": 3.6, "n_frames": 4},
    "qc": {"thresholds": {"frame_count": {"review": 4, "fail": 2}}},
    "plan": {"shard_size": 1},
    "atlas": {"enabled": False},
}
PROFILE = ROOT / "workflow" / "profiles" / "slurm" / "config.yaml"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run called."""

    calls: dict[str, int]
    jobs: int
    wall_s: float


def ways() -> dict[str, list[str]]:
    """Ways to submit, by name: options of Snakemake."""
    groups = yaml.safe_load(PROFILE.read_text())["groups"]
    return {
        "every rule its own job": [],
        "groups of the profile": ["--groups", *(f"{rule}={name}" for rule, name in groups.items())],
        "job arrays": ["--slurm-array-jobs", "all"],
    }


@contextmanager
def slurm() -> Iterator[None]:
    """Run a Slurm of one node while this lasts; stop with a sentence where that cannot be."""
    script = ROOT / "tests" / "slurm.sh"
    missing = subprocess.run([script, "missing"], capture_output=True, text=True, check=True)
    if os.geteuid() != 0 or missing.stdout.strip():
        lacking = ", ".join(missing.stdout.split()) or "root"
        raise SystemExit(f"a Slurm of one node cannot be started: no {lacking}")
    with scratch() as folder:
        folder.chmod(0o755)
        os.environ["SLURM_CONF"] = f"{folder}/etc/slurm.conf"
        try:
            subprocess.run([script, "start", folder], check=True)
            yield
        finally:
            subprocess.run([script, "stop", folder], check=False, timeout=120)


def counting(folder: Path) -> Path:
    """Write commands that count themselves and then are the real ones; return their folder."""
    bin_ = folder / "bin"
    bin_.mkdir()
    for name in COUNTED:
        real = shutil.which(name)
        if real is None:
            raise SystemExit(f"{name}: no such command")
        path = bin_ / name
        # A short line is written whole, also by two at once.
        path.write_text(f'#!/bin/sh\necho 1 >> "{bin_}/{name}.calls"\nexec "{real}" "$@"\n')
        path.chmod(0o755)
    return bin_


def run(folder: Path, options: Sequence[str], *, shards: int, limit_s: int) -> Run:
    """Run a study of so many shards."""
    config = CONFIG | {"simulate": {**CONFIG["simulate"], "n_subjects": shards}}  # type: ignore[dict-item]
    (folder / "config.json").write_text(json.dumps(config))
    bin_ = counting(folder)
    path = os.pathsep.join([str(bin_), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [
        "timeout", "-k", "10", str(limit_s), sys.executable, "-m", "snakemake",
        "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.json",
        "--executor", "slurm", "--jobs", "200", "--local-cores", "1",
        "--omit-from", "collect",
        "--default-resources", "mem_mb=1000", "runtime=60",
        "--slurm-init-seconds-before-status-checks", "3", "--slurm-status-command", "squeue",
        "--latency-wait", "10", *options,
    ]  # fmt: skip
    # Planned before: nothing is left of a DAG without the tables as long as no shard is known.
    planned = [sys.executable, "-m", "popscan", "plan", "--configfile", "config.json"]
    subprocess.run(planned, cwd=folder, check=True, capture_output=True)
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"exit {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    calls = {name: _lines(bin_ / f"{name}.calls") for name in COUNTED}
    made = len(list((folder / "results" / "calls" / "manifests").glob("*/*.parquet")))
    if made != 7 * shards:
        raise SystemExit(
            f"{made} manifests of {shards} shards in seven stages\n{done.stderr[-3000:]}"
        )
    return Run(calls=calls, jobs=made, wall_s=time.perf_counter() - began)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def main() -> None:
    """Print a table: a way to submit, and what was called."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs=2, default=[4, 8], metavar=("FEW", "MORE"))
    parser.add_argument("--limit-s", type=int, default=1800, help="of one run")
    arguments = parser.parse_args()
    few, more = sorted(arguments.shards)
    if few == more or few < 2:
        parser.error("--shards: two different numbers, both above 1")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; a real Slurm of one node")
    head = "".join(f"{name:>8}" for name in COUNTED)
    print(f"{'way':<26}{'shards':>7}{'manifests':>10}{head}{'wall s':>8}")
    with slurm():
        for name, options in ways().items():
            found = []
            for shards in (few, more):
                with scratch() as folder:
                    folder.chmod(0o755)
                    one = run(folder, options, shards=shards, limit_s=arguments.limit_s)
                counts = "".join(f"{one.calls[name]:>8}" for name in COUNTED)
                print(f"{name:<26}{shards:>7}{one.jobs:>10}{counts}{one.wall_s:>8.0f}", flush=True)
                found.append(one.calls["sbatch"])
            each = (found[1] - found[0]) / (more - few)
            print(f"{'':<26}calculated: {1000 * each:.0f} sbatch calls for 1,000 further shards")


if __name__ == "__main__":
    main()
