"""Withdrawal through real Snakemake: nothing names who left, and the others' study is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
study: {name: tiny}
source: {kind: simulated}
simulate: {n_subjects: 5, kspace: false, matrix: 64, spacing_mm: 3.6, n_frames: 4}
plan: {shard_size: 4}
qc: {thresholds: {frame_count: {review: 4, fail: 2}}}
atlas: {min_group: 2, iterations: 1}
fairness: {min_group: 2, n_boot: 100, attributes: [sex], intersections: []}
"""


def run(cwd: Path, module: str, *arguments: str, fails: bool = False) -> str:
    command = ["timeout", "-k", "10", "900", sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, printed[-3000:]
    return printed


def snakemake(cwd: Path, *arguments: str, fails: bool = False) -> str:
    given = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    return run(cwd, "snakemake", *given, "--cores", "2", *arguments, fails=fails)


def mentioned(study: Path, name: str) -> list[str]:
    """Files below the study's folder that have the identifier, also decoded."""
    found = subprocess.run(["grep", "-rl", name, str(study)], capture_output=True, text=True).stdout
    paths = found.split() + [str(path) for path in study.rglob(f"*{name}*")]
    for path in study.rglob("*.parquet"):
        if name in str(pq.read_table(path).to_pylist()):
            paths.append(str(path))
    return paths


def test_who_withdraws_is_nowhere_and_another_cohort_is_asked_about(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    snakemake(tmp_path)
    study = tmp_path / "results" / "tiny"
    assert mentioned(study, "sub-0002")
    printed = run(tmp_path, "popscan", "withdraw", "results/tiny", "sub-0002")
    assert "1 visit was removed" in printed
    assert mentioned(study, "sub-0002") == []
    (tmp_path / "exclude.tsv").write_text("participant_id\treason\nsub-0004\twithdrew\n")
    (tmp_path / "config.yaml").write_text(CONFIG + "cohort: {exclude: exclude.tsv}\n")
    assert "withdrawn now: 1 visit was removed" in snakemake(tmp_path)
    for name in ("sub-0002", "sub-0004"):
        assert mentioned(study, name) == []
    table = pd.read_parquet(study / "tables" / "participants.parquet")
    assert list(table["unit"]) == ["sub-0001", "sub-0003", "sub-0005"]
    assert (study / "report" / "index.html").is_file()
    assert (study / "atlas" / "atlas.json").is_file()

    (tmp_path / "raw" / "sub-77").mkdir(parents=True)
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    (tmp_path / "config.yaml").write_text("study: {name: tiny}\nsource: {kind: bids, root: raw}\n")
    printed = snakemake(tmp_path, fails=True)
    assert "holds the results of a simulated population" in printed
    assert "allow_replace=true" in printed
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before
