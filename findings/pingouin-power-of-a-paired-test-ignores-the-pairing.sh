#!/usr/bin/env bash
# The achieved power of a paired t test is that of pairs correlated by one half, whatever they are.
#
# Version    pingouin 0.7.0, scipy 1.17.1
# Behaviour  ttest(..., paired=True) reports a Cohen's d over the standard deviation of the two
#            visits, not of the differences, and puts this d into the power of a paired test, which
#            needs the other one. So 30 pairs that differ by half a deviation have "power" 0.75 at
#            every correlation. p and T, two columns to the left, are of the pairs.
# Output     correlation 0.0: power 0.754, true 0.465 (simulated 0.46), p 0.063
#            correlation 0.5: power 0.754, true 0.754 (simulated 0.75), p 0.010
#            correlation 0.9: power 0.754, true 1.000 (simulated 1.00), p 0.000001
# Source     pingouin's documentation of ttest ("achieved power of the test") and of power_ttest
#            ("paired" behaves as "one-sample", so d is that of the differences); Lakens, Frontiers
#            in Psychology 4:863, 2013, on the two kinds of d.
# Consequence A pilot of scans and rescans that takes its number of subjects from this column is too
#            small where visits correlate below 0.5 and several times too large where they
#            correlate as biomarkers do. Compute power from mean and deviation of the differences.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pingouin==0.7.0 scipy==1.17.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import pingouin
from scipy import stats

rng = np.random.default_rng(0)
PAIRS = 30


def rooted(correlation):
    return np.linalg.cholesky(np.array([[1, correlation], [correlation, 1]]))


for correlation in (0.0, 0.5, 0.9):
    # pairs whose means differ by 0.5, with deviations of 1 and exactly this correlation
    values = rng.normal(size=(PAIRS, 2))
    values -= values.mean(0)
    values = values @ np.linalg.inv(rooted(0) @ np.linalg.cholesky(np.cov(values.T))).T
    values = values @ rooted(correlation).T + [0, 0.5]
    row = pingouin.ttest(values[:, 0], values[:, 1], paired=True).iloc[0]
    of_differences = 0.5 / np.sqrt(2 - 2 * correlation)
    true = pingouin.power_ttest(d=of_differences, n=PAIRS, contrast="paired")
    many = rng.normal(size=(4000, PAIRS, 2)) @ rooted(correlation).T + [0, 0.5]
    simulated = (stats.ttest_rel(many[..., 0], many[..., 1], axis=1).pvalue < 0.05).mean()
    print(
        f"correlation {correlation}: power {row['power']:.3f}, true {true:.3f} "
        f"(simulated {simulated:.2f}), p {row['p_val']:.6f}"
    )
    assert abs(row["power"] - 0.754) < 0.001, "power is that of the differences now"
    assert abs(simulated - true) < 0.03
PY
