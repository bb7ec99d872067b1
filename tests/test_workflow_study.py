"""Whole studies through real Snakemake, good and bad subjects together: nothing is lost."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from popscan.io import read_scan, write_labels, write_scan
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import Scan
from popscan.stages import stages_of

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"matrix": (96, 96), "spacing_mm": (2.6, 2.6), "frames": 8, "kspace": False}


def snakemake(*arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the project's workflow; stopped for good if it hangs."""
    command = ["timeout", "-k", "10", "1500", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def popscan(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "popscan", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


BAD = {
    "sub-truncated": "truncated_file",
    "sub-nan": "nan_values",
    "sub-oneslice": "one_slice",
    "sub-noimages": "no_images",
}


def write_bids_study(root: Path) -> None:
    """Three good subjects, and one for every way in which a scan can be bad."""
    people = sample_population(3, seed=11)
    made = [simulate_subject(row, seed=11, **SMALL) for row in people.to_dict("records")]
    for row, one in zip(people.to_dict("records"), made, strict=True):
        folder = root / row["participant_id"] / "cine"
        folder.mkdir(parents=True)
        write_scan(folder / f"{row['participant_id']}_acq-sax_cine.nii.gz", one.scan)
        write_labels(folder / f"{row['participant_id']}_acq-sax_dseg.nii.gz", one.labels, one.scan)
    good = made[0].scan
    for name in ("sub-truncated", "sub-nan", "sub-oneslice"):
        folder = root / name / "cine"
        folder.mkdir(parents=True)
        path = folder / f"{name}_acq-sax_cine.nii.gz"
        array = good.array.astype(np.float32).copy()
        if name == "sub-nan":
            # Through nibabel's own writer: ours refuses to write NaN.
            import nibabel as nib

            array[5, 5, 1, 1] = np.nan
            nib.save(nib.Nifti1Image(array, good.affine), path)
        else:
            cut = array[:, :, :1] if name == "sub-oneslice" else array
            write_scan(path, Scan(**{**vars(good), "array": cut}))
        if name == "sub-truncated":
            path.write_bytes(path.read_bytes()[:5000])
    (root / "sub-unlisted").mkdir()
    lines = ["participant_id\tsex\tage_years\trace\theight_cm\tweight_kg"]
    lines += [
        f"{r['participant_id']}\t{r['sex']}\t{r['age_years']}\t{r['race']}"
        f"\t{r['height_cm']}\t{r['weight_kg']}"
        for r in people.to_dict("records")
    ]
    lines += [f"{name}\tfemale\t50\tWhite\t170\t70" for name in BAD]
    lines += ["sub-0001\tmale\t40\tWhite\t180\t80", "../escape\tmale\t40\tWhite\t180\t80"]
    lines += ["sub-code\tfemail\t40\tWhite\t180\t80"]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Folder in which the BIDS-like study was run to its report."""
    cwd = tmp_path_factory.mktemp("study")
    write_bids_study(cwd / "raw")
    config = (
        "study: {name: tiny}\n"
        "source: {kind: bids, root: raw}\n"
        "plan: {shard_size: 4, max_failed_fraction: 1.0}\n"
        "atlas: {min_group: 2}\n"
        "fairness: {min_group: 2, n_boot: 100, attributes: [sex, race]}\n"
    )
    (cwd / "config.yaml").write_text(config)
    (cwd / "wrong.yaml").write_text(config.replace("race]", "race, planet]"))
    refused = snakemake("--configfile", "wrong.yaml", cwd=cwd, check=False)
    assert refused.returncode != 0
    assert "fairness.attributes: 'planet' is no column of the cohort table" in refused.stderr
    assert not (cwd / "results").exists()  # nothing was computed
    snakemake("--configfile", "config.yaml", cwd=cwd)
    return cwd


def table(study: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(study / "results" / "tiny" / "tables" / f"{name}.tsv", sep="\t")


def test_statuses_add_up_for_every_stage(study):
    ledger = table(study, "ledger")
    people = table(study, "participants")
    assert len(people) == 3 + len(BAD) + 1
    for stage in stages_of("bids"):
        units = ledger.loc[ledger["stage"] == stage, "unit"]
        assert sorted(units) == sorted(people["unit"]), stage


def test_data_dictionaries_say_what_every_column_is_and_holds(study):
    tables = study / "results" / "tiny" / "tables"
    for path in tables.glob("*.parquet"):
        written = pd.read_parquet(path)
        said = json.loads(path.with_suffix(".json").read_text())
        assert list(said) == list(map(str, written)), path.stem
        for name, entry in said.items():
            column = written[name].dropna()
            assert entry["meaning"], (path.stem, name)
            if column.empty or entry["kind"] == "any":
                continue
            is_flag = pd.api.types.is_bool_dtype(column.infer_objects())
            is_number = pd.api.types.is_numeric_dtype(column)
            kind = "flag" if is_flag else "number" if is_number else "text"
            assert entry["kind"] == kind, (path.stem, name)


@pytest.mark.parametrize(("unit", "reason"), BAD.items())
def test_bad_scan_is_a_failed_record_and_is_skipped_below(study, unit, reason):
    ledger = table(study, "ledger")
    mine = ledger[ledger["unit"] == unit].set_index("stage")
    assert (mine.loc["ingest", "status"], mine.loc["ingest", "reason"]) == ("failed", reason)
    assert set(mine.loc[["segment", "qc", "biomarkers"], "status"]) == {"skipped"}
    assert set(mine.loc[["segment", "qc", "biomarkers"], "reason"]) == {reason}


def test_good_subjects_are_measured_whatever_the_others_are(study):
    biomarkers = table(study, "biomarkers").set_index("unit")
    assert list(biomarkers.index) == ["sub-0001", "sub-0002", "sub-0003"]
    assert biomarkers["lvedv_ml"].between(40, 400).all()
    assert biomarkers["bsa_m2"].between(1, 3).all()


def test_segmentation_of_unseen_simulated_hearts_is_scored(study):
    scores = table(study, "scores")
    assert not scores["seen_in_training"].any()
    assert scores.groupby("structure")["dice"].median().min() > 0.5


def test_bad_rows_of_the_cohort_table_are_told_with_line_and_column(study):
    told = json.loads((study / "results/tiny/plan/plan.json").read_text())
    problems = "\n".join(told["problems"])
    assert re.search(r"participants\.tsv.*9.*sub-0001", problems)
    assert "../escape" in problems
    assert "femail" in problems
    assert told["unlisted"] == ["sub-unlisted"]


def test_check_names_every_problem_at_once(study):
    told = popscan("check", "--configfile", "wrong.yaml", cwd=study)
    assert told.returncode == 2
    for word in ("sub-0001", "../escape", "femail", "sub-noimages", "sub-unlisted", "planet"):
        assert word in told.stderr, word
    assert "Traceback" not in told.stderr


def test_report_exists_is_offline_and_names_the_failures(study):
    html = (study / "results/tiny/report/index.html").read_text()
    assert not re.findall(r'(?:src|href)="https?://(?!doi)', html)
    assert "truncated" in html
    assert "<script>alert" not in html


def test_shared_report_has_no_identifier(study):
    html = (study / "results/tiny/share/index.html").read_text()
    assert not re.findall(r"sub-\w+", html)


def test_atlas_is_written_in_millimetres(study):
    scan = read_scan(study / "results/tiny/atlas/all_mean.nii.gz")
    assert scan.spacing_mm == (3.0, 3.0, 3.0)
    # Left, posterior and down from the LV's centre, as `HeartFrame` counts: no mirrored heart.
    np.testing.assert_array_equal(np.sign(np.diag(scan.affine)[:3]), [-1, -1, -1])


def test_status_counts_every_subject(study):
    told = popscan("status", "results/tiny", cwd=study)
    assert told.returncode == 0, told.stderr
    row = next(line for line in told.stdout.splitlines() if line.startswith("ingest"))
    assert sum(map(int, row.split()[2:])) == len(table(study, "participants"))
    assert "truncated_file" in told.stdout


def test_second_run_has_nothing_to_do(study):
    done = snakemake("--configfile", "config.yaml", "--dry-run", cwd=study)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_no_temporary_file_is_left(study):
    names = [p.name for p in (study / "results").rglob("*")]
    assert not [n for n in names if n.endswith(".tmp") or n == ".tmp"]


def test_derivatives_are_whole_gzip_files(study):
    paths = list((study / "results/tiny/derivatives").rglob("*.nii.gz"))
    assert paths
    for path in paths:
        with gzip.open(path) as stream, open(os.devnull, "wb") as sink:
            shutil.copyfileobj(stream, sink)


def test_subject_that_is_not_there_is_told(study):
    done = snakemake(
        "--configfile", "config.yaml", "--config", "subjects=sub-nobody", cwd=study, check=False
    )
    assert done.returncode != 0
    assert "sub-nobody" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("segment: {flip: true}", "flip"),
        ("plan: {shard_size: none}", "shard_size"),
        ("source: {kind: pet}", "kind"),
    ],
)
def test_wrong_config_stops_snakemake_and_check_before_anything_runs(tmp_path, text, expected):
    (tmp_path / "config.yaml").write_text(text + "\n")
    told = popscan("check", "--configfile", "config.yaml", cwd=tmp_path)
    assert told.returncode == 2
    assert expected in told.stderr
    assert "Traceback" not in told.stderr
    done = snakemake("--configfile", "config.yaml", "--dry-run", cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert not (tmp_path / "results").exists()


def test_missing_raw_data_is_a_message(tmp_path):
    (tmp_path / "config.yaml").write_text("source: {kind: acdc, root: nowhere}\n")
    done = snakemake("--configfile", "config.yaml", cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert "no such folder: 'nowhere'" in done.stdout + done.stderr
