"""The study of benchmarks/study.py is one that the workflow could have left."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas as pd

from popscan.store import Store

N, SIZE = 30, 8


def test_collects_a_study_of_any_size(repo_root, tmp_path):
    folder = repo_root / "benchmarks"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, folder / "study_writer.py", tmp_path / "a"]
    sizes = ["--subjects", str(N), "--shard-size", str(SIZE)]
    subprocess.run([*command, *sizes], env=environment, check=True)
    study = tmp_path / "a" / "results" / "large"
    given = tmp_path / "a" / "given" / "collect.json"
    collect = [sys.executable, "-m", "popscan", "collect", "--study", study, "--options", given]
    subprocess.run(collect, check=True)
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet")
    assert ledger.groupby("stage")["unit"].nunique().to_dict() == dict.fromkeys(
        ledger["stage"].unique(), N
    )
    assert len(ledger) == 7 * N
    measured = pd.read_parquet(study / "tables" / "biomarkers.parquet").set_index("unit")
    (line, *_) = (study / "store" / "biomarkers" / "00003.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert measured.loc[record["unit"], "lvedv_ml"] == record["values"]["lvedv_ml"]
    assert measured["lvedv_ml"].is_unique
    states = [Store(study).journal("qc", f"0000{i}").read() for i in range(4)]
    assert sum(len(state.records) for state in states) == N
