"""`popscan new-protocol`: what it writes is installed, tested, and runs a study."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.cli import main
from popscan.io import write_scan
from popscan.records import Scan
from small_study import LIMITS, rows, write_subject

ROOT = Path(__file__).resolve().parents[1]
RADII_MM = {"sub-01": 8.0, "sub-02": 10.0, "sub-03": 12.0}
#: The new protocol, and another one over the same subjects: sub-03 has no cine.
CONFIG = {
    "protocol": ["demo_organ", "cine_sax"],
    "protocols": {"cine_sax": {"atlas": {"enabled": False}, "qc": {"thresholds": LIMITS}}},
    "study": {"name": "balls"},
    "source": {"kind": "bids", "root": "raw"},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
}
WITH_CINE = ["sub-01", "sub-02"]


def run(cwd: Path, installed: Path, *arguments: str) -> str:
    """Run a module of Python where the new package is installed; what it printed."""
    done = subprocess.run(
        ["timeout", "-k", "10", "900", sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A new protocol's package, and where pip has installed it."""
    place = tmp_path_factory.mktemp("new")
    assert main(["new-protocol", "demo_organ", "--folder", str(place)]) == 0
    installed = place / "installed"
    pip = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    run(place, Path(), *pip, "--target", str(installed), str(place / "demo_organ"))
    return place / "demo_organ", installed


def test_its_own_tests_pass(package):
    folder, installed = package
    assert "4 passed" in run(folder, installed, "pytest", "-q", "-p", "no:cacheprovider")


def test_a_name_that_is_taken_or_cannot_be_one_is_refused(tmp_path, capsys):
    for name, why in (("cine_sax", "already"), ("My Organ", "lower-case")):
        assert main(["new-protocol", name, "--folder", str(tmp_path)]) == 1
        assert why in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    assert main(["new-protocol", "mine", "--folder", str(tmp_path)]) == 1
    assert "nothing is written over" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


@pytest.mark.slow
@pytest.mark.workflow
def test_check_names_it_and_a_study_of_two_protocols_runs_from_images_to_tables(package, tmp_path):
    _, installed = package
    for sub, radius in RADII_MM.items():
        path = tmp_path / "raw" / sub / "anat" / f"{sub}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        write_scan(path, ball(radius))
    for row in rows(WITH_CINE):
        write_subject(tmp_path, row)
    people = pd.DataFrame({"participant_id": list(RADII_MM), "sex": ["F", "M", "F"]})
    people.assign(age_years=[50, 60, 70]).to_csv(
        tmp_path / "raw" / "participants.tsv", sep="\t", index=False
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    check = ["popscan", "check", "--configfile", "config.yaml"]
    said = run(tmp_path, installed, *check, "--config", "protocol=demo_organ", "protocols={}")
    assert "protocol demo_organ: A bright ball; also there: " in said
    assert "cine_sax (popscan)" in said
    workflow = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    run(tmp_path, installed, *workflow, "--configfile", "config.yaml")
    study = tmp_path / "results" / "balls"
    its_own_part_is_a_whole_study(study / "demo_organ")
    every_subject_has_one_record_per_stage_and_protocol(study)
    again = [*workflow, "--configfile", "config.yaml", "--dry-run"]
    assert "Nothing to be done" in run(tmp_path, installed, *again)
    # A raised version is seen, as that of a stage is: the plan, and all behind that checkpoint.
    (declared,) = [p for p in installed.rglob("*.py") if 'name="demo_organ"' in p.read_text()]
    text = declared.read_text()
    declared.write_text(text.replace('name="demo_organ",', 'name="demo_organ", version="2",'))
    printed = run(tmp_path, installed, *again)
    assert "params have changed" in printed
    assert "cine_sax_collect" not in printed
    declared.write_text(text)
    who_leaves_is_in_no_protocol_any_more(study, tmp_path, installed)


def its_own_part_is_a_whole_study(part: Path) -> None:
    measured = pd.read_parquet(part / "tables" / "biomarkers.parquet").set_index("unit")
    for sub, radius in RADII_MM.items():
        volume_ml = 4 / 3 * np.pi * radius**3 / 1000
        assert measured.loc[sub, "ball_ml"] == pytest.approx(volume_ml, rel=0.1)
        assert measured.loc[sub, "qc_verdict"] == "pass"
    ledger = pd.read_parquet(part / "tables" / "ledger.parquet")
    assert (ledger.groupby("stage").size() == len(RADII_MM)).all()
    page = (part / "report" / "index.html").read_text()
    assert "balls: demo_organ" in page
    assert "T1-weighted images of 3 subjects" in page
    assert "cardiac" not in page.lower()


def every_subject_has_one_record_per_stage_and_protocol(study: Path) -> None:
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet")
    counts = ledger.groupby(["protocol", "stage"]).agg(list)["unit"]
    assert set(counts.index.get_level_values(0)) == {"demo_organ", "cine_sax"}
    assert all(sorted(units) == list(RADII_MM) for units in counts)
    subjects = pd.read_parquet(study / "tables" / "subjects.parquet").set_index("unit")
    assert subjects["demo_organ_analysed"].all()
    assert list(subjects.loc["sub-03", ["cine_sax_status", "cine_sax_reason"]]) == [
        "failed",
        "view_missing",
    ]
    page = (study / "report" / "index.html").read_text()
    for protocol in ("demo_organ", "cine_sax"):
        assert f'href="../{protocol}/report/index.html"' in page


def who_leaves_is_in_no_protocol_any_more(study: Path, cwd: Path, installed: Path) -> None:
    run(cwd, installed, "popscan", "withdraw", str(study), "sub-02")
    assert not (study / "tables").exists()
    assert not [path for path in study.rglob("*sub-02*") if path.suffix != ".tsv"]
    printed = run(cwd, installed, "popscan", "status", str(study))
    assert "results/balls/demo_organ" in printed
    assert "results/balls/cine_sax" in printed


def ball(radius_mm: float, spacing_mm: float = 2.0, n: int = 24) -> Scan:
    axes = [spacing_mm * (np.arange(n) - (n - 1) / 2)] * 3
    inside = sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) <= radius_mm**2
    noise = np.random.default_rng(1).uniform(0, 10, inside.shape)
    array = (100 * inside + noise).astype(np.float32)[..., np.newaxis]
    affine = np.diag([spacing_mm] * 3 + [1.0])
    return Scan(array=array, affine=affine, spacing_mm=(spacing_mm,) * 3, view="t1w")
