#!/usr/bin/env bash
# neuroHarmonize applies a model to covariates by their position: age and sex exchanged, no error.
#
# Version    neuroHarmonize 2.4.5, neuroCombat 0.2.12, numpy 2.4.6, pandas 2.3.3
# Behaviour  A model is learned with the columns SITE, AGE, SEX and applied to the same subjects
#            with SITE, SEX, AGE. Only SITE is looked up by name; the other columns are multiplied
#            with the coefficients in the order in which they stand. (Columns of other names work as
#            well.)
# Output     same order: differs from training by 0.0; other order: by 6.9 on average, of values near 96;
#            other names: by 0.0
# Source     neuroHarmonize/harmonizationApply.py (num_cols are positions); the README asks for a
#            DataFrame with a column SITE and says nothing of the order of the others.
# Consequence A held-out cohort whose table was joined in another order is "harmonised" to values
#            that look like volumes and follow the wrong covariate. Take the columns by name, from a
#            list that is stored with the model.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  neuroHarmonize==2.4.5 neuroCombat==0.2.12 statsmodels==0.15.0 nibabel==5.4.2 \
  numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 patsy
env/bin/python - <<'PY'
import warnings

import numpy as np
import pandas as pd
from neuroHarmonize import harmonizationApply, harmonizationLearn

rng = np.random.default_rng(0)
table = pd.DataFrame({
    "SITE": rng.choice(["a", "b"], 80), "AGE": rng.uniform(45, 80, 80),
    "SEX": rng.integers(0, 2, 80).astype(float),
})
values = 100 + rng.normal(size=(80, 4)) - 0.1 * table[["AGE"]].to_numpy()
values += 3 * table[["SEX"]].to_numpy() + 2 * (table[["SITE"]] == "b").to_numpy()
model, trained = harmonizationLearn(values, table)
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    same, moved, renamed = (
        float(np.abs(harmonizationApply(values, given, model) - trained).mean())
        for given in (
            table, table[["SITE", "SEX", "AGE"]], table.rename(columns={"AGE": "x", "SEX": "y"})
        )
    )
assert not heard, [str(w.message) for w in heard]
print(
    f"same order: differs from training by {same:.1f}; other order: by {moved:.1f} on average, of "
    f"values near {values.mean():.0f}; other names: by {renamed:.1f}"
)
assert same < 1e-9 and renamed < 1e-9
assert moved > 5, "covariates are taken by name now"
PY
