"""Reruns through real Snakemake: who was really redone is counted in the journals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from popscan.io import write_scan
from popscan.records import Scan
from popscan.simulate.population import sample_population
from popscan.simulate.scan import simulate_subject
from popscan.stages import stages_of

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
STAGES = stages_of("bids")
BELOW = STAGES[STAGES.index("segment") :]
GOOD, BAD, LATE = ["sub-0001", "sub-0002", "sub-0003"], "sub-0004", "sub-0005"
#: The scans are too short and too few for the default limits.
SWITCHED_OFF = ["frame_count", "slice_count", "apical_coverage_pct", "lv_open_pct"]
LIMITS = {name: {"fail": None} for name in SWITCHED_OFF}
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folder of a study run to its report: three good subjects, and one of a torn file."""
    cwd = tmp_path_factory.mktemp("finished")
    for row in rows([*GOOD, BAD]):
        write_subject(cwd, row)
    bad = scan_path(cwd, BAD)
    bad.write_bytes(bad.read_bytes()[:2000])
    write_participants(cwd, [*GOOD, BAD])
    shutil.copytree(ROOT / "resources" / "models" / "cine_sax", cwd / "model")
    configure(cwd)
    snakemake(cwd)
    return cwd


@pytest.fixture
def study(finished, tmp_path) -> Path:
    """Copy of the finished study: every path in it is relative, every time is kept."""
    return Path(shutil.copytree(finished, tmp_path / "study"))


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


def test_finished_study_adds_up_and_has_nothing_to_do(finished):
    assert_adds_up(finished, [*GOOD, BAD])
    told = ledger(finished).set_index(["unit", "stage"])["status"]
    assert told[BAD, "ingest"] == "failed"
    assert {told[unit, "biomarkers"] for unit in GOOD} == {"ok"}
    assert_nothing_to_do(finished)


def test_subset_run_does_only_those_named_and_a_plain_run_the_rest(study, finished):
    """A changed QC threshold, first for one subject: segmentation is not redone."""
    configure(study, qc={"thresholds": {**LIMITS, "snr": {"review": 30}}})
    redone = Redone(study)
    snakemake(study, "--config", "subjects=sub-0002")
    assert redone() == {"qc": ["sub-0002"]}
    snakemake(study)
    assert redone() == {"qc": ["sub-0001", "sub-0003"]}
    assert_nothing_to_do(study)
    assert_adds_up(study, [*GOOD, BAD])


def test_new_study_begun_with_a_subset_ends_as_any_other(finished, tmp_path):
    for name in ("raw", "model"):
        shutil.copytree(finished / name, tmp_path / name)
    configure(tmp_path)
    redone = Redone(tmp_path)
    snakemake(tmp_path, "--config", "subjects=sub-0003")
    assert redone() == {stage: ["sub-0003"] for stage in STAGES}
    snakemake(tmp_path)
    assert redone() == {stage: ["sub-0001", "sub-0002", BAD] for stage in STAGES}
    assert_nothing_to_do(tmp_path)
    assert tables(tmp_path) == tables(finished)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (["--subjects", "sub-0001", "--from", "segment"], {s: ["sub-0001"] for s in BELOW}),
        (["--all", "--stage", "qc"], {"qc": [*GOOD, BAD]}),
        (["--failed"], {"ingest": [BAD]}),
    ],
)
def test_rerun_redoes_what_was_marked_with_the_same_result(study, finished, marks, expected):
    redone = Redone(study)
    popscan(study, "rerun", *marks)
    snakemake(study)
    assert redone() == expected
    assert tables(study) == tables(finished)
    assert_nothing_to_do(study)


def test_changed_option_redoes_its_stage_and_below_only_what_changes(study):
    configure(study, segment={"largest_component": False})
    redone = Redone(study)
    snakemake(study)
    found = redone()
    assert found["segment"] == GOOD
    assert set(found) <= set(BELOW)
    assert_nothing_to_do(study)


@pytest.mark.timeout(3600)
def test_new_input_new_subject_new_model_equal_a_run_from_scratch(study, tmp_path):
    """Each change redoes its own; all together end as a run that never knew the old."""
    redone = Redone(study)
    write_subject(study, rows(GOOD)[1], brightness=0.5)
    popscan(study, "plan", "--configfile", "config.yaml")
    snakemake(study)
    found = redone()
    assert found["ingest"] == ["sub-0002"]
    assert {unit for units in found.values() for unit in units} == {"sub-0002"}

    write_subject(study, rows([*GOOD, BAD, LATE])[-1])
    write_participants(study, [*GOOD, BAD, LATE])
    snakemake(study)
    found = redone()
    assert found["ingest"] == [LATE]
    assert "sub-0001" not in {unit for units in found.values() for unit in units}

    change_model(study / "model")
    snakemake(study)
    found = redone()
    assert found["segment"] == [*GOOD, LATE]
    assert set(found) <= set(BELOW)

    assert_nothing_to_do(study)
    assert_adds_up(study, [*GOOD, BAD, LATE])
    scratch = tmp_path / "scratch"
    for name in ("raw", "model"):
        shutil.copytree(study / name, scratch / name)
    configure(scratch)
    snakemake(scratch)
    assert tables(study) == tables(scratch)


def change_model(folder: Path) -> None:
    """Make another model of it: the last layer leans towards the left ventricle."""
    import hashlib

    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "weights.safetensors")
    (name,) = [n for n, v in weights.items() if n.endswith("output_block.conv.conv.bias")]
    weights[name][3] += 1
    save_file(weights, folder / "weights.safetensors")
    about = yaml.safe_load((folder / "model.yaml").read_text())
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "model.yaml").write_text(yaml.safe_dump({**about, "weights_sha256": digest}))
