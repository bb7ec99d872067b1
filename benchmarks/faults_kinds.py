"""The faults that `faults.py` draws from: what each does to a study.

Faults of the first table hit the real runner with the real stages, all in one forked process;
those of the second hit a real Snakemake. A full disk needs the right to mount a tmpfs.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults_study as study

#: Longest time that a run may take before it counts as hung; a loaded machine is slow, not hung.
LIMIT_S = 1800


@dataclass(kw_only=True)
class Case:
    """A study to be shot at."""

    folder: Path
    rng: random.Random
    typical_s: float

    @property
    def root(self) -> Path:
        """Folder of the study's results."""
        return self.folder / study.ROOT

    def pick(self, pattern: str) -> Path:
        """Return one of the study's files."""
        return self.rng.choice(sorted(p for p in self.root.glob(pattern) if p.is_file()))

    def scan(self) -> Path:
        """Return one raw scan."""
        return self.rng.choice(sorted((self.folder / "raw").glob("sub-*/cine/*.nii.gz")))

    def run_and_kill(self) -> None:
        """Kill the runner at a random moment."""
        child = study.start(self.folder)
        time.sleep(self.rng.uniform(0, self.typical_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def killed(case: Case) -> None:
    case.run_and_kill()


def killed_often(case: Case) -> None:
    for _ in range(2):
        case.run_and_kill()


def killed_before_record(case: Case) -> None:
    """Kill when the files stand and the record is not yet written."""
    at = case.rng.randrange(8)
    study.wait(study.start(case.folder, hook=lambda: study.kill_at("record", at)))


def killed_between_files(case: Case) -> None:
    """Kill when some of a subject's files are replaced, others not yet."""
    at = case.rng.randrange(20)
    study.wait(study.start(case.folder, hook=lambda: study.kill_at("rename", at)))


def killed_then_config_reverted(case: Case) -> None:
    """Kill while another config is being run, which is then taken back."""
    study.configure(case.folder, changed=True)
    at = case.rng.randrange(12)
    study.wait(study.start(case.folder, hook=lambda: study.kill_at("rename", at)))
    study.configure(case.folder, changed=False)


def torn_journal(case: Case) -> None:
    path = case.pick("store/*/*.jsonl")
    data = path.read_bytes()
    path.write_bytes(data[: -case.rng.randint(1, min(400, len(data)))])


def garbled_journal(case: Case) -> None:
    path = case.pick("store/*/*.jsonl")
    data = bytearray(path.read_bytes())
    for _ in range(case.rng.randint(1, 5)):
        data[case.rng.randrange(len(data))] = case.rng.randrange(256)
    path.write_bytes(data)


def lost_journal(case: Case) -> None:
    case.pick("store/*/*.jsonl").unlink()


def lost_manifest(case: Case) -> None:
    case.pick("manifests/*/*.parquet").unlink()


def record_without_file(case: Case) -> None:
    for _ in range(case.rng.randint(1, 3)):
        case.pick("derivatives/**/*.*").unlink()


def shortened_file(case: Case) -> None:
    path = case.pick("derivatives/**/*.nii.gz")
    path.write_bytes(path.read_bytes()[: case.rng.randrange(1000)])


def file_without_record(case: Case) -> None:
    """Lose a record while its files stand."""
    path = case.pick("store/*/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines.pop(case.rng.randrange(len(lines)))
    path.write_bytes(b"".join(lines))


def left_overs(case: Case) -> None:
    """Leave temporary files of a worker that died."""
    record_without_file(case)
    path = case.pick("manifests/*/*.parquet")
    path.with_name(f".{path.name}.99.tmp").write_text("half")
    (case.root / "tables" / ".ledger.tsv.99.tmp").write_text("half")
    (case.root / "plan" / "shards" / ".00000.jsonl.99.tmp").write_text("half")


def corrupt_input(case: Case) -> None:
    _damaged(case, lambda path, data: path.write_bytes(flip(case.rng, data)))


def truncated_input(case: Case) -> None:
    _damaged(case, lambda path, data: path.write_bytes(data[: case.rng.randrange(len(data))]))


def unreadable_input(case: Case) -> None:
    def dangle(path: Path, data: bytes) -> None:
        path.unlink()
        path.symlink_to("nowhere")

    _damaged(case, dangle)


def vanished_input(case: Case) -> None:
    _damaged(case, lambda path, data: shutil.rmtree(path.parents[1]))


def _damaged(case: Case, damage: Callable[[Path, bytes], object]) -> None:
    """Run with a damaged scan, see that all are accounted for, mend it."""
    path = case.scan()
    subject = path.parents[1]
    kept = Path(shutil.copytree(subject, case.folder / "kept", symlinks=True))
    damage(path, path.read_bytes())
    if status := study.wait(study.start(case.folder)):
        raise AssertionError(f"run with a damaged scan ended with {status}")
    study.check_accounts(case.folder)
    if subject.exists():
        shutil.rmtree(subject)
    kept.rename(subject)


def flip(rng: random.Random, data: bytes) -> bytes:
    """Return `data` with some bytes changed, behind the gzip header."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        out[rng.randrange(10, len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def full_disk(case: Case) -> None:
    """Fill the study's disk in the middle; later there is room again."""
    results = case.folder / "results"
    kept = case.folder / "kept"
    results.rename(kept) if results.exists() else kept.mkdir()
    results.mkdir()
    used = sum(p.stat().st_blocks * 512 for p in kept.rglob("*") if p.is_file())
    size = used + case.rng.randint(100_000, 700_000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", results], check=True)
    try:
        shutil.copytree(kept, results, dirs_exist_ok=True)
        status = study.wait(study.start(case.folder))
        if status not in (0, 1):
            raise AssertionError(f"a full disk ended in a crash ({status}), not in words")
        shutil.rmtree(kept)
        shutil.copytree(results, kept)
    finally:
        subprocess.run(["umount", results], check=True)
    results.rmdir()
    kept.rename(results)


def two_runners(case: Case) -> None:
    """Start two at once: neither may spoil the other's work."""
    children = [study.start(case.folder)]
    time.sleep(case.rng.uniform(0, case.typical_s / 2))
    children.append(study.start(case.folder))
    statuses = [study.wait(child) for child in children]
    if statuses[0] not in (0, 1) or statuses[1] not in (0, 1):
        raise AssertionError(f"two runners ended with {statuses}")


def snakemake_killed(case: Case) -> None:
    _shoot_snakemake(case, signal.SIGKILL)


def snakemake_terminated(case: Case) -> None:
    _shoot_snakemake(case, signal.SIGTERM)


def machine_lost(case: Case) -> None:
    """Kill Snakemake and all its workers at the same moment."""
    _shoot_snakemake(case, signal.SIGKILL, group=True)


def _shoot_snakemake(case: Case, number: int, *, group: bool = False) -> None:
    process = study.start_snakemake(case.folder)
    time.sleep(case.rng.uniform(2, 2 + 6 * case.typical_s))
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
    process.wait()


def worker_below_snakemake(case: Case) -> None:
    """Kill a stage's process: Snakemake reports it and ends."""
    process = study.start_snakemake(case.folder)
    for _ in range(case.rng.randint(1, 8)):
        time.sleep(0.5)
        workers = study.workers_of(process.pid)
        if workers and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(case.rng.choice(workers), signal.SIGKILL)
            break
    process.wait()


def two_snakemakes(case: Case) -> None:
    """Start a second Snakemake: it has to be refused in words."""
    first = study.start_snakemake(case.folder)
    for _ in range(200):
        time.sleep(0.1)
        if any((case.root / "store").glob("*/*.jsonl")):
            break
    second = study.start_snakemake(case.folder)
    said = second.communicate(timeout=LIMIT_S)[0]
    first_running = first.poll() is None
    first.wait()
    # Snakemake's own words, or ours where it only knows of the plan's files that they are in use.
    refused = second.returncode != 0 and ("lock" in said.lower() or "is being run by" in said)
    if first_running and not refused:
        raise AssertionError(f"a second Snakemake was not refused: {said[-300:]}")


def clock_back(case: Case) -> None:
    """Let all that was made come from the future; the config is new; kill the run on top."""
    ahead = time.time() + case.rng.uniform(3600, 1e6)
    for path in [*case.root.rglob("*"), *case.root.rglob("*/*")]:
        if path.is_file() and case.rng.random() < 0.7:
            os.utime(path, (ahead, ahead))
    _shoot_snakemake(case, signal.SIGKILL, group=True)


#: Fault -> states of the study that it can hit. `changed`: finished, with another config since.
RUNNER_FAULTS = {
    killed: ("new", "changed"),
    killed_often: ("new", "changed"),
    killed_before_record: ("new", "changed"),
    killed_between_files: ("new", "changed"),
    killed_then_config_reverted: ("finished",),
    torn_journal: ("finished", "changed"),
    garbled_journal: ("finished", "changed"),
    lost_journal: ("finished", "changed"),
    lost_manifest: ("finished",),
    record_without_file: ("finished", "changed"),
    shortened_file: ("finished",),
    file_without_record: ("finished", "changed"),
    left_overs: ("finished", "changed"),
    corrupt_input: ("new", "finished"),
    truncated_input: ("new", "finished"),
    unreadable_input: ("new", "finished"),
    vanished_input: ("new", "finished"),
    full_disk: ("new", "changed"),
    two_runners: ("new", "changed"),
}
SNAKEMAKE_FAULTS = {
    snakemake_killed: ("new", "changed"),
    snakemake_terminated: ("new", "changed"),
    machine_lost: ("new", "changed"),
    worker_below_snakemake: ("new", "changed"),
    two_snakemakes: ("new",),
    clock_back: ("changed",),
}
