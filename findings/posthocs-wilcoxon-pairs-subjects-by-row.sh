#!/usr/bin/env bash
# The order of a table's rows decides which subjects scikit-posthocs pairs, and so what is found.
#
# Version    scikit-posthocs 0.17.1, scipy 1.17.1
# Behaviour  posthoc_wilcoxon is the signed-rank test of pairs. It takes the first row of one group
#            with the first row of the other, and so on; there is no argument for who is who. The
#            same measurements in another order give other p values, without a warning. Only groups
#            of different sizes raise an error.
# Output     20 scans by readers A and B, paired by scan (scipy): p 0.000002
#            the table in the order of scans: p 0.000002; 200 other orders: 0.06 to 0.73
# Source     documentation of posthoc_wilcoxon ("pairwise Wilcoxon signed-rank test"), whose
#            arguments are the values, the groups, method, zero_method, correction, p_adjust, sort.
# Consequence After a merge or a sort by another column, comparisons of readers, vendors or visits
#            are of random pairs. Use scipy.stats.wilcoxon on a table with one row per subject.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  scikit-posthocs==0.17.1 scipy==1.17.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import stats

rng = np.random.default_rng(2)
scans = rng.normal(0, 1, 20)  # what is measured differs between scans much more than between readers
table = pd.concat(
    pd.DataFrame({"scan": range(20), "reader": name, "value": scans + shift + rng.normal(0, 0.1, 20)})
    for name, shift in (("A", 0.0), ("B", 0.3), ("C", 0.3))
)


def p_of(rows):
    found = scikit_posthocs.posthoc_wilcoxon(rows, val_col="value", group_col="reader")
    return float(found.loc["A", "B"])


wide = table.pivot(index="scan", columns="reader", values="value")
right = float(stats.wilcoxon(wide.A, wide.B).pvalue)
ordered = p_of(table)
shuffled = [p_of(table.sample(frac=1, random_state=seed)) for seed in range(200)]
print(f"by scan {right:.6f}; table in the order of scans {ordered:.6f}")
print(f"200 orders of its rows: {min(shuffled):.4f} to {max(shuffled):.4f}, "
      f"median {np.median(shuffled):.4f}")
assert ordered == right < 1e-4
assert max(shuffled) > 0.5 and np.median(shuffled) > 0.05, "rows are joined by subject now"
PY
