"""What was written is known: what is lost or changed since is seen, and nothing else."""

from __future__ import annotations

import os
import shutil

import pytest

from popscan.disk import write_atomic
from popscan.inventory import (
    checksum_of,
    damaged_files,
    damaged_outputs,
    inventoried,
    inventory_path,
    is_small,
    read_inventory,
    stamp_of,
    write_inventory,
)

OUTPUT = "tables/ledger.parquet"


@pytest.fixture
def written(tmp_path):
    """Write a study of three tables, written as a command of the workflow writes them."""
    with inventoried(tmp_path, tmp_path / OUTPUT):
        for name in ("ledger.parquet", "ledger.tsv", "qc.tsv"):
            write_atomic(tmp_path / "tables" / name, name.encode())
    return tmp_path


def test_what_stands_is_not_made_again(written):
    assert len(read_inventory(written, OUTPUT)) == 3
    assert damaged_outputs(written, subject_files=True) == {}
    assert damaged_outputs(written, subject_files=True, content=True) == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:3]),
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        lambda path: shutil.copy(path.parent / "ledger.tsv", path),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: shutil.rmtree(path.parent),
    ],
)
def test_lost_and_changed_files_name_their_output(written, damage):
    damage(written / "tables" / "qc.tsv")
    (files,) = damaged_outputs(written, subject_files=False).values()
    assert "tables/qc.tsv" in files


def test_files_that_come_and_go_while_an_output_is_made_are_not_its_own(tmp_path):
    """A job that reads packed or removed files has their records and inventories written anew."""
    with inventoried(tmp_path / "study", tmp_path / "study" / OUTPUT):
        for name in (
            "study/manifests/qc/0.parquet", "study/store/qc/0.jsonl", "study/archives/qc/0.zip",
            "study/derivatives/sub-1/qc/a.json", "copies/a.json", f"study/{OUTPUT}",
        ):  # fmt: skip
            write_atomic(tmp_path / name, b"text")
    names = [entry.name for entry in read_inventory(tmp_path / "study", OUTPUT)]
    assert names == [OUTPUT]


def test_another_time_alone_is_a_doubt_that_the_content_settles(written):
    os.utime(written / "tables" / "qc.tsv", (1, 1))
    assert damaged_outputs(written, subject_files=True) == {}


def test_content_changed_with_size_and_time_kept_is_seen_by_a_deep_look(written):
    path = written / "tables" / "qc.tsv"
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert damaged_outputs(written, subject_files=True) == {}
    assert damaged_outputs(written, subject_files=True, content=True) == {OUTPUT: ["tables/qc.tsv"]}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"1\t2\tzz", b"\xff\xfe\n"])
def test_an_output_whose_inventory_is_damaged_is_made_again(written, content):
    inventory_path(written, OUTPUT).write_bytes(content)
    assert damaged_outputs(written, subject_files=False) == {OUTPUT: [OUTPUT]}


def test_a_manifest_without_inventory_is_made_again(tmp_path):
    path = tmp_path / "manifests" / "qc" / "00000.parquet"
    write_atomic(path, b"x")
    assert list(damaged_outputs(tmp_path, subject_files=False)) == ["manifests/qc/00000.parquet"]


def test_files_of_subjects_are_looked_at_only_where_asked(tmp_path):
    image = tmp_path / "derivatives" / "sub-1" / "image"
    write_atomic(image, b"image")
    whole = tmp_path / "manifests" / "qc" / "00000.parquet"
    write_atomic(whole, b"x")
    name = "manifests/qc/00000.parquet"
    write_inventory(tmp_path, name, [whole], {"derivatives/sub-1/image": stamp_of(image)})
    assert is_small(tmp_path)
    image.unlink()
    assert damaged_files(tmp_path, name, subject_files=False) == []
    assert damaged_files(tmp_path, name, subject_files=True) == ["derivatives/sub-1/image"]


def test_checksum_is_of_all_of_a_file(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(3_000_000))
    first = checksum_of(path)
    path.write_bytes(bytes(2_999_999) + b"\1")
    assert checksum_of(path) != first
