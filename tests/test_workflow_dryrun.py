"""A dry run of real Snakemake changes nothing, whatever state the study is in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
study: {name: dry}
source: {kind: bids, root: raw}
plan: {shard_size: 2}
"""

LOCK = ".snakemake/locks/0.output.lock"


def dry_run(cwd: Path, *arguments: str) -> str:
    command = ["timeout", "-k", "10", "600", sys.executable, "-m", "snakemake", "--dry-run"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


def popscan_plan(cwd: Path) -> str:
    command = [sys.executable, "-m", "popscan", "plan", "--configfile", "config.yaml"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def write_scan(cwd: Path, sub: str, content: str = "no image") -> None:
    path = cwd / "raw" / sub / "cine" / f"{sub}_sax.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def everything(cwd: Path) -> dict[str, tuple[int, int]]:
    """Size and mtime of all files and folders but Snakemake's own, of which the lock counts."""
    return {
        str(path): (path.stat().st_size if path.is_file() else 0, path.stat().st_mtime_ns)
        for top in ("raw", "results", "config.yaml", LOCK)
        for path in [cwd / top, *(cwd / top).rglob("*")]
        if path.exists()
    }


@pytest.fixture
def study(tmp_path) -> Path:
    """A study that was not planned yet."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    for sub in ("sub-01", "sub-02", "sub-03"):
        write_scan(tmp_path, sub)
    return tmp_path


def test_dry_run_of_a_new_study_leaves_nothing(study):
    before = everything(study)
    assert "checkpoint plan" in dry_run(study)
    assert everything(study) == before
    assert not (study / "results").exists()


def test_dry_run_after_changes_says_what_would_run_and_changes_nothing(study):
    """New, changed and removed subjects, and the lock of a Snakemake that was killed."""
    assert "3 subjects in 2 shards" in popscan_plan(study)
    write_scan(study, "sub-02", "another image")
    write_scan(study, "sub-04")
    (study / "raw" / "sub-03" / "cine" / "sub-03_sax.nii.gz").unlink()
    (study / LOCK).parent.mkdir(parents=True)
    (study / LOCK).write_text("results/dry/tables/ledger.parquet\n")
    before = everything(study)
    for arguments in ([], ["--config", "subjects=sub-02"]):
        assert "checkpoint plan" in dry_run(study, *arguments)
    assert everything(study) == before

    told = popscan_plan(study)
    assert "new: 1: sub-04" in told
    assert "changed: 2: sub-02, sub-03" in told
