#!/usr/bin/env bash
# fairlearn scores a group that cannot be scored: as 0, or as no gap at all.
#
# Version    fairlearn 0.15.0, scikit-learn 1.9.1
# Behaviour  (a) A group without a single positive case has a true positive rate of 0.0 rather than an
#            undefined one, so the equalised-odds difference becomes 1.0, the worst there is, although
#            the model finds every positive case of the other group and raises equally many false
#            alarms in both. (b) Where a metric does give NaN for a group, MetricFrame.difference() and
#            ratio() leave the group out: 0.0 and 1.0, no gap, without a message.
# Output     true positive rate a 0.0, b 1.0; equalised-odds difference 1.0
#            by group a nan, b 0.25, c 0.25; difference 0.0, ratio 1.0
# Source     fairlearn 0.15 user guide, "Assessing common fairness metrics" (equalised odds is defined
#            over the cases with each true label); the rate with no such case is not defined there.
# Consequence A rare group (no event among its 20 members) is reported as the most badly served, or not
#            at all. Groups without positives or negatives have to be listed as not assessable first.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check fairlearn==0.15.0 scikit-learn==1.9.1
env/bin/python - <<'PY'
import warnings

import numpy as np
from fairlearn.metrics import MetricFrame, equalized_odds_difference, true_positive_rate

truth = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 0])
alarm = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 1])
group = np.array(list("aaaabbbbbb"))
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    rate = MetricFrame(
        metrics=true_positive_rate, y_true=truth, y_pred=alarm, sensitive_features=group
    ).by_group
    gap = equalized_odds_difference(truth, alarm, sensitive_features=group)
assert not heard, [str(w.message) for w in heard]
print(f"true positive rate a {rate['a']}, b {rate['b']}; equalised-odds difference {gap}")
assert rate["a"] == 0.0 and rate["b"] == 1.0 and gap == 1.0

half = np.array([1, 1, 1, 0, 0, 1])
three = np.array(list("aabbcc"))
frame = MetricFrame(
    metrics=lambda t, p: float("nan") if t.all() else 0.5 * t.mean(),
    y_true=half, y_pred=half, sensitive_features=three,
)
by = frame.by_group
print(f"by group a {by['a']}, b {by['b']}, c {by['c']}; ", end="")
print(f"difference {frame.difference()}, ratio {frame.ratio()}")
assert np.isnan(by["a"]) and frame.difference() == 0.0 and frame.ratio() == 1.0
PY
