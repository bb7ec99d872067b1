"""A study in archives, through real Snakemake: read, done again in part, damaged, withdrawn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from popscan import open_study
from popscan.archive import Archive
from popscan.io.nifti import read_labels, read_scan
from popscan.store import Store
from small_study import TO_TABLES, Redone, popscan, snakemake, tables

SUBJECTS = ["sub-0001", "sub-0002", "sub-0003"]
#: Checks that subjects of so few frames and voxels would not pass: files of the others stay until
#: the report is drawn.
PASSED = {
    name: {"review": None, "fail": None}
    for name in ("frame_count", "pixel_spacing_mm", "ood", "expected_dice")
}
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "simulated"},
    "simulate": {
        "n_subjects": 3, "kspace": False, "matrix": 64, "spacing_mm": 3.6, "n_frames": 4,
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
    plain, cwd = tmp_path / "plain", tmp_path / "packed"
    for one in (plain, cwd):
        one.mkdir()
        configure(one, archives=one == cwd)
    snakemake(plain, *TO_TABLES)
    snakemake(cwd)
    before, packed, redone = tables(plain), archives(cwd), Redone(cwd)
    assert {name: tables(cwd)[name] for name in before} == before
    assert list(packed) == [
        f"{stage}/{shard}.zip" for stage in ("ingest", "segment") for shard in ("00000", "00001")
    ]
    assert files(cwd) == []

    # Every reader: Python, checks of the files, a page, the estimate of another study's disk.
    folder = root_of(plain) / "derivatives"
    for unit in SUBJECTS:
        scan, labels = open_study(root_of(cwd)).images(unit)
        assert (scan.array == read_scan(folder / name_of(unit, "ingest", "cine")).array).all()
        assert (labels.array == read_labels(folder / name_of(unit, "segment", "dseg")).array).all()
    assert "all files are as they were" in popscan(cwd, "verify", "results/tiny", "--deep")
    assert "removed by storage" in popscan(cwd, "status", "results/tiny")  # simulated data
    popscan(cwd, "page", "results/tiny", SUBJECTS[0])
    popscan(cwd, "review", "results/tiny", "--subjects", SUBJECTS[0])
    assert "in archives" in popscan(cwd, "storage", "results/tiny")
    estimate = popscan(cwd, "plan", "--configfile", "config.yaml", "--estimate", "1000")
    assert "Disk per subject: 1.33 files and folders" in estimate  # 4 archives, 3 subjects
    assert (files(cwd), archives(cwd)) == ([], packed)

    # Another threshold: images come back for qc, nothing is segmented, and they go again.
    configure(cwd, qc={"thresholds": {**PASSED, "snr": {"review": 0.01}}})
    snakemake(cwd, *TO_TABLES)
    assert redone() == {"qc": SUBJECTS}
    assert (files(cwd), archives(cwd)) == ([], packed)

    # A damaged archive is seen by the next run, and its stage does the shard again; so is one
    # subject that is marked. The archives are written anew with the same bytes.
    path = Archive(root_of(cwd), "segment", "00000").path
    path.write_bytes(path.read_bytes()[:1000])
    popscan(cwd, "rerun", "results/tiny", "--subjects", SUBJECTS[2], "--from", "segment")
    snakemake(cwd, *TO_TABLES)
    assert redone()["segment"] == SUBJECTS
    assert (files(cwd), archives(cwd)) == ([], packed)
    assert tables(cwd)["biomarkers.parquet"] == before["biomarkers.parquet"]

    kept = Store(root_of(cwd)).journal("segment", "00000").read().records[SUBJECTS[0]]
    popscan(cwd, "withdraw", "results/tiny", SUBJECTS[1])
    for path in root_of(cwd).rglob("*.zip"):
        assert SUBJECTS[1].encode() not in path.read_bytes()
    snakemake(cwd, *TO_TABLES)
    assert "segment" not in redone()
    records = Store(root_of(cwd)).journal("segment", "00000").read().records
    assert list(records.values()) == [kept]
    assert "all files are as they were" in popscan(cwd, "verify", "results/tiny", "--deep")
    assert files(cwd) == []
