#!/usr/bin/env bash
# neuroCombat: one subject alone at a site, or one missing value, and every value of the study is NaN.
#
# Version    neuroCombat 0.2.12 (PyPI), numpy 2.4.6, pandas 3.1.1
# Behaviour  Harmonising five volumes of 21 subjects, ten at each of two sites and one at a third: the
#            result is NaN for all 21 subjects, not only for the one whose site has no variance. With
#            one missing value of one subject in one volume (two sites, 20 subjects): NaN in all five
#            volumes of all 20. No error is raised in either case.
# Output     one subject alone: 105 of 105 values are NaN
#            one missing value: 100 of 100 values are NaN
# Source     neuroCombat README (github.com/Jfortin1/neuroCombat); neither a least site size nor missing
#            values are named there. The empirical priors pool over all features of a site, and the
#            standardisation pools over all sites.
# Consequence A site with one scanned volunteer, or one failed structure, empties the whole table; code
#            that drops incomplete rows afterwards is left with no subjects. Sites and missing values
#            have to be sorted out, and reported, before the call.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  neuroCombat==0.2.12 numpy==2.4.6 pandas==3.1.1
env/bin/python -W ignore - <<'PY'
import contextlib, io

import numpy as np
import pandas as pd
from neuroCombat import neuroCombat

rng = np.random.default_rng(0)
site = np.repeat([1, 2, 3], [10, 10, 1])
people = pd.DataFrame({"site": site, "age": rng.normal(60, 8, 21)})
volumes = rng.normal(100, 10, (5, 21)) + 5 * site


def harmonised(values, rows):
    with contextlib.redirect_stdout(io.StringIO()):
        return neuroCombat(
            dat=values.copy(), covars=rows, batch_col="site", continuous_cols=["age"]
        )["data"]


assert np.isfinite(harmonised(volumes[:, :20], people[:20])).all()
alone = np.isnan(harmonised(volumes, people))
print(f"one subject alone: {alone.sum()} of {alone.size} values are NaN")
volumes[0, 3] = np.nan
missing = np.isnan(harmonised(volumes[:, :20], people[:20]))
print(f"one missing value: {missing.sum()} of {missing.size} values are NaN")
assert alone.all() and missing.all(), "no longer everything"
PY
