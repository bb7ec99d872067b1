"""A study of digital brains through real Snakemake: from the population to the report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from popscan.commands.check import check_study

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config" / "brain_demo.yaml"


def test_the_demo_of_brains_is_checked():
    problems, notes = check_study(DEMO)
    assert problems == []
    assert any(note.startswith("12 subjects") for note in notes)


def test_kspace_of_brains_and_unknown_biases_are_refused(tmp_path):
    config = yaml.safe_load(DEMO.read_text())
    config["simulate"]["bias"][0]["kind"] = "fat_layer"
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    problems, _ = check_study(path)
    assert any("fat_layer" in text and "deep_brightness" in text for text in problems)


@pytest.mark.slow
@pytest.mark.workflow
def test_digital_brains_reach_the_report(tmp_path):
    config = yaml.safe_load(DEMO.read_text())
    config["study"]["name"] = "brains"
    config["simulate"] |= {"n_subjects": 5, "spacing_mm": 4.0, "faults": {"truncated": 0.2}}
    config["fairness"] |= {"min_group": 2, "n_boot": 100}
    config["report"] = {"max_flagged_pages": 1}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    command = ["timeout", "-k", "10", "1000", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--configfile", str(path)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    study = tmp_path / "results" / "brains"
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet")
    assert ledger.groupby("stage")["unit"].nunique().eq(5).all()
    failed = ledger[ledger["status"] == "failed"]
    assert failed["reason"].tolist() == ["field_of_view_too_small"]
    truth = pd.read_parquet(study / "tables" / "truth.parquet")
    assert truth["brain_ml"].between(800, 2000).all()
    people = pd.read_parquet(study / "tables" / "participants.parquet")
    assert {"diagnosis", "age_group", "site"} <= set(people)
    assert not [name for name in people if name.startswith(("truth_", "fault"))]
    page = (study / "report" / "index.html").read_text()
    assert "digital brain" in page
