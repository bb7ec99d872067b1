"""Multiply the tables of a study that study_writer.py wrote and popscan collected.

Writing the records of 100,000 subjects takes a quarter of an hour of CPU time, and only `collect`
reads them. This repeats the collected tables with other names of subjects, and numbers that vary by
1%, for `associate`, `fairness` and `report` alone.

    python benchmarks/study_writer.py /tmp/few --subjects 10000
    popscan collect --study /tmp/few/results/large --options /tmp/few/given/collect.json
    python benchmarks/study_multiply.py /tmp/few /tmp/many --times 4
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: What `associate` and `fairness` make themselves.
_MADE_LATER = ("fairness", "interval_coverage", "associations", "precision", "reference_ranges")
_SPREAD = 0.01


def varied(table: pa.Table, copy: int, rng: np.random.Generator) -> pa.Table:
    """Return a table with the subjects and the numbers of a copy; copy 0 is the table itself."""
    if copy == 0:
        return table
    for place, field in enumerate(table.schema):
        column = table[field.name]
        if field.name in ("unit", "sub"):
            column = pc.replace_substring_regex(column, "^sub-", f"sub-{copy:02d}")
        elif pa.types.is_float64(field.type):
            numbers = column.to_numpy()
            factors = np.exp(_SPREAD * rng.standard_normal(len(numbers)))
            with np.errstate(invalid="ignore"):
                whole = (numbers == np.round(numbers)) | ~np.isfinite(numbers)
            new = np.where(whole, numbers, numbers * factors)
            if field.name.endswith("_pct"):
                new = np.minimum(new, 100.0)
            column = pa.array(new, mask=np.isnan(numbers))
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
    parser.add_argument("--times", type=int, default=4)
    arguments = parser.parse_args()
    multiply(arguments.folder, arguments.out, times=arguments.times)


if __name__ == "__main__":
    main()
