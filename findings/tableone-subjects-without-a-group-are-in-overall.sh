#!/usr/bin/env bash
# Subjects whose group is missing stand in the column Overall, in no other, and are not counted.
#
# Version    tableone 0.9.6, pandas 3.1.1
# Behaviour  With groupby, a subject without a value of that column is left out of every group, and
#            stays in Overall: its n, means and shares. The column Missing counts blanks of the
#            variables, not of the group, and no note says that the groups do not add up.
# Output     n: Overall 200, F 60, M 60; Missing 0; mean volume: Overall 116.0, F 100.0, M 100.0
# Source     tableone's documentation of groupby and of include_null (which makes blanks of
#            variables a category of their own, and says nothing of the group).
# Consequence The first table of a study shows a mean that lies outside of all of its groups, or hides
#            that 40% were not analysed. Give blanks a name of their own before the table is made.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tableone==0.9.6 pandas==3.1.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import pandas as pd
from tableone import TableOne

people = pd.DataFrame(
    {
        "sex": ["F"] * 60 + ["M"] * 60 + [None] * 80,
        "volume": [99.0, 101.0] * 60 + [139.0, 141.0] * 40,
    }
)
table = TableOne(people, columns=["volume"], groupby="sex", missing=True, pval=True).tableone
print(table.to_string())
table.columns = [c[-1] for c in table.columns]
counts, means = table.iloc[0], table.iloc[1]
assert [str(counts[c]) for c in ("Overall", "F", "M")] == ["200", "60", "60"], "groups add up now"
assert str(means["Missing"]) == "0"
assert [str(means[c]).split()[0] for c in ("Overall", "F", "M")] == ["116.0", "100.0", "100.0"]
PY
