"""A study of maps without regions through real Snakemake: drawn ones, with their doubt beside."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mapping_files import regions, samples, t1_truth_ms, write_image, write_raw
from popscan.labelset import UNPROVEN
from popscan.segment.bundle import save_bundle
from popscan.segment.networks import build_network
from small_study import snakemake

ARGUMENTS = {"channels": [8, 8, 8], "latents": 2, "latent_levels": 2}


def write_model(folder) -> None:
    """A network of random weights: what it labels is nonsense, and each draw differs."""
    torch.manual_seed(0)
    network = build_network("hierarchical", 4, **ARGUMENTS)
    about = {
        "name": "tiny", "labels": {"rv_blood": 1, "wall": 2, "lv_blood": 3}, "spacing_mm": 1.5,
        "patch": 64, "members": [{"architecture": "hierarchical", "arguments": ARGUMENTS}],
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0}, "input_range": {},
        "trained_on": {"salt": "", "sha256": []}, "training": {}, "validation": {},
    }  # fmt: skip
    save_bundle(folder, about=about, weights=[network.state_dict()], card="tiny")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("maps")
    write_model(cwd / "model")
    truth = t1_truth_ms(regions(), wall_ms=1100.0, blood_ms=1700.0)
    for number in (1, 2, 3):
        write_raw(cwd / "raw", f"sub-{number:02d}", samples(truth, seed=number))
    path = cwd / "raw" / "sub-04" / "anat" / "sub-04_T1map.nii.gz"
    write_image(path, np.zeros_like(truth, np.float32))
    people = pd.DataFrame({"participant_id": sorted(p.name for p in (cwd / "raw").iterdir())})
    people["sex"], people["age_years"] = ["F", "M"] * 2, [50.0, 55.0, 60.0, 65.0]
    people.to_csv(cwd / "raw" / "participants.tsv", sep="\t", index=False)
    config = {
        "protocol": "t1_map", "study": {"name": "maps"},
        "source": {"kind": "bids", "root": "raw"},
        "segment": {"method": "probabilistic", "model": "model", "samples": 4},
        "qc": {"thresholds": {"wall_sample_dice": {"review": 0.9999}}},
        "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
    }  # fmt: skip
    (cwd / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake(cwd)
    return cwd / "results" / "maps"


def table(study, name: str) -> pd.DataFrame:
    return pd.read_parquet(study / "tables" / f"{name}.parquet").set_index("unit")


def test_tables_hold_the_draws_and_their_intervals(study):
    segmented, found = table(study, "segmentation"), table(study, "biomarkers")
    assert segmented["labels_by"].eq(UNPROVEN).all()
    assert segmented["sample_dice_wall"].between(0, 1).all()
    spread = found["wall_t1_sampled_sd_ms"]
    assert (spread > 0).all()
    noise = found["wall_t1_high_ms"] - found["wall_t1_low_ms"]
    joint = found["wall_t1_joint_high_ms"] - found["wall_t1_joint_low_ms"]
    assert (joint > noise).all()
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet").set_index(["unit", "stage"])
    assert ledger.loc[("sub-04", "ingest"), "reason"] == "constant_image"


def test_qc_and_report_say_what_the_regions_are(study):
    checks = pd.read_parquet(study / "tables" / "qc_checks.parquet")
    own = checks[checks["check"] == "wall_sample_dice"]
    assert set(own["verdict"]) == {"review"}
    assert set(checks[checks["check"] == "unproven_labels"]["verdict"]) == {"review"}
    report = (study / "report" / "index.html").read_text(encoding="utf-8")
    assert "states no agreement" in report
    assert "does not state that it was validated" in report
    assert "Regions came with the images" not in report
    sidecar = json.loads((study / "tables" / "biomarkers.json").read_text())
    assert "wall_t1_joint_low_ms" in json.dumps(sidecar)


def test_check_asks_for_a_model(study):
    cwd = study.parents[1]
    config = yaml.safe_load((cwd / "config.yaml").read_text())
    config["segment"] = {"method": "probabilistic", "model": ""}
    (cwd / "without.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "popscan", "check", "--configfile", "without.yaml"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "segment.model: none; method 'probabilistic'" in done.stdout + done.stderr
