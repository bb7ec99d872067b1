"""A dry run of real Snakemake changes nothing, whatever state the study is in; and what it says."""

from __future__ import annotations

import re
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


def snakemake(
    cwd: Path, *arguments: str, python: str | Path = sys.executable, fails: bool = False
) -> str:
    command = ["timeout", "-k", "10", "600", str(python), "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, told[-3000:]
    return told


def dry_run(cwd: Path, *arguments: str, fails: bool = False) -> str:
    return snakemake(cwd, "--dry-run", *arguments, fails=fails)


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


def test_subset_takes_every_visit_of_a_subject_whatever_their_shards(study):
    for ses in ("ses-1", "ses-2", "ses-3"):
        write_scan(study, f"sub-04/{ses}")
    assert "6 subjects in 3 shards" in popscan_plan(study)
    for subjects, expected in (
        ("sub-04", {"00001", "00002"}),
        ("sub-04_ses-2", {"00002"}),
        ("sub-01,sub-04_ses-1", {"00000", "00001"}),
    ):
        told = dry_run(study, "--config", f"subjects={subjects}")
        assert set(re.findall(r"shard=(\d{5})", told)) == expected, subjects


@pytest.mark.parametrize("kind", ["bids", "simulated"])
def test_exclusion_list_is_never_passed_over(study, kind):
    """A list that is not there stops every run, also of a planned study; a new one plans anew."""
    config = study / "config.yaml"
    config.write_text(CONFIG.replace("bids", kind))
    snakemake(study, "--cores", "1", "results/dry/plan/plan.json")
    config.write_text(config.read_text() + "cohort: {exclude: withdrawn.tsv}\n")
    told = dry_run(study, fails=True)
    assert "cohort.exclude: withdrawn.tsv: no such file" in told
    first = {"bids": "sub-01", "simulated": "sub-0001"}[kind]
    (study / "withdrawn.tsv").write_text(f"participant_id\n{first}\n")
    told = dry_run(study, "results/dry/plan/plan.json")
    assert re.search(r"input: .*withdrawn\.tsv", told)


def test_study_whose_name_is_no_folder_name_is_refused(study):
    (study / "config.yaml").write_text(CONFIG.replace("dry", "'my study'"))
    assert "my study" in dry_run(study, fails=True)


BROKEN = "segment: {flip: true, device: gpu}\nplan: {shard_size: 0}\nfairness: {alpha: 2}\n"
ALIASES = "simulate:\n  bias:\n  - a0: &a0 {x: 1}\n" + "".join(
    f"  - a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)


@pytest.mark.parametrize("text", [BROKEN, ALIASES, "study: {name: a}\nstudy: {name: b}\n"])
def test_broken_config_is_a_few_lines_those_of_check(study, text):
    (study / "config.yaml").write_text(text)
    command = [sys.executable, "-m", "popscan", "check", "--configfile", str(study / "config.yaml")]
    check = subprocess.run(command, cwd=study, capture_output=True, text=True, check=False)
    assert check.returncode == 2
    expected = check.stderr.splitlines()
    assert expected
    lines = dry_run(study, fails=True).splitlines()
    assert [line for line in lines if line in expected] == expected
    assert len(lines) <= len(expected) + 4
    assert max(map(len, lines)) < 500


def test_folders_with_spaces_work(study):
    """Of the results, and of the environment that Snakemake runs from."""
    (study / "config.yaml").write_text(
        CONFIG.replace("name: dry", "name: dry, results: my results")
    )
    (study / "my env").symlink_to(sys.prefix, target_is_directory=True)
    python = study / "my env" / Path(sys.executable).relative_to(sys.prefix)
    for wanted in ("plan/plan.json", "manifests/ingest/00001.parquet"):
        snakemake(study, "--cores", "1", f"my results/dry/{wanted}", python=python)
    log = study / "my results" / "dry" / "logs" / "ingest" / "00001.log"
    assert "ingest 00001: 1 subjects done" in log.read_text()
