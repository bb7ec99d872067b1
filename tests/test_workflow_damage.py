"""What a finished study lost is made again by typing the same command, through real Snakemake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from test_workflow_reruns import (
    BAD,
    GOOD,
    LIMITS,
    Redone,
    assert_adds_up,
    assert_nothing_to_do,
    configure,
    finished,  # noqa: F401 - the same study, built once per module
    popscan,
    snakemake,
    study,  # noqa: F401
    tables,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


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


def test_the_same_command_brings_back_what_is_gone(finished, study):  # noqa: F811
    whole, root = finished / "results" / "tiny", study / "results" / "tiny"
    damage_everything(root)
    dry = snakemake(study, "--dry-run")
    assert "are lost or were changed" in dry
    snakemake(study)
    assert tables(study) == tables(finished)
    for folder in ("derivatives", "share/tables", "plan"):
        assert tree(root / folder) == tree(whole / folder), folder
    for folder in ("report", "share"):
        assert tree(root / folder).keys() == tree(whole / folder).keys()
        assert all(tree(root / folder).values())
    assert_nothing_to_do(study)


def test_lost_record_and_removed_images_heal_below_a_changed_option(study):  # noqa: F811
    """Nobody fails for what is gone above; segmentation comes out as before."""
    root = study / "results" / "tiny"
    lose_line(root / "store" / "segment" / "00000.jsonl", "sub-0001")
    for folder in (root / "derivatives").glob("*/ingest"):
        shutil.rmtree(folder)
    configure(study, qc={"thresholds": {**LIMITS, "snr": {"review": 30}}})
    redone = Redone(study)
    snakemake(study)
    found = redone()
    assert (found["ingest"], found["segment"], found["qc"]) == (GOOD, ["sub-0001"], GOOD)
    told = pd.read_parquet(root / "tables" / "ledger.parquet").set_index(["unit", "stage"])
    assert {told.loc[(unit, "qc"), "status"] for unit in GOOD} <= {"ok", "excluded"}
    assert_adds_up(study, [*GOOD, BAD])
    assert_nothing_to_do(study)


def test_rerun_and_verify_name_what_is_lost(study):  # noqa: F811
    root = study / "results" / "tiny"
    lose_line(root / "store" / "segment" / "00000.jsonl", "sub-0001")
    shutil.rmtree(root / "derivatives" / "sub-0003" / "ingest")
    said = popscan(study, "rerun", "--failed")
    assert "segment: 1 records" in said
    assert "ingest: 2 records" in said  # who failed, and who lost an image
    snakemake(study)
    image = derivative(root, "sub-0002", "ingest")
    stat = image.stat()
    image.write_bytes(bytes(stat.st_size))
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "Nothing to be done" in snakemake(study)
    command = [sys.executable, "-m", "popscan", "verify", "--deep"]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert image.name in done.stdout
    redone = Redone(study)
    snakemake(study)
    assert redone() == {"ingest": ["sub-0002"]}
    assert popscan(study, "verify", "--deep") == "all files are as they were written\n"
