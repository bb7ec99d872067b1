#!/usr/bin/env bash
# A zero in a SAS transport file is not equal to zero in pandas: it is 5.4e-79.
#
# Version    pandas 3.1.1, pyreadstat 1.3.7
# Behaviour  A column of 0, 1, 2 and a missing value in an XPORT file of version 5. pandas.read_sas
#            gives 5.397605e-79 for the zero, without a message; pyreadstat gives 0. The others
#            agree. Printed beside other values it is hard to see, and `== 0` finds no row.
# Output     pandas 5.397605346934028e-79, 1, 2, missing; pyreadstat 0, 1, 2, missing
#            rows equal to 0: pandas 0, pyreadstat 1
# Source     SAS technical support paper TS-140 (a zero is eight bytes of zeros); pandas issues
#            30051 and 50670 (open).
# Consequence Surveys such as NHANES are published as XPORT files. Where 0 means "never smoked" or
#            "no children", the group is empty; `> 0` counts everybody, bool() is True, and a
#            logarithm is -180 where it should be undefined.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pandas==3.1.1 pyreadstat==1.3.7 numpy==2.4.6
env/bin/python - <<'PY'
import math
import warnings

import numpy as np
import pandas as pd
import pyreadstat

table = pd.DataFrame({"smoked": [0.0, 1.0, 2.0, np.nan]})
pyreadstat.write_xport(table, "survey.xpt", file_format_version=5)
with warnings.catch_warnings():
    warnings.simplefilter("error")
    by_pandas = pd.read_sas("survey.xpt", format="xport").smoked
by_pyreadstat = pyreadstat.read_xport("survey.xpt")[0].smoked
print("pandas", by_pandas.tolist(), "equal to 0:", int((by_pandas == 0).sum()))
print("pyreadstat", by_pyreadstat.tolist(), "equal to 0:", int((by_pyreadstat == 0).sum()))
assert by_pandas[0] == 5.397605346934028e-79, "zero is zero now"
assert (by_pandas == 0).sum() == 0 and (by_pandas > 0).sum() == 3 and bool(by_pandas[0])
assert round(math.log(by_pandas[0])) == -180
assert (by_pyreadstat == 0).sum() == 1 and by_pyreadstat[:3].tolist() == [0, 1, 2]
assert by_pandas[1:3].tolist() == [1, 2] and by_pandas.isna().sum() == 1
assert by_pyreadstat.isna().sum() == 1
with open("survey.xpt", "rb") as file:
    assert b"\0" * 8 in file.read()[-80:], "the file has no zero"
PY
