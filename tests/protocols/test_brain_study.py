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
from popscan.commands.predicting import predict_study
from popscan.config import Config
from popscan.segment.headed import build_headed
from popscan.segment.known import hash_identifier
from popscan.segment.predictor import save_predictor

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


def snakemake(path: Path) -> None:
    command = ["timeout", "-k", "10", "1000", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--configfile", str(path)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def predictor(folder: Path, task: dict) -> Path:
    """A bundle that has learned nothing, of sex or age."""
    arguments = {"channels": [4, 8]}
    network = build_headed("unet", 2 if "classes" in task else 1, **arguments)
    about = {
        "name": folder.name,
        "task": task,
        "members": [{"architecture": "unet", "arguments": arguments}],
        "spacing_mm": 8.0,
        "patch": 24,
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "trained_on": {"salt": "s", "sha256": [hash_identifier("sub-0002", salt="s")]},
        "training": {"subjects": 1},
        "validation": {"rmse": {"value": 10.0, "ci_low": 8.0, "ci_high": 12.0, "n": 20}},
    }
    save_predictor(folder, about=about, weights=[network.state_dict()], card="")
    return folder


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
    snakemake(path)
    study = tmp_path / "results" / "brains"
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet")
    assert ledger.groupby("stage")["unit"].nunique().eq(5).all()
    failed = ledger[ledger["status"] == "failed"]
    assert failed["reason"].tolist() == ["too_few_slices"]
    truth = pd.read_parquet(study / "tables" / "truth.parquet")
    assert truth["brain_ml"].between(800, 2000).all()
    people = pd.read_parquet(study / "tables" / "participants.parquet")
    assert {"diagnosis", "age_group", "site"} <= set(people)
    assert not [name for name in people if name.startswith(("truth_", "fault"))]
    page = (study / "report" / "index.html").read_text()
    assert "digital brain" in page
    _predictions_are_audited_with_the_study(tmp_path, path, config, failed["unit"].tolist())


def _predictions_are_audited_with_the_study(
    folder: Path, path: Path, config: dict, failed: list[str]
) -> None:
    out = folder / "ages.tsv"
    age = {"task": "regress", "attribute": "age_years", "mean": 50.0, "sd": 20.0}
    n, left_out = predict_study(
        predictor(folder / "age", age), absolute(config, folder), out, device="cpu"
    )
    ages = pd.read_csv(out, sep="\t")
    assert (n, len(ages)) == (4, 4)
    assert [line.split(":")[0] for line in left_out] == failed
    half = (ages["predicted_high"] - ages["predicted_low"]) / 2
    assert half.to_numpy() == pytest.approx(2.086 * 10 * (1 + 1 / 20) ** 0.5, abs=0.01)
    assert ages.set_index("participant_id")["seen_in_training"].get("sub-0002", 1) == 1
    sexes = folder / "sexes.tsv"
    sex = {"task": "classify", "attribute": "sex", "classes": ["female", "male"]}
    predict_study(predictor(folder / "sex", sex), absolute(config, folder), sexes, device="cpu")
    assert pd.read_csv(sexes, sep="\t")[["p_female", "p_male"]].sum(axis=1).to_numpy() == (
        pytest.approx(1, abs=1e-5)
    )
    config["fairness"]["predictions"] = {
        "table": str(sexes),
        "columns": [{"score": "p_male", "truth": "sex", "positive": "male"}],
    }
    path.write_text(yaml.safe_dump(config))
    assert check_study(path)[0] == []
    snakemake(path)
    study = folder / "results" / "brains"
    table = pd.read_parquet(study / "tables" / "fairness_predictions.parquet")
    assert set(table["prediction"]) == {"sex"}
    outcomes = pd.read_parquet(study / "tables" / "fairness_outcomes.parquet")
    assert "sex_accuracy" in set(outcomes["outcome"])
    said = (study / "tables" / "fairness_sentences.txt").read_text()
    assert "1 of 5 subjects have no prediction" in said
    assert "Predictions" in (study / "report" / "index.html").read_text()


def absolute(config: dict, folder: Path) -> Config:
    study = {**config["study"], "results": str(folder / "results")}
    return Config.model_validate({**config, "study": study})
