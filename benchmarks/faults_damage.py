"""Faults of `faults.py` that damage what a finished study wrote.

Each is followed by a real Snakemake: the same command once more has to bring everything back.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from faults_kinds import Case, flip


def deleted_derivative(case: Case) -> None:
    for _ in range(case.rng.randint(1, 3)):
        case.pick("derivatives/**/*.*").unlink()


def truncated_derivative(case: Case) -> None:
    _spoil(case, case.pick("derivatives/**/*.*"))


def changed_derivative(case: Case) -> None:
    """Change some bytes of an image, not its size."""
    path = case.pick("derivatives/**/*.nii.gz")
    path.write_bytes(flip(case.rng, path.read_bytes()))


def swapped_derivative(case: Case) -> None:
    """Put one subject's labels or image in the place of another's."""
    stage = case.rng.choice(["ingest", "segment"])
    paths = sorted(case.root.glob(f"derivatives/*/{stage}/*.nii.gz"))
    one, other = case.rng.sample(paths, 2)
    case.rng.choice([shutil.copy, shutil.copy2])(one, other)


def table_lost_or_spoilt(case: Case) -> None:
    """Delete, truncate or garble Parquet, TSV or dictionary of some tables."""
    for _ in range(case.rng.randint(1, 4)):
        _spoil(case, case.pick("tables/*.*"), delete=0.5)


def all_tables_deleted(case: Case) -> None:
    shutil.rmtree(case.root / "tables")


def manifest_spoilt(case: Case) -> None:
    _spoil(case, case.pick("manifests/*/*.parquet"))


def plan_spoilt(case: Case) -> None:
    _spoil(case, case.root / "plan" / "plan.json", delete=0.2)


def plan_line_lost(case: Case) -> None:
    path = case.pick("plan/shards/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines.pop(case.rng.randrange(len(lines)))
    path.write_bytes(b"".join(lines))


def plan_shard_spoilt(case: Case) -> None:
    _spoil(case, case.pick("plan/shards/*.jsonl"), delete=0.3)


def record_lost_above(case: Case) -> None:
    """Lose the record of a stage whose outcome later stages read."""
    stage = case.rng.choice(["ingest", "reconstruct", "segment"])
    path = case.pick(f"store/{stage}/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    unit = case.rng.choice([json.loads(line).get("unit") or "sub-0001" for line in lines])
    path.write_bytes(b"".join(line for line in lines if f'"{unit}"'.encode() not in line))


def images_removed(case: Case) -> None:
    """Remove all images of ingest, as if to save room."""
    for folder in case.root.glob("derivatives/*/ingest"):
        shutil.rmtree(folder)


def inventory_spoilt(case: Case) -> None:
    """Lose or garble what tells the damage, and damage something on top."""
    for _ in range(3):
        _spoil(case, case.pick("store/inventory/**/*.tsv"), delete=0.5)
    manifest_spoilt(case)


def share_lost(case: Case) -> None:
    if case.rng.random() < 0.5:
        shutil.rmtree(case.root / "share")
    else:
        _spoil(case, case.pick("share/**/*.*"), delete=0.5)


def report_lost(case: Case) -> None:
    if case.rng.random() < 0.3:
        shutil.rmtree(case.root / "report")
    else:
        _spoil(case, case.pick("report/**/*.html"), delete=0.5)


def _spoil(case: Case, path: Path, *, delete: float = 0.0) -> None:
    """Delete a file, cut it short, or change some of its bytes."""
    data = path.read_bytes()
    if case.rng.random() < delete:
        path.unlink()
    elif len(data) < 30 or case.rng.random() < 0.5:
        path.write_bytes(data[: case.rng.randrange(max(len(data), 1))])
    else:
        path.write_bytes(flip(case.rng, data))


_ANY = ("finished", "changed")
#: Fault -> states of the study that it can hit.
DAMAGE_FAULTS: dict[Callable[[Case], None], tuple[str, ...]] = {
    deleted_derivative: _ANY,
    truncated_derivative: _ANY,
    changed_derivative: _ANY,
    swapped_derivative: _ANY,
    table_lost_or_spoilt: ("finished",),
    all_tables_deleted: ("finished",),
    manifest_spoilt: _ANY,
    plan_spoilt: _ANY,
    plan_line_lost: _ANY,
    plan_shard_spoilt: _ANY,
    record_lost_above: _ANY,
    images_removed: ("changed",),
    inventory_spoilt: _ANY,
    share_lost: ("finished",),
    report_lost: ("finished",),
}
#: Those after which the whole study is run, not only its tables.
WHOLE_FAULTS = frozenset({share_lost, report_lost, all_tables_deleted})
