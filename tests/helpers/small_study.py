"""A study as small as the whole chain can work on, run through real Snakemake; who was redone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import yaml

from popscan.io import write_scan
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import Scan
from popscan.stages import stages_of

ROOT = Path(__file__).resolve().parents[2]
STAGES = stages_of("bids")
BELOW = STAGES[STAGES.index("segment") :]
GOOD, BAD, LATE = ["sub-0001", "sub-0002", "sub-0003"], "sub-0004", "sub-0005"
#: The scans are too short and too few for the default limits.
SWITCHED_OFF = ["frame_count", "slice_count", "apical_coverage_pct", "lv_open_pct"]
LIMITS = {name: {"fail": None} for name in SWITCHED_OFF}
#: Every stage per subject and the ledger, where a test asks nothing of audit and report: a quarter
#: of a run.
TO_TABLES = ("--until", "collect")
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "bids", "root": "raw"},
    "plan": {"shard_size": 2},
    "segment": {"model": "model"},
    "qc": {"thresholds": LIMITS},
    "atlas": {"enabled": False},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
}


def snakemake(cwd: Path, *arguments: str) -> str:
    """Run the project's workflow, killed if it hangs; what it printed."""
    command = ["timeout", "-k", "10", "900", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    done = subprocess.run(
        [*command, "--cores", "2", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


def popscan(cwd: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "popscan", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def configure(cwd: Path, **sections) -> None:
    merged = {name: {**CONFIG.get(name, {}), **sections.get(name, {})} for name in CONFIG}
    (cwd / "config.yaml").write_text(yaml.safe_dump(merged))


def scan_path(cwd: Path, sub: str) -> Path:
    return cwd / "raw" / sub / "cine" / f"{sub}_acq-sax_cine.nii.gz"


def write_subject(cwd: Path, row: dict, *, brightness: float = 1.0) -> None:
    """Four slices, three frames: as little as the whole chain can work on."""
    made = simulate_subject(
        row, seed=5, matrix=(64, 64), spacing_mm=(3.4, 3.4), frames=3, slices=4, kspace=False
    )
    path = scan_path(cwd, row["participant_id"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scan(path, Scan(**{**vars(made.scan), "array": made.scan.array * brightness}))


def write_participants(cwd: Path, subjects: list[str]) -> None:
    people = sample_population(len(subjects), seed=5)
    columns = ["participant_id", "sex", "age_years", "height_cm", "weight_kg"]
    people = people.assign(participant_id=subjects)
    people[columns].to_csv(cwd / "raw" / "participants.tsv", sep="\t", index=False)


def rows(subjects: list[str]) -> list[dict]:
    return (
        sample_population(len(subjects), seed=5).assign(participant_id=subjects).to_dict("records")
    )


def journalled(cwd: Path) -> Counter[tuple[str, str]]:
    """How often each (stage, unit) was recorded."""
    found: Counter[tuple[str, str]] = Counter()
    for path in (cwd / "results" / "tiny" / "store").glob("*/*.jsonl"):
        for line in path.read_text().splitlines():
            if unit := json.loads(line).get("unit"):
                found[path.parent.name, unit] += 1
    return found


class Redone:
    """Who was redone since."""

    def __init__(self, cwd: Path) -> None:
        self.cwd, self.before = cwd, journalled(cwd)

    def __call__(self) -> dict[str, list[str]]:
        now = journalled(self.cwd)
        more = sorted(key for key in now if now[key] > self.before[key])
        self.before = now
        return {stage: [u for s, u in more if s == stage] for stage, _ in more}


def tables(cwd: Path) -> dict[str, bytes]:
    """Every table but the one of what it cost."""
    folder = cwd / "results" / "tiny" / "tables"
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.stem != "cost"}


def ledger(cwd: Path) -> pd.DataFrame:
    return pd.read_parquet(cwd / "results" / "tiny" / "tables" / "ledger.parquet")


def assert_adds_up(cwd: Path, subjects: list[str]) -> None:
    told = ledger(cwd)
    for stage in STAGES:
        assert sorted(told.loc[told["stage"] == stage, "unit"]) == subjects, stage
    assert not list((cwd / "results").rglob("*.tmp"))


def assert_nothing_to_do(cwd: Path) -> None:
    redone = Redone(cwd)
    assert "Nothing to be done" in snakemake(cwd)
    assert redone() == {}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def derivative(root: Path, sub: str, stage: str) -> Path:
    return next((root / "derivatives" / sub / stage).glob("*.nii.gz"))


def lose_line(path: Path, unit: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if f'"{unit}"' not in line]
    assert len(kept) < len(lines)
    path.write_text("".join(kept))


def damage_everything(root: Path) -> None:
    """Lose or spoil one file of every kind that popscan writes."""
    derivative(root, "sub-0001", "segment").unlink()
    image = derivative(root, "sub-0002", "ingest")
    image.write_bytes(image.read_bytes()[:500])
    shutil.copy(derivative(root, "sub-0001", "ingest"), derivative(root, "sub-0003", "ingest"))
    (root / "tables" / "biomarkers.tsv").unlink()
    (root / "tables" / "fairness_pairs.json").unlink()
    (root / "tables" / "associations.parquet").write_bytes(b"PAR1")
    (root / "manifests" / "qc" / "00000.parquet").write_bytes(b"PAR1 no more")
    (root / "plan" / "plan.json").write_text("{")
    lose_line(root / "plan" / "shards" / "00001.jsonl", "sub-0003")
    shutil.rmtree(root / "share")
    next((root / "report" / "subjects").glob("*.html")).unlink()
    (root / "report" / "index.html").write_text("")
