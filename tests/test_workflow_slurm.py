"""The whole study on a real Slurm, with the profiles as shipped: undisturbed with accounting, shot
at without.

A one-node Slurm (slurm.sh) runs real jobs; what is fake is its GPUs, so that `segment` asks for one
and computes on the CPU. Tables must equal those of a local run byte for byte.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from popscan.stages import SUBJECT_STAGES

pytestmark = [pytest.mark.workflow, pytest.mark.timeout(2400)]

BIN = Path(sys.executable).parent
SLURM_SH = Path(__file__).with_name("slurm.sh")
PROFILES = ("slurm", "slurm-noacct")
SHARDS = ("00000", "00001")
#: For one snakemake call; a hanging one is killed, with its scheduler threads.
LIMIT_S = 1800
#: Seldom enough for a cluster is too seldom for a test: the plugin asks for the state of jobs after
#: 3 s, then 10 s later each time, up to 3 minutes.
SNAKEMAKE = [sys.executable, "-P", str(Path(__file__).with_name("helpers") / "often_asking.py")]
IMPATIENT = ["--slurm-init-seconds-before-status-checks=3", "--latency-wait=10"]
STUDY = """
study: {name: tiny}
source: {kind: simulated}
simulate: {n_subjects: 4, kspace: false, matrix: 64, spacing_mm: 3.6, n_frames: 4}
plan: {shard_size: 2}
qc: {thresholds: {frame_count: {review: 4, fail: 2}}}
atlas: {min_group: 2, iterations: 1}
fairness: {min_group: 2, n_boot: 100}
"""


# ---------------------------------------------------------------------------------- profiles


def read_profile(root: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((root / "workflow" / "profiles" / name / "config.yaml").read_text())


def test_slurm_profiles_differ_only_in_how_jobs_are_watched(repo_root: Path) -> None:
    with_accounting, without = (read_profile(repo_root, name) for name in PROFILES)
    assert with_accounting.pop("slurm-status-command") == "sacct"
    assert without.pop("slurm-status-command") == "squeue"
    assert with_accounting == without


def test_profiles_name_rules_that_exist(repo_root: Path) -> None:
    rules = {
        name
        for path in (repo_root / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^(?:rule|checkpoint) (\w+):", path.read_text(), flags=re.M)
    }
    profile = read_profile(repo_root, "slurm")
    assert set(profile["set-resources"]) | set(profile["groups"]) <= rules | set(SUBJECT_STAGES)


def test_gpu_stage_asks_for_a_gpu_and_shares_no_job_with_cpu_stages(repo_root: Path) -> None:
    profile = read_profile(repo_root, "slurm")
    asking = {rule for rule, needs in profile["set-resources"].items() if "gpu" in needs}
    assert asking == {"segment", "experiment_trial"}
    assert {profile["set-resources"][rule]["slurm_partition"] for rule in asking} == {"gpu"}
    assert not asking & set(profile["groups"])


def test_default_profile_leaves_executor_and_resources_to_the_others(repo_root: Path) -> None:
    # A workflow profile overrides --profile key by key: --profile slurm would run locally.
    ours = read_profile(repo_root, "default")
    shared = {key: ours[key] for key in ours if key in read_profile(repo_root, "slurm")}
    assert not {"executor", "jobs", "cores", "default-resources", "set-resources"} & set(ours)
    assert shared == {key: read_profile(repo_root, "slurm")[key] for key in shared}


def test_conda_environment_has_every_dependency(repo_root: Path) -> None:
    elsewhere = {
        "pytorch": "torch",
        "matplotlib-base": "matplotlib",
        "python-isal": "isal",
        "snakemake-minimal": "snakemake",
    }
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((repo_root / "envs" / "popscan.yaml").read_text())
    listed = {
        elsewhere.get(name, name) + limit
        for name, _, limit in (line.partition(" ") for line in environment["dependencies"])
    }
    assert listed == {*project["dependencies"], f"python{project['requires-python']}", "pip"}


# ---------------------------------------------------------------------------------- a real Slurm


@pytest.fixture(scope="module")
def checkout(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a working copy whose default config is the test's study."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for file in ("Snakefile", "Makefile"):
            shutil.copy(repo_root / file, folder)
        for copied in ("workflow", "envs"):
            shutil.copytree(repo_root / copied, folder / copied)
        (folder / "resources").symlink_to(repo_root / "resources")
        (folder / "config").mkdir()
        (folder / "config" / "demo.yaml").write_text(STUDY)
        return folder

    return make


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Environment of a user whose config home is in `folder`, with the study's programs in PATH."""
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        **more,
    }


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Type a command in `folder`; its output goes to run.log."""
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(
            ["timeout", "--kill-after=30", str(LIMIT_S), *arguments],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run(folder: Path, *arguments: str) -> int:
    """Type a command in `folder` and wait for its end."""
    return start(folder, *arguments).wait()


def told(folder: Path) -> str:
    """What the commands in `folder` said last, for a failing test."""
    return (folder / "run.log").read_text(errors="replace")[-6000:]


def tables(folder: Path) -> dict[str, bytes]:
    """Contents of the study's tables; `cost` holds times and differs between runs."""
    found = (folder / "results" / "tiny" / "tables").iterdir()
    return {path.name: path.read_bytes() for path in found if path.stem != "cost"}


