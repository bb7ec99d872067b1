"""A simulated study with the stage motion, through real Snakemake, to the report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.motion import fields_from
from popscan.npzfile import read_npz

ROOT = Path(__file__).resolve().parents[1]
CONFIG = {
    "study": {"name": "beating"},
    "source": {"kind": "simulated"},
    "simulate": {
        "n_subjects": 2, "kspace": False, "matrix": 72, "spacing_mm": 3.0, "n_frames": 8,
        "allocation": "quota",
    },
    "atlas": {"enabled": False},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
    "stages": {"motion": {"enabled": True, "max_closing_mm": 6.0}},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.workflow
def test_strain_reaches_tables_and_pages(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    command = ["timeout", "-k", "10", "900", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    done = subprocess.run(
        [*command, "--cores", "1"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    study = tmp_path / "results" / "beating"
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet")
    moved = ledger[ledger["stage"] == "motion"]
    assert len(moved) == 2  # every subject has its record, tracked or not
    tracked = moved.loc[moved["status"] == "ok", "unit"].tolist()
    assert tracked
    assert moved.loc[moved["status"] != "ok", "reason"].ne("").all()
    values = pd.read_parquet(study / "tables" / "motion.parquet").set_index("unit")
    assert values.index.tolist() == tracked
    assert values["gcs_peak_pct"].between(-40, -5).all()
    assert values["grs_peak_pct"].gt(5).all()
    rows = pd.read_parquet(study / "tables" / "motion_segments.parquet")
    assert rows.groupby("unit")["segment"].count().eq(16).all()
    (fields,) = (study / "derivatives" / tracked[0] / "motion").glob("*_fields.npz")
    displacement = fields_from(read_npz(fields))
    assert displacement.shape[0] == 8
    assert not displacement[0].any()
    assert np.abs(displacement).max() < 60
    page = (study / "report" / "index.html").read_text(encoding="utf-8")
    assert 'id="motion"' in page
    assert "1 basal anterior" in page
