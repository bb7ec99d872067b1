#!/usr/bin/env bash
# The variance that lifelines gives with a restricted mean does not shrink with more subjects.
#
# Version    lifelines 0.30.3, numpy 2.4.6, pandas 2.3.3
# Behaviour  restricted_mean_survival_time(..., return_variance=True) gives the variance of one
#            subject's time up to the limit, not that of the estimated mean: 1.8 years as its root
#            for 50 subjects and for 5,000. The standard error, seen over 300 samples, is 0.26 and
#            0.026.
# Output     50 subjects: root of the variance 1.79, standard error 0.25
#            5000 subjects: root of the variance 1.79, standard error 0.03
# Source     lifelines/utils: the variance is the expected square less the squared mean of the
#            survival curve; the documentation does not describe return_variance. Royston and
#            Parmar, BMC Med Res Methodol 2013, which it cites, give the variance of the estimate.
# Consequence Taken as the variance of the estimate, it makes an interval 7 times (50 subjects) or
#            70 times (5,000) too wide: no difference between groups is ever found. Bootstrap, or
#            use the formula of the paper.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  lifelines==0.30.3 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
env/bin/python -W ignore - <<'PY'
import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

rng = np.random.default_rng(0)
for n in (50, 5000):
    curve = KaplanMeierFitter().fit(rng.exponential(5, n))
    mean, variance = restricted_mean_survival_time(curve, t=5, return_variance=True)
    means = [np.minimum(rng.exponential(5, n), 5).mean() for _ in range(300)]
    root, error = float(np.sqrt(variance)), float(np.std(means))
    print(f"{n} subjects: root of the variance {root:.2f}, standard error {error:.2f}")
    assert abs(mean - 5 * (1 - np.exp(-1))) < 5 * error
    assert 1.6 < root < 2.0, "the variance is that of the estimate now"
    assert error < 0.35 * (50 / n) ** 0.5
PY
