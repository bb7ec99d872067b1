"""Multiply a study that study_writer.py wrote: its manifests, or its collected tables.

Writing the records of 100,000 subjects one by one takes a quarter of an hour of CPU time. This
repeats what a study of fewer has, with other names of subjects, and numbers that vary by 1%.

With ``--subjects`` manifests, plan and benchmark files are repeated: a study that `collect` can
read, 9 CPU-s for 11,008 subjects in seven stages. It has no journals, which no job of
the whole study reads. Only the full shards are repeated, so that the number is rounded up to one of
whole shards.

    python benchmarks/study_writer.py /tmp/few --subjects 10000
    python benchmarks/study_multiply.py /tmp/few /tmp/many --subjects 100000

With ``--times`` the collected tables are repeated, for `associate`, `fairness` and `report` alone.

    popscan collect --study /tmp/few/results/large --options /tmp/few/given/collect.json
    python benchmarks/study_multiply.py /tmp/few /tmp/many --times 4
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from popscan.inventory import write_inventory
from popscan.plan import Planned, read_shard, read_shards, write_plan
from popscan.store import Store

#: What `associate` and `fairness` make themselves.
_MADE_LATER = ("fairness", "interval_coverage", "associations", "precision", "reference_ranges")
_SPREAD = 0.01
#: Numbers of the cohort table that vary.
_VARIED = ("age_years", "height_cm", "weight_kg", "hr_bpm")


def _renamed(unit: str, copy: int) -> str:
    return unit.replace("sub-", f"sub-{copy:02d}", 1) if copy else unit


def _numbers(column: pa.Array, rng: np.random.Generator, *, most: float = np.inf) -> pa.Array:
    """Vary what is not whole."""
    numbers = column.to_numpy(zero_copy_only=False)
    factors = np.exp(_SPREAD * rng.standard_normal(len(numbers)))
    with np.errstate(invalid="ignore"):
        whole = (numbers == np.round(numbers)) | ~np.isfinite(numbers)
    new = np.minimum(np.where(whole, numbers, numbers * factors), most)
    return pa.array(new, mask=np.isnan(numbers))


def _most(name: str, column: pa.Array) -> float:
    """Largest value that a share or a percentage can have."""
    if name.endswith("_pct"):
        return 100.0
    highest = pc.max(column).as_py()
    return 1.0 if highest is not None and 0 < highest <= 1 else np.inf


def _varied_fields(struct: pa.Array, rng: np.random.Generator) -> pa.Array:
    """Vary the numbers of a struct."""
    names = [field.name for field in struct.type]
    if not names:
        return struct
    columns = [
        _numbers(column, rng, most=_most(name, column))
        if pa.types.is_float64(column.type)
        else column
        for name, column in zip(names, struct.flatten(), strict=True)
    ]
    return pa.StructArray.from_arrays(columns, fields=list(struct.type))


def varied_manifest(table: pa.Table, copy: int, rng: np.random.Generator) -> pa.Table:
    """Return a shard's manifest with the subjects and the numbers of a copy."""
    if copy == 0:
        return table
    units = pa.array([_renamed(unit, copy) for unit in table["unit"].to_pylist()])
    values, rows = (table[name].combine_chunks() for name in ("values", "rows"))
    new = {"unit": units}
    if pa.types.is_struct(values.type):
        new["values"] = _varied_fields(values, rng)
    if pa.types.is_struct(rows.type.value_type):
        fields = _varied_fields(rows.flatten(), rng)
        starts = rows.offsets.to_numpy()
        new["rows"] = pa.ListArray.from_arrays(pa.array(starts - starts[0]), fields)
    for name, column in new.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, pa.field(name, column.type), column)
    return table


