"""A study in archives, through real Snakemake: read, done again in part, damaged, withdrawn."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from popscan import open_study
from popscan.archive import Archive
from popscan.io.nifti import read_labels, read_scan
from popscan.store import Store
from small_study import TO_TABLES, Redone, popscan, snakemake, tables

SUBJECTS = ["sub-0001", "sub-0002"]
#: Checks that subjects of so few frames and voxels would not pass: files of the others stay until
#: the report is drawn.
PASSED = {
    name: {"review": None, "fail": None}
    for name in ("frame_count", "pixel_spacing_mm", "ood", "expected_dice", "label_risk")
}
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "simulated"},
    "simulate": {
        "n_subjects": 2, "kspace": False, "matrix": 64, "spacing_mm": 3.6, "n_frames": 4,
    },
    "plan": {"shard_size": 2},
    "qc": {"thresholds": PASSED},
    "atlas": {"enabled": False},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
}  # fmt: skip

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def configure(cwd: Path, *, archives: bool = True, **sections: object) -> None:
    config = {**CONFIG, **sections, "storage": {"archives": archives}}
    (cwd / "config.yaml").write_text(yaml.safe_dump(config))


def root_of(cwd: Path) -> Path:
    return cwd / "results" / "tiny"


def files(cwd: Path) -> list[Path]:
    return [p for p in (root_of(cwd) / "derivatives").glob("sub-*/**/*") if p.is_file()]


def name_of(unit: str, stage: str, kind: str) -> str:
    return f"{unit}/{stage}/{unit}_acq-sax_{kind}.nii.gz"


def archives(cwd: Path) -> dict[str, str]:
    root = root_of(cwd)
    return {
        str(p.relative_to(root / "archives")): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.glob("archives/*/*.zip"))
    }


def test_a_study_in_archives_is_the_same_study(tmp_path):
    configure(tmp_path, archives=False)
    snakemake(tmp_path, *TO_TABLES)
    before, redone = tables(tmp_path), Redone(tmp_path)
    plain = tmp_path / "plain"
    shutil.copytree(root_of(tmp_path) / "derivatives", plain)

    configure(tmp_path)
    snakemake(tmp_path)
    packed = archives(tmp_path)
    assert (files(tmp_path), redone()) == ([], {})
    assert {name: tables(tmp_path)[name] for name in before} == before
    assert list(packed) == ["ingest/00000.zip", "segment/00000.zip"]

    # Every reader: Python, checks of the files, pages, the estimate of another study's disk.
    for unit in SUBJECTS:
        scan, labels = open_study(root_of(tmp_path)).images(unit)
        assert (scan.array == read_scan(plain / name_of(unit, "ingest", "cine")).array).all()
        assert (labels.array == read_labels(plain / name_of(unit, "segment", "dseg")).array).all()
    assert "all files are as they were" in popscan(tmp_path, "verify", "results/tiny", "--deep")
    popscan(tmp_path, "page", "results/tiny", SUBJECTS[0])
    popscan(tmp_path, "review", "results/tiny", "--subjects", SUBJECTS[0])
    assert "in archives" in popscan(tmp_path, "storage", "results/tiny")
    estimate = popscan(tmp_path, "plan", "--configfile", "config.yaml", "--estimate", "1000")
    assert "Disk per subject: 1 files and folders" in estimate  # two archives, two subjects
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)

    # Another threshold: images come back for qc, nothing is segmented, and they go again.
    configure(tmp_path, qc={"thresholds": {**PASSED, "snr": {"review": 0.01}}})
    snakemake(tmp_path, *TO_TABLES)
    assert "qc" in (again := redone())
    assert "segment" not in again
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)

    # A damaged archive is seen by the next run, and its stage does the shard again; so is one
    # subject that is marked. The archives are written anew with the same bytes.
    path = Archive(root_of(tmp_path), "segment", "00000").path
    path.write_bytes(path.read_bytes()[:1000])
    popscan(tmp_path, "rerun", "results/tiny", "--subjects", SUBJECTS[1], "--from", "ingest")
    snakemake(tmp_path)
    again = redone()
    assert (again["ingest"], again["segment"]) == ([SUBJECTS[1]], SUBJECTS)
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)
    assert tables(tmp_path)["biomarkers.parquet"] == before["biomarkers.parquet"]

    kept = Store(root_of(tmp_path)).journal("segment", "00000").read().records[SUBJECTS[0]]
    popscan(tmp_path, "withdraw", "results/tiny", SUBJECTS[1])
    for path in root_of(tmp_path).rglob("*.zip"):
        assert SUBJECTS[1].encode() not in path.read_bytes()
    snakemake(tmp_path, *TO_TABLES)
    assert "segment" not in redone()
    records = Store(root_of(tmp_path)).journal("segment", "00000").read().records
    assert list(records.values()) == [kept]
    assert "all files are as they were" in popscan(tmp_path, "verify", "results/tiny", "--deep")
    assert files(tmp_path) == []

    # No archives from now on: those of before are still cleared of subjects that leave.
    snakemake(tmp_path)
    configure(tmp_path, archives=False)
    (root_of(tmp_path) / "storage.json").unlink()
    assert "clear_storage" in snakemake(tmp_path, "--dry-run")