@pytest.fixture(scope="module")
def undisturbed(checkout: Callable[[str], Path]) -> dict[str, bytes]:
    """Tables of the study run locally."""
    folder = checkout("local")
    assert run(folder, "snakemake", "--cores", "2", "--quiet", "rules") == 0, told(folder)
    found = tables(folder)
    assert {"ledger.parquet", "biomarkers.tsv", "fairness_gaps.parquet"} <= set(found)
    return found


@pytest.fixture
def slurm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Slurm of one node; parametrised indirectly by the profile for which it is made."""
    mode = ["accounting"] if getattr(request, "param", "") == "slurm" else []
    if os.geteuid() != 0:
        pytest.skip("a Slurm for tests needs root: its daemons run jobs as their users")
    missing = subprocess.run([SLURM_SH, "missing", *mode], capture_output=True, text=True).stdout
    if missing:
        packages = "slurmdbd mariadb-server" if mode else "slurm-wlm munge"
        pytest.skip(f"no {', '.join(missing.split())}; on Debian: apt-get install {packages}")
    # Not tmp_path: daemons of other users must get there, and paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="popscan-slurm-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("SLURM_CONF", f"{folder}/etc/slurm.conf")
        begun = subprocess.run([SLURM_SH, "start", folder, *mode], capture_output=True, text=True)
        try:
            assert begun.returncode == 0, begun.stdout + begun.stderr
            yield
        finally:
            subprocess.run([SLURM_SH, "stop", folder], check=False, timeout=120)


def jobs() -> list[dict[str, str]]:
    """All jobs that the controller knows, running or finished, in order of submission."""
    text = subprocess.check_output(["scontrol", "-o", "show", "jobs"], text=True)
    found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
    return sorted((job for job in found if "JobId" in job), key=lambda job: int(job["JobId"]))


def jobs_of(rule: str, shard: str = "") -> list[dict[str, str]]:
    """Jobs of a rule or group, and of a shard where Slurm was told (not for groups)."""
    comment = re.compile(rf"rule_{rule}(_|$).*{shard}$")
    return [job for job in jobs() if comment.match(job["Comment"])]


@pytest.mark.slurm
@pytest.mark.slow
@pytest.mark.parametrize("slurm", ["slurm"], indirect=True)
def test_study_on_slurm_equals_a_local_run(
    slurm: None, checkout: Callable[[str], Path], undisturbed: dict[str, bytes]
) -> None:
    folder = checkout("clean")
    assert run(folder, "make", "profiles") == 0, told(folder)
    assert run(folder, *SNAKEMAKE, "--profile", "slurm", *IMPATIENT) == 0, told(folder)
    assert tables(folder) == undisturbed

    known = jobs()
    assert {job["JobState"] for job in known} == {"COMPLETED"}
    segment = jobs_of("segment")
    assert len(segment) == len(SHARDS)
    assert {job["Partition"] for job in segment} == {"gpu"}
    assert all("gpu:1" in job["TresPerJob"] for job in segment)
    others = [job for job in known if job not in segment]
    assert {job["Partition"] for job in others} == {"cpu"}
    assert not any("gpu" in job.get("TresPerJob", "") for job in others)
    # Eight rules per shard, and one per shard and round of the atlas.
    count = Counter(re.match(r"rule_([a-z]+(_map)?)", job["Comment"])[1] for job in known)
    per_shard = ["prepare", "segment", "score", "measure", "atlas_map"]
    assert {name: count[name] for name in per_shard} == dict.fromkeys(per_shard, len(SHARDS))


def wait_for(
    what: str, look: Callable[[], Any], *, process: subprocess.Popen[bytes], every_s: float = 0.05
) -> Any:
    """Return what `look` finds, once it finds it; fail if `process` ends first."""
    while process.poll() is None:
        if found := look():
            return found
        time.sleep(every_s)
    pytest.fail(f"snakemake ended before {what}")


def worker(folder: Path, stage: str, shard: str) -> int:
    """Process id of a stage's worker in `folder` that has begun on a subject; 0 if none has."""
    journal = folder / "results" / "tiny" / "store" / stage / f"{shard}.jsonl"
    if not journal.exists() or '"attempt"' not in journal.read_text():
        return 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
            if Path(path.parent, "cwd").resolve() != folder.resolve():
                continue
        except OSError:
            continue
        if words[1:4] == [str(BIN / "popscan"), "stage", stage] and shard in words:
            return int(path.parent.name)
    return 0


