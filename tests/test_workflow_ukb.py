"""UK Biobank through real Snakemake: zips and field table to the report, and a rerun."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.commands.check import check_study
from popscan.config import Config
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.stages.plan.job import plan_study
from popscan.stages.tasks import run_stage
from popscan.store import Store
from small_study import LIMITS, ROOT, rows, snakemake
from ukb_files import bulk_name, scaled, short_axis, write_field_table, write_zip

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

#: The second came twice, the third's zip is torn, the fourth withdrew, the fifth has no zip.
EIDS = ["1000012", "1000023", "1000034", "1000045", "1000056"]
VISITS = [("1000012", 2), ("1000023", 2), ("1000023", 3), ("1000034", 2), ("1000045", 2)]
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "ukb", "root": "Bulk", "participants": "ukb.csv"},
    "cohort": {"exclude": "w12345_20230425.csv", "ukb_fields": {"hba1c": 30750}},
    "plan": {"shard_size": 8},
    "segment": {"model": "model"},
    "qc": {"thresholds": LIMITS},
    "atlas": {"enabled": False},
    "fairness": {
        "attributes": ["sex", "ethnic_background"], "intersections": [], "min_group": 2,
        "n_boot": 100,
    },
    "associate": {"terms": ["age_years"]},
}  # fmt: skip


def images_of(n: int, eid: str, instance: int):
    made = load(get_protocol("cine_sax").simulation.subject)(
        rows(EIDS)[n], seed=5, matrix=(64, 64), spacing_mm=(3.4, 3.4), frames=5, slices=4,
        kspace=False,
    )  # fmt: skip
    return short_axis(scaled(made.scan), eid=eid, instance=instance)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("ukb")
    for n, (eid, instance) in enumerate(VISITS):
        path = write_zip(
            cwd / "Bulk" / "Heart MRI" / "Short axis" / eid[:2] / bulk_name(eid, 20209, instance),
            images_of(n % 3, eid, instance),
        )
        if eid == "1000034":
            path.write_bytes(path.read_bytes()[:-5000])
    (cwd / "Bulk" / bulk_name("1000012", 20208)).write_bytes(b"never opened")
    write_field_table(
        cwd / "ukb.csv",
        [
            {
                "participant.eid": eid, "participant.p31": n % 2, "participant.p21003_i0": 50 + n,
                "participant.p21003_i2": 60 + n, "participant.p21003_i3": 64 + n,
                "participant.p21000_i0": ["1001", "4001"][n % 2], "participant.p30750_i0": 35,
                "participant.p54_i2": 11025, "participant.p21001_i2": 25 + n,
                "participant.p4080_i2_a0": 120 + n, "participant.p4080_i2_a1": 122 + n,
                "participant.p20209_i2": f"{eid}_20209_2_0.zip",
            }
            for n, eid in enumerate([*EIDS])
        ],
    )  # fmt: skip
    (cwd / "w12345_20230425.csv").write_text("1000045\n7654321\n")
    shutil.copytree(ROOT / "resources" / "models" / "cine_sax", cwd / "model")
    (cwd / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    snakemake(cwd)
    return cwd


def table(cwd: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(cwd / "results" / "tiny" / "tables" / f"{name}.parquet")


def test_study_runs_from_zips_and_field_table_to_the_report(study):
    ledger = table(study, "ledger").query("stage == 'ingest'").set_index("unit")
    assert ledger["status"].to_dict() == {
        "sub-1000012_ses-2": "ok", "sub-1000023_ses-2": "ok", "sub-1000023_ses-3": "ok",
        "sub-1000034_ses-2": "failed", "sub-1000056_ses-2": "failed",
    }  # fmt: skip
    assert ledger.loc["sub-1000034_ses-2", "reason"] == "zip_truncated"
    assert ledger.loc["sub-1000056_ses-2", "reason"] == "no_images"
    people = table(study, "participants").set_index("unit")
    assert people["age_years"].astype(float).to_dict() == {
        "sub-1000012_ses-2": 60.0, "sub-1000023_ses-2": 61.0, "sub-1000023_ses-3": 65.0,
        "sub-1000034_ses-2": 62.0, "sub-1000056_ses-2": 64.0,
    }  # fmt: skip
    assert people.loc["sub-1000023_ses-3", "ethnic_background"] == "Black or Black British"
    assert people.loc["sub-1000012_ses-2", "n_frames"] == 5
    assert np.isfinite(table(study, "biomarkers")["lvedv_ml"]).sum() >= 3
    assert (study / "results" / "tiny" / "report" / "index.html").is_file()
    assert not list((study / "Bulk").rglob("*.dcm"))
    said = "".join(p.read_text() for p in (study / "results" / "tiny" / "tables").glob("*.tsv"))
    assert "1000045" not in said


def test_check_says_which_fields_were_used(study, monkeypatch):
    monkeypatch.chdir(study)
    problems, notes = check_study(Path("config.yaml"))
    text = "\n".join(notes)
    assert "age_years: is UK Biobank field 21003 (the visit's instance)" in text
    assert "hba1c: is UK Biobank field 30750" in text
    assert "2 withdrawn participants, 1 of them in the cohort" in text
    assert any("zip_truncated" in problem for problem in problems)


def test_changed_zip_redoes_its_visit_and_another_field_nothing(study, monkeypatch):
    monkeypatch.chdir(study)
    options = {
        **Config.model_validate({**CONFIG, "study": {"name": "again"}}).model_dump(),
        "version": "1",
    }
    root = study / "results" / "again"

    def n_done() -> int:
        plan_study(root, options)
        return run_stage(Store(root), "ingest", "00000", options).n_done

    assert n_done() == 4  # whose zips are there
    other = study / "Bulk" / bulk_name("1000012", 20208)
    other.write_bytes(b"changed, and never opened")
    assert n_done() == 0
    (path,) = study.rglob(bulk_name("1000012", 20209))
    write_zip(path, images_of(1, "1000012", 2))
    assert n_done() == 1


def test_config_that_comes_with_popscan_passes_the_check(study, monkeypatch):
    monkeypatch.chdir(study)
    text = (ROOT / "config" / "ukb.yaml").read_text()
    for given, here in {
        "path/to/Bulk/Heart MRI": "Bulk",
        "path/to/ukb_fields.csv": "ukb.csv",
        "path/to/w12345_20250101.csv": "w12345_20230425.csv",
    }.items():
        text = text.replace(given, here)
    Path("given.yaml").write_text(text)
    problems, _ = check_study(Path("given.yaml"))
    assert [p for p in problems if "zip_truncated" not in p and "no images" not in p] == []
