#!/usr/bin/env bash
# Weighted kappa of two readers depends on whether anybody gave a grade that neither of them gave.
#
# Version    scikit-learn 1.9.1, numpy 2.4.6
# Behaviour  Two readers grade ten scans from 1 to 5; no scan gets a 2 or a 3. cohen_kappa_score
#            weights disagreement by the distance in the list of grades that occur, so that 1 and 4
#            are neighbours as 4 and 5 are. Only with labels=[1, 2, 3, 4, 5] is it the distance in
#            grades.
# Output     quadratic 0.769 without labels, 0.811 with all five; linear 0.659, 0.722
# Source     scikit-learn's documentation of cohen_kappa_score (weights: none, linear, quadratic);
#            Cohen 1968 defines the weights by the categories of the scale.
# Consequence The agreement of image-quality grades or Likert scores differs between two sites, or
#            between two bootstrap samples of one, by which grades happened to occur. The scale has
#            to be given.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
env/bin/python -W error - <<'PY'
import numpy as np
from sklearn.metrics import cohen_kappa_score

one = np.array([1, 1, 1, 4, 4, 5, 5, 1, 4, 5])
two = np.array([1, 1, 4, 4, 5, 5, 4, 1, 4, 5])
scale = [1, 2, 3, 4, 5]


def by_hand(power):
    """One minus the disagreement seen over that expected, weights by the distance in grades."""
    apart = np.abs(np.subtract.outer(one, two)) ** power
    return 1 - np.diag(apart).mean() / apart.mean()


seen = {}
for name, power in (("quadratic", 2), ("linear", 1)):
    bare = cohen_kappa_score(one, two, weights=name)
    given = cohen_kappa_score(one, two, weights=name, labels=scale)
    seen[name] = (bare, given)
    assert np.isclose(given, by_hand(power))
    assert abs(bare - given) > 0.03, "grades are weighted by their distance now"
print(
    "quadratic {:.3f} without labels, {:.3f} with all five; ".format(*seen["quadratic"])
    + "linear {:.3f}, {:.3f}".format(*seen["linear"])
)
PY