@pytest.mark.slurm
@pytest.mark.slow
def test_study_shot_at_recovers_when_the_same_command_is_typed_again(
    slurm: None, checkout: Callable[[str], Path], undisturbed: dict[str, bytes]
) -> None:
    folder = checkout("shot")
    study = folder / "results" / "tiny"
    command = [*SNAKEMAKE, "--profile", "slurm-noacct", *IMPATIENT]
    assert run(folder, "make", "profiles") == 0, told(folder)

    # Shard 0 cannot write what it computes: a file lies where its folder should be.
    obstacle = study / "derivatives" / "sub-0001" / "simulate"
    obstacle.parent.mkdir(parents=True)
    obstacle.touch()

    def stop(shard: str) -> str:
        """Have the shard's worker hang in the middle of its first subject; number of its job."""
        found = wait_for(shard, lambda: worker(folder, "segment", shard), process=snakemake)
        os.kill(found, signal.SIGSTOP)
        return jobs_of("segment", shard)[-1]["JobId"]

    def wait_for_resubmission(shard: str) -> int:
        """Wait for the job that is submitted in another's place; process id of its worker."""
        # Seldom: each look starts a program, for a minute or two where a job runs out of time.
        wait_for(
            "again", lambda: len(jobs_of("segment", shard)) == 2, process=snakemake, every_s=0.5
        )
        return wait_for(shard, lambda: worker(folder, "segment", shard), process=snakemake)

    # Shard 1's job is cancelled, and the one submitted in its place is killed.
    snakemake = start(folder, *command)
    subprocess.run(["scancel", stop("00001")], check=True)
    os.kill(wait_for_resubmission("00001"), signal.SIGKILL)
    assert snakemake.wait() == 1, told(folder)
    assert [job["JobState"] for job in jobs_of("segment", "00001")] == ["CANCELLED", "FAILED"]
    # The failing shard was tried twice, and kept nobody else from going on.
    states = Counter(job["JobState"] for job in jobs_of("prepare"))
    assert states == {"COMPLETED": len(SHARDS) - 1, "FAILED": 2}
    assert not (study / "tables" / "ledger.parquet").exists()
    # A resubmission asks for more memory and time.
    before, after = jobs_of("segment", "00001")
    assert (before["MinMemoryNode"], after["MinMemoryNode"]) == ("8000M", "16000M")
    assert (before["TimeLimit"], after["TimeLimit"]) == ("02:00:00", "04:00:00")

    # The same command, with room for shard 0 to write. Its worker hangs until its time is over
    # (Slurm counts in minutes). Snakemake itself is killed while the job in its place runs on.
    obstacle.unlink()
    snakemake = start(folder, *command)
    hung = stop("00000")
    subprocess.run(["scontrol", "update", f"JobId={hung}", "TimeLimit=1"], check=True)
    wait_for_resubmission("00000")
    (child,) = Path(f"/proc/{snakemake.pid}/task/{snakemake.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    assert snakemake.wait() != 0
    last_before = int(jobs()[-1]["JobId"])

    # The same command: no --unlock is needed.
    assert run(folder, *command) == 0, told(folder)
    assert tables(folder) == undisturbed
    assert list(study.rglob("*.tmp")) == []
    states = [job["JobState"] for job in jobs_of("segment", "00000")]
    assert states[:2] == ["TIMEOUT", "COMPLETED"]
    assert set(states[2:]) <= {"COMPLETED"}
    # What was done before is not done again.
    later = [job["Comment"] for job in jobs() if int(job["JobId"]) > last_before]
    assert not [name for name in later if name.startswith("rule_prepare")]
    states = [job["JobState"] for job in jobs_of("segment", "00001")]
    assert states[:3] == ["CANCELLED", "FAILED", "COMPLETED"]
