#!/usr/bin/env bash
# A subject without a measurement counts as enlarged: in polars and DuckDB, NaN is larger than 200.
#
# Version    polars 2.1.0, duckdb 2.0.1, pandas 3.1.1, pyarrow 26.0.1
# Behaviour  Four subjects with 150, 210, NaN and 140 mL. `v > 200` holds for one of them in pandas
#            and pyarrow, for two in polars and DuckDB, which order NaN above every number. DuckDB
#            finds one again if pandas wrote the Parquet file, because pandas stores NaN as null,
#            and two if polars wrote it. The largest value is 210 in polars and NaN in DuckDB, whose
#            median of the same column is 150 or 180.
# Output     above 200 mL: pandas 1, pyarrow 1, polars 2, DuckDB 1 (pandas' file) or 2 (polars')
#            DuckDB, median: 150 (pandas' file), 180 (polars' file)
# Source     IEEE 754 (every ordered comparison with NaN is false). DuckDB's page on numeric types
#            and polars' page on missing data describe their own order.
# Consequence Failed measurements are written as NaN by most image analyses. Counts of dilated
#            ventricles, cohorts chosen by a threshold and medians contain them, and depend on which
#            library wrote the table. Turn NaN into null first (fill_nan(None), nullif(v, 'nan')).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
env/bin/python - <<'PY'
import math

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

volumes = [150.0, 210.0, float("nan"), 140.0]
by_pandas, by_polars = pd.DataFrame({"v": volumes}), pl.DataFrame({"v": volumes})
by_pandas.to_parquet("pandas.parquet")
by_polars.write_parquet("polars.parquet")


def query(what, writer):
    return duckdb.sql(f"select {what} from '{writer}.parquet'").fetchall()[0][0]


above = {
    "pandas": int((by_pandas.v > 200).sum()),
    "pyarrow": pc.sum(pc.greater(pa.array(volumes), 200)).as_py(),
    "polars": by_polars.filter(pl.col("v") > 200).height,
    "DuckDB, pandas' file": query("count(*) filter (v > 200)", "pandas"),
    "DuckDB, polars' file": query("count(*) filter (v > 200)", "polars"),
}
medians = query("median(v)", "pandas"), query("median(v)", "polars")
largest = by_polars["v"].max(), query("max(v)", "polars")
print("above 200 mL:", above)
print("median in DuckDB: {:.0f} (pandas' file), {:.0f} (polars' file)".format(*medians))
print("largest: polars {}, DuckDB {}".format(*largest))
assert list(above.values()) == [1, 1, 2, 1, 2], "NaN is not above 200 any more"
assert medians == (150, 180) and largest[0] == 210 and math.isnan(largest[1])
cleaned = by_polars.with_columns(pl.col("v").fill_nan(None)).filter(pl.col("v") > 200).height
nulled = query("count(*) filter (nullif(v, 'nan') > 200)", "polars")
assert cleaned == nulled == 1
PY
