"""The small study that `faults.py` shoots at: built once, copied for every fault, compared after.

Five subjects (one with a scan that cannot be read) in shards of two, images of 48 x 48 x 4 x 3, all
stages and the tables. A run is a forked child of a process that has imported everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

from popscan.commands.configfile import load_config
from popscan.inventory import damaged_outputs, inventoried
from popscan.io import write_scan
from popscan.journal import JournalWriter
from popscan.plan import read_shards
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import PopscanError
from popscan.segment import save_bundle
from popscan.stages import STAGES as DESCRIBED
from popscan.stages import stages_of, version_of
from popscan.stages.collect.job import collect
from popscan.stages.plan.job import plan_study
from popscan.stages.tasks import run_stage
from popscan.store import Store

REPO = Path(__file__).resolve().parents[1]
ROOT = Path("results", "shot")
STAGES = stages_of("bids")
TARGET = str(ROOT / "tables" / "ledger.parquet")
N = 5
_LIMITS = {name: {"fail": None} for name in ("frame_count", "slice_count")}


def configure(folder: Path, *, changed: bool) -> None:
    """Write the study's config, or another one that redoes segmentation and QC."""
    limits = {**_LIMITS, "snr": {"review": 30.0 if changed else 8.0}}
    config = {
        "study": {"name": "shot"},
        "source": {"kind": "bids", "root": "raw"},
        "plan": {"shard_size": 2},
        "segment": {"model": "model", "largest_component": not changed, "device": "cpu"},
        "qc": {"thresholds": limits},
        "atlas": {"enabled": False},
        "fairness": {"attributes": ["sex"], "intersections": []},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_raw(folder: Path) -> None:
    """Write scans, cohort table and a model of a few random weights."""
    people = sample_population(N, seed=3)
    (folder / "raw").mkdir(parents=True)
    columns = ["participant_id", "sex", "age_years", "height_cm", "weight_kg"]
    people[columns].to_csv(folder / "raw" / "participants.tsv", sep="\t", index=False)
    for row in people.to_dict("records"):
        made = simulate_subject(
            row, seed=3, matrix=(48, 48), spacing_mm=(4.0, 4.0), frames=3, slices=4, kspace=False
        )
        path = (
            folder / "raw" / row["participant_id"] / "cine" / f"{row['participant_id']}_sax.nii.gz"
        )
        path.parent.mkdir(parents=True)
        write_scan(path, made.scan)
    path.write_bytes(path.read_bytes()[:3000])


def write_model(folder: Path) -> None:
    """Write a bundle whose network is small, random, and quick to load: the same every time."""
    import torch

    from popscan.segment.networks import build_network

    torch.manual_seed(0)
    arguments = {"channels": [4, 8, 8]}
    about = {
        "name": "random",
        "members": [{"architecture": "fcn", "arguments": arguments}],
        "labels": {"rv": 1, "myo": 2, "lv": 3},
        "spacing_mm": 4.0,
        "patch": 48,
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": {"inplane_mm": [1.0, 5.0], "slice_distance_mm": [5.0, 12.0]},
        "training": {},
        "trained_on": {"salt": "s", "sha256": []},
        "validation": {},
    }
    weights = [build_network("fcn", 4, **arguments).state_dict()]
    save_bundle(folder, about=about, weights=weights, card="# Random\n")


def _options(config: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return what the Snakefile gives a stage."""
    given = DESCRIBED[stage].sections_of(config)
    return {"version": version_of(stage), **given, "study": {"seed": config["study"]["seed"]}}


def run_everything() -> None:
    """Plan, run every stage on every shard, write the tables: in this folder and process."""
    config = load_config(Path("config.yaml")).model_dump()
    plan_study(ROOT, _options(config, "plan"))
    store = Store(ROOT)
    for shard in read_shards(ROOT):
        for stage in STAGES:
            run_stage(store, stage, shard, _options(config, stage))
    with inventoried(ROOT, Path(TARGET)):
        collect(store, _options(config, "collect"))
    # What Snakemake knows of the last run.
    asked = {stage: _options(config, stage) for stage in STAGES}
    Path("asked.json").write_text(json.dumps(asked))


def run_what_is_forced() -> None:
    """Do what the workflow does where files are lost: jobs whose inventory says so, and below.

    As Snakemake, it runs nothing else, unless the config is another one since.
    """
    config = load_config(Path("config.yaml")).model_dump()
    forced = set(damaged_outputs(ROOT, subject_files=True))
    if "plan/plan.json" in forced:
        plan_study(ROOT, _options(config, "plan"))
    options = {stage: _options(config, stage) for stage in STAGES}
    asked = Path("asked.json")
    before = json.loads(asked.read_text()) if asked.exists() else {}
    store, worked = Store(ROOT), bool(forced)
    for shard in read_shards(ROOT):
        above = False
        for stage in STAGES:
            name = store.manifest_name(stage, shard)
            if above or name in forced or options[stage] != before.get(stage):
                run_stage(store, stage, shard, options[stage])
                worked = above = True
    if worked:
        with inventoried(ROOT, Path(TARGET)):
            collect(store, _options(config, "collect"))


def start(
    folder: Path, *, hook: Callable[[], None] | None = None, only_forced: bool = False
) -> int:
    """Start a run in a forked child: exit status 1 with a message, or 3 with a traceback."""
    child = os.fork()
    if child:
        return child
    status = 3
    try:
        log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        if hook:
            hook()
        (run_what_is_forced if only_forced else run_everything)()
        status = 0
    except PopscanError as error:
        os.write(2, f"{error}\n".encode())
        status = 1
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def wait(child: int, *, limit_s: float = 1800) -> int:
    """Wait for a child; its exit status, negative for a signal."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"hung for {limit_s} s")


def last_words(folder: Path) -> str:
    """Return the end of a run's log."""
    return (folder / "log").read_text()[-400:]


def kill_at(where: str, at: int) -> None:
    """Have this process killed before its n-th record, or after its n-th file was renamed."""
    count = iter(range(10**9))

    def deadly(inner: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            due = next(count) == at
            result = inner(*arguments) if after or not due else None
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    if where == "record":
        JournalWriter.record = deadly(JournalWriter.record, after=False)  # type: ignore[method-assign]
    else:
        Path.replace = deadly(Path.replace, after=True)  # type: ignore[method-assign]


def start_snakemake(folder: Path, *, whole: bool = False) -> subprocess.Popen[str]:
    """Start Snakemake in a process group of its own: for the whole study, or its tables."""
    command = [sys.executable, "-m", "snakemake", *(() if whole else (TARGET,))]
    command += ["--snakefile", str(REPO / "Snakefile"), "--configfile", "config.yaml"]
    return subprocess.Popen(
        [*command, "--cores", "2"],
        cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def rerun_snakemake(folder: Path, limit_s: float, *, whole: bool = False) -> None:
    """Type the same command again: it has to end well without any further word."""
    process = start_snakemake(folder, whole=whole)
    try:
        said = process.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode:
        raise AssertionError(f"the same command again failed: {said[-600:]}")


def workers_of(process_id: int) -> list[int]:
    """Return the stage processes below a Snakemake."""
    try:
        below = psutil.Process(process_id).children(recursive=True)
        return [p.pid for p in below if "popscan" in " ".join(p.cmdline()[:3])]
    except psutil.NoSuchProcess:
        return []


def check_accounts(folder: Path) -> None:
    """Every subject has exactly one record in every stage, in the ledger and in the manifests."""
    ledger = pd.read_parquet(folder / ROOT / "tables" / "ledger.parquet")
    expected = sorted(f"sub-{i:04d}" for i in range(1, N + 1))
    for stage in STAGES:
        units = sorted(ledger.loc[ledger["stage"] == stage, "unit"])
        assert units == expected, f"{stage}: {units}"


def tree(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Relative path -> digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stem not in without
    }


@dataclass(kw_only=True)
class Base:
    """Undisturbed studies to start from and to compare with."""

    folder: Path
    typical_s: float
    expected: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def build(cls, folder: Path) -> Base:
        """Run the study undisturbed, with its config and with the changed one."""
        write_raw(folder / "new")
        write_model(folder / "new" / "model")
        configure(folder / "new", changed=False)
        seconds = []
        for name in ("finished", "changed"):
            shutil.copytree(folder / "new", folder / name)
            configure(folder / name, changed=name == "changed")
            began = time.monotonic()
            if status := wait(start(folder / name)):
                raise SystemExit(f"undisturbed run: {status}\n{last_words(folder / name)}")
            seconds.append(time.monotonic() - began)
        base = cls(folder=folder, typical_s=min(seconds))
        base.expected = {name: base.results(folder / name) for name in ("finished", "changed")}
        print(f"an undisturbed run takes {base.typical_s:.1f} s", flush=True)
        return base

    @staticmethod
    def results(folder: Path) -> dict[str, str]:
        """Digests of tables (but what it cost) and derivatives."""
        tables = tree(folder / ROOT / "tables", without=("cost",))
        return {**tables, **tree(folder / ROOT / "derivatives")}

    @staticmethod
    def pages(folder: Path) -> dict[str, str]:
        """Report and share: digests of tables, and which pages are there (they tell the time)."""
        root = folder / ROOT
        whole = {p: "page" for p in root.rglob("*.html") if p.stat().st_size > 1000}
        return {str(p.relative_to(root)): told for p, told in whole.items()} | tree(
            root / "share" / "tables"
        )

    def prepare(self, folder: Path, state: str, *, by_snakemake: bool, whole: bool = False) -> None:
        """Copy the study in a state; Snakemake has to know a study that it is to go on with."""
        source = self.folder / ("new" if state == "new" else "finished")
        if by_snakemake and state != "new":
            source = self.folder / ("whole" if whole else "snakemake")
            if not source.exists():
                shutil.copytree(self.folder / "new", source)
                rerun_snakemake(source, 1800, whole=whole)
        shutil.copytree(source, folder, dirs_exist_ok=True)
        if state == "changed":
            configure(folder, changed=True)

    def compare(self, folder: Path, name: str, *, whole: bool = False) -> None:
        """Refuse other results than the undisturbed ones, and temporary files."""
        found, expected = self.results(folder), self.expected[name]
        if whole:
            undisturbed = self.folder / "whole"
            expected = self.results(undisturbed) | self.pages(undisturbed)
            found |= self.pages(folder)
        other = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        assert not other, f"{len(other)} files differ, e.g. {other[:4]}"
        left = [p.name for p in (folder / ROOT).rglob("*") if p.name.endswith(".tmp")]
        assert not left, f"temporary files left: {left[:4]}"
