#!/usr/bin/env bash
# One missing p value, and statsmodels' corrected p values of a whole study are missing.
#
# Version    statsmodels 0.15.0, numpy 2.4.6, scipy 1.17.1
# Behaviour  p values 0.001, 0.01, 0.02 and 0.5, and one test that could not be done (NaN). With
#            fdr_bh, fdr_by, hommel and simes-hochberg all corrected p are NaN, while `reject` of
#            the same call of fdr_bh still marks three. With holm and bonferroni the missing test is
#            counted, so the others are multiplied by five in place of four, and a finding is lost.
#            No warning.
# Output     without the missing one: fdr_bh 0.004 0.02 0.0267 0.5, 3 rejected; holm 0.004 0.03 0.04 0.5,
#            3 rejected
#            with it: fdr_bh nan nan nan nan nan, 3 rejected; holm 0.005 0.04 0.06 nan 1, 2 rejected
# Source     statsmodels issue 2899 (open). Benjamini and Hochberg 1995 define the procedure over
#            the tests that were done.
# Consequence In an audit of many groups, one group too small to be tested erases every finding, as
#            a comparison of NaN with 0.05 is False. Take missing tests out before the correction,
#            and put them back as missing.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
env/bin/python -W error - <<'PY'
import numpy as np
from statsmodels.stats.multitest import multipletests

done = np.array([0.001, 0.01, 0.02, 0.5])
missing = np.array([0.001, 0.01, 0.02, np.nan, 0.5])
for name, p in (("without the missing one", done), ("with it", missing)):
    parts = []
    for method in ("fdr_bh", "holm"):
        reject, corrected = multipletests(p, method=method)[:2]
        shown = " ".join(f"{v:.3g}" for v in corrected)
        parts.append(f"{method} {shown}, {reject.sum()} rejected")
    print(f"{name}: " + "; ".join(parts))
for method in ("fdr_bh", "fdr_by", "hommel", "simes-hochberg"):
    assert np.isfinite(multipletests(done, method=method)[1]).all()
    corrected = multipletests(missing, method=method)[1]
    assert np.isnan(corrected).all(), f"{method} treats NaN otherwise now"
assert np.allclose(multipletests(done, method="holm")[1], [0.004, 0.03, 0.04, 0.5])
known = ~np.isnan(missing)
corrected = multipletests(missing, method="holm")[1]
assert np.allclose(corrected[known], [0.005, 0.04, 0.06, 1.0]), "holm treats NaN otherwise now"
PY
