"""Bytes, files and folders per subject of a study that was run, stage by stage.

Beside what the disk holds stands what it would hold if content that stages share (hard links) were
stored by each of them, as before; what lies in archives counts as files there.

    make demo && python benchmarks/disk.py results/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

from popscan.archive import Archive
from popscan.commands.estimate import DiskUse
from popscan.plan import read_shards
from popscan.stages import SUBJECT_STAGES
from popscan.store import Store


def main() -> None:
    """Print one line per stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    root = parser.parse_args().study
    store, shards, disk = Store(root), read_shards(root), DiskUse(root)
    print(f"{'stage':<12}{'inodes':>8}{'MB':>9}{'inodes unshared':>17}{'MB unshared':>13}")
    totals = [0.0] * 4
    for stage in SUBJECT_STAGES:
        records = [r["files"] for shard in shards for r in store.read_manifest(stage, shard)]
        archives = [Archive(root, stage, shard) for shard in shards]
        packed = [size for archive in archives for size in archive.sizes.values()]
        if not any(records) and not packed:
            continue
        inodes, n_bytes = disk.added(records, archives)
        folders = (sum(map(bool, records)) + _n_folders(archives)) * (2 if not totals[0] else 1)
        n_files = sum(map(len, records)) + len(packed)
        plain = sum(sum(sizes.values()) for sizes in records) + sum(packed)
        row = [v / len(records) for v in (inodes, n_bytes / 1e6, n_files + folders, plain / 1e6)]
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        print(_line(stage, row))
    print(_line("in all", totals))


def _n_folders(archives: list[Archive]) -> int:
    return len({name.rpartition("/")[0] for archive in archives for name in archive.sizes})


def _line(name: str, row: list[float]) -> str:
    return f"{name:<12}{row[0]:>8.2f}{row[1]:>9.2f}{row[2]:>17.2f}{row[3]:>13.2f}"


if __name__ == "__main__":
    main()
