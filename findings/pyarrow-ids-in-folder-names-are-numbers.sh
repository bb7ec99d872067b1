#!/usr/bin/env bash
# Subject ids lose their zeros when pyarrow reads a table back that it split by subject or site.
#
# Version    pyarrow 26.0.1, pandas 2.3.3
# Behaviour  A table with the text column sub (0012, 0107) is written with partition_cols=["sub"], one
#            folder per subject. Read back, sub is 12 and 107; one more subject named 01B7
#            makes all of them text again, zeros included.
# Output     2 subjects: [12, 107]; with 01B7: ['0012', '0107', '01B7']
#            joined with a table of ids by text: 0 of 2 subjects; with the type given: 2
# Source     Arrow issue 39660 (open since 2024: leading zeros of partitions are lost; the type is
#            guessed from the names of the folders found).
# Consequence A shard of a study reads as numbers, the whole as text: a left join of 2 subjects with their
#            attributes finds none and leaves NaN, a concat holds both 12 and "0012". Give the partition's
#            type, or write ids with a prefix.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyarrow==26.0.1 pandas==2.3.3 numpy==2.4.6
env/bin/python - <<'PY'
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def read_back(folder, ids):
    """The subjects of a table that was written with a folder for each."""
    table = pa.table({"sub": ids, "volume_ml": [100.0 + i for i in range(len(ids))]})
    pq.write_to_dataset(table, folder, partition_cols=["sub"])
    return pq.read_table(folder)["sub"].to_pylist()


two, three = read_back("two", ["0012", "0107"]), read_back("three", ["0012", "0107", "01B7"])
print(f"2 subjects: {two}; with 01B7: {three}")
people = pd.DataFrame({"sub": ["0012", "0107"], "sex": ["F", "M"]})
read = pd.read_parquet("two").astype({"sub": object})
found = read.merge(people, on="sub", how="left")["sex"].notna().sum()
typed = ds.partitioning(pa.schema([("sub", pa.string())]), flavor="hive")
given = pq.read_table("two", partitioning=typed).to_pandas()
right = given.merge(people, on="sub", how="left")["sex"].notna().sum()
print(
    f"joined with a table of ids by text: {found} of {len(read)} subjects; "
    f"with the type given: {right}"
)
assert two == [12, 107], "ids stay text now"
assert three == ["0012", "0107", "01B7"] and (found, right) == (0, 2)
PY