def _planned(root: Path, shard: str, copy: int, rng: np.random.Generator) -> list[Planned]:
    """Return the subjects of a shard as those of a copy."""
    subjects = []
    for planned in read_shard(root, shard):
        row = dict(planned.subject.row)
        if copy:
            row |= {n: f"{float(row[n]) * rng.normal(1, _SPREAD):.1f}" for n in _VARIED}
        one = replace(planned.subject, sub=_renamed(planned.subject.sub, copy), row=row)
        subjects.append(Planned(subject=one))
    return subjects


def multiply_manifests(folder: Path, out: Path, *, subjects: int) -> int:
    """Write a study whose shards are those of another, repeated; return how many subjects."""
    shutil.copytree(folder / "given", out / "given")
    old, new = (root / "results" / "large" for root in (folder, out))
    size = len(read_shard(old, read_shards(old)[0]))
    full = [shard for shard in read_shards(old) if len(read_shard(old, shard)) == size]
    source = [(full[i % len(full)], i // len(full)) for i in range(-(-subjects // size))]
    rng = np.random.default_rng(0)
    planned = [one for shard, copy in source for one in _planned(old, shard, copy, rng)]
    write_plan(new, planned, shard_size=size)
    stages = sorted(path.name for path in (old / "manifests").iterdir())
    for target, (shard, copy) in zip(read_shards(new), source, strict=True):
        _repeat_shard(Store(old), Store(new), stages, (shard, copy, target), rng)
    return len(planned)


def _repeat_shard(
    old: Store,
    new: Store,
    stages: Sequence[str],
    which: tuple[str, int, str],
    rng: np.random.Generator,
) -> None:
    """Write the manifests of a shard as those of a copy."""
    shard, copy, target = which
    for stage in stages:
        path = new.manifest_path(stage, target)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(old.manifest_path(stage, shard))
        pq.write_table(varied_manifest(table, copy, rng), path)
        write_inventory(new.root, new.manifest_name(stage, target), [path])
        log = new.root / "logs" / stage / f"{target}.benchmark.tsv"
        log.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(old.root / "logs" / stage / f"{shard}.benchmark.tsv", log)


def varied(table: pa.Table, copy: int, rng: np.random.Generator) -> pa.Table:
    """Return a table with the subjects and the numbers of a copy; copy 0 is the table itself."""
    if copy == 0:
        return table
    for place, field in enumerate(table.schema):
        column = table[field.name]
        if field.name in ("unit", "sub"):
            column = pc.replace_substring_regex(column, "^sub-", f"sub-{copy:02d}")
        elif pa.types.is_float64(field.type):
            most = 100.0 if field.name.endswith("_pct") else np.inf
            column = _numbers(column.combine_chunks(), rng, most=most)
        table = table.set_column(place, field, column)
    return table


def multiply(folder: Path, out: Path, *, times: int) -> None:
    """Write a study whose tables are those of another, so many times."""
    shutil.copytree(folder / "given", out / "given")
    old, new = (root / "results" / "large" for root in (folder, out))
    (new / "tables").mkdir(parents=True)
    shutil.copytree(old / "plan", new / "plan")
    rng = np.random.default_rng(0)
    for path in sorted((old / "tables").glob("*.parquet")):
        if path.stem.startswith(_MADE_LATER):
            continue
        shutil.copy(path.with_suffix(".json"), new / "tables")
        table = pq.read_table(path)
        with pq.ParquetWriter(new / "tables" / path.name, table.schema) as writer:
            for copy in range(times):
                writer.write_table(varied(table, copy, rng))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as study_writer.py wrote it, collected")
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    parser.add_argument("--times", type=int, default=4, help="repeat the collected tables")
    parser.add_argument("--subjects", type=int, help="repeat the manifests, to so many subjects")
    arguments = parser.parse_args()
    if arguments.subjects:
        made = multiply_manifests(arguments.folder, arguments.out, subjects=arguments.subjects)
        print(f"{made} subjects")
        return
    multiply(arguments.folder, arguments.out, times=arguments.times)


if __name__ == "__main__":
    main()
