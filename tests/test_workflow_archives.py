"""A study in archives, through real Snakemake: read, done again in part, damaged, withdrawn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from popscan import open_study
from popscan.archive import Archive
from popscan.store import Store
from small_study import LIMITS, Redone, assert_nothing_to_do, popscan, snakemake, tables

SUBJECTS = ["sub-0001", "sub-0002", "sub-0003"]
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "simulated"},
    "simulate": {
        "n_subjects": 3, "kspace": False, "matrix": 64, "spacing_mm": 3.6, "n_frames": 4,
    },
    "plan": {"shard_size": 2},
    "qc": {"thresholds": LIMITS},
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


def archives(cwd: Path) -> dict[str, str]:
    root = root_of(cwd)
    return {
        str(p.relative_to(root / "archives")): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.glob("archives/*/*.zip"))
    }


def test_a_study_in_archives_is_the_same_study(tmp_path):
    configure(tmp_path, archives=False)
    snakemake(tmp_path)
    images = {unit: open_study(root_of(tmp_path)).images(unit) for unit in SUBJECTS}
    before, redone = tables(tmp_path), Redone(tmp_path)

    configure(tmp_path)
    snakemake(tmp_path)
    assert (files(tmp_path), redone(), tables(tmp_path)) == ([], {}, before)
    packed = archives(tmp_path)
    assert list(packed) == [
        f"{stage}/{shard}.zip" for stage in ("ingest", "segment") for shard in ("00000", "00001")
    ]
    assert_nothing_to_do(tmp_path)

    # Every reader: Python, checks of the files, a page, the estimate of another study's disk.
    for unit, (scan, labels) in images.items():
        again = open_study(root_of(tmp_path)).images(unit)
        assert (again[0].array == scan.array).all()
        assert (again[1].array == labels.array).all()
    assert "all files are as they were" in popscan(tmp_path, "verify", "results/tiny", "--deep")
    assert "removed by storage" in popscan(tmp_path, "status", "results/tiny")  # simulated data
    popscan(tmp_path, "page", "results/tiny", SUBJECTS[0])
    assert "in archives" in popscan(tmp_path, "storage", "results/tiny")
    estimate = popscan(tmp_path, "plan", "--configfile", "config.yaml", "--estimate", "1000")
    assert "Disk per subject: 1.33 files and folders" in estimate  # 4 archives, 3 subjects
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)

    # Another threshold for one subject's shard and all others: nothing is segmented.
    limits = {**LIMITS, "snr": {"review": 1e6}}
    configure(tmp_path, qc={"thresholds": limits})
    snakemake(tmp_path)
    assert set(redone()) == {"qc", "biomarkers"} or set(redone()) == set()
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)

    # One subject again: its shard's archives are written anew, with the same bytes.
    popscan(tmp_path, "rerun", "results/tiny", "--subjects", SUBJECTS[1], "--from", "segment")
    snakemake(tmp_path)
    assert redone()["segment"] == [SUBJECTS[1]]
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)

    # A damaged archive is seen by the next run, and its stage does the shard again.
    path = Archive(root_of(tmp_path), "segment", "00000").path
    path.write_bytes(path.read_bytes()[:1000])
    snakemake(tmp_path)
    assert redone()["segment"] == SUBJECTS[:2]
    assert (files(tmp_path), archives(tmp_path)) == ([], packed)
    assert "all files are as they were" in popscan(tmp_path, "verify", "results/tiny", "--deep")

    kept = Store(root_of(tmp_path)).journal("segment", "00000").read().records[SUBJECTS[0]]
    popscan(tmp_path, "withdraw", "results/tiny", SUBJECTS[1])
    for path in root_of(tmp_path).rglob("*.zip"):
        assert SUBJECTS[1].encode() not in path.read_bytes()
    snakemake(tmp_path)
    assert redone().get("segment", []) == []
    records = Store(root_of(tmp_path)).journal("segment", "00000").read().records
    assert list(records.values()) == [kept]
    assert (
        open_study(root_of(tmp_path)).images(SUBJECTS[0])[0].array == images[SUBJECTS[0]][0].array
    ).all()
    assert_nothing_to_do(tmp_path)
