"""A profile whose cluster is not there: the run stops before the first job, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from popscan.executors import executor_problem, storage_problem

ROOT = Path(__file__).resolve().parents[1]
SLURM = ("sbatch", "squeue", "sacct", "sacctmgr", "sinfo", "scontrol", "srun", "scancel", "salloc")
NO_ACCOUNTING = "#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n"


@pytest.fixture
def no_slurm(tmp_path, monkeypatch) -> Path:
    """A PATH with all commands of this machine but Slurm's."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for path in Path(place).glob("*") if Path(place).is_dir() else ():
            if path.name not in SLURM and not os.path.lexists(folder / path.name):
                (folder / path.name).symlink_to(path)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def command(folder: Path, name: str, text: str = "#!/bin/sh\nexit 0\n") -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_missing_commands_are_named_with_the_profile_that_works(no_slurm):
    assert "no command 'sbatch'" in executor_problem("slurm", status_command="sacct")
    command(no_slurm, "sbatch")
    assert "slurm-noacct" in executor_problem("slurm", status_command="sacct")
    assert "no command 'squeue'" in executor_problem("slurm", status_command="squeue")
    command(no_slurm, "sacct", NO_ACCOUNTING)
    assert "no accounting" in executor_problem("slurm", status_command="sacct")
    command(no_slurm, "sacct")
    assert executor_problem("slurm", status_command="sacct") == ""
    assert executor_problem("local") == "" == executor_problem("dryrun")


@pytest.mark.workflow
@pytest.mark.slow
@pytest.mark.parametrize("profile", ["slurm", "slurm-noacct"])
def test_snakemake_stops_at_once_where_there_is_no_sbatch(no_slurm, tmp_path, profile):
    (tmp_path / "config.yaml").write_text("study: {name: tiny}\nsimulate: {n_subjects: 2}\n")
    run = ["timeout", "-k", "5", "120", sys.executable, "-m", "snakemake"]
    run += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    run += ["--profile", str(ROOT / "workflow" / "profiles" / profile)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr[-2000:]
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: executor slurm: no command 'sbatch'")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_store_as_default_is_refused_with_what_to_do():
    assert "fetch raw data and publish share/" in storage_problem("s3")
    assert storage_problem(None) == "" == storage_problem("")


def test_rules_expand_paths_and_not_what_snakemake_made_of_them():
    # An output may bear a flag (a place in a store), with which it cannot be expanded again.
    for path in sorted((ROOT / "workflow").rglob("*.smk")):
        assert "expand(rules." not in path.read_text().replace("\n", "").replace(" ", ""), path.name
