#!/usr/bin/env bash
# The more structures a model misses, the better its HD95 by MONAI: missed ones are left out.
#
# Version    monai 1.6.1, torch 2.13.0
# Behaviour  Three subjects: in one the structure is found, a pixel off; in one it is missed; in one
#            it is found where it is not. HausdorffDistanceMetric gives 1, inf and inf, a mean of
#            inf. With percentile=95 it gives 1, NaN and NaN, and aggregate() leaves NaN out: a mean
#            of 1. The surface Dice of the same subjects is 1, 0 and 0. No warning differs between
#            the two.
# Output     Hausdorff distance: mean inf; HD95: mean 1.0 of 1 subject; surface Dice: mean 0.33
# Source     MONAI's documentation names percentile as another percentile of the same distances;
#            MONAI issue 9095 (open: the percentile interpolates between two infinite values).
# Consequence Of two models, the one that finds nothing in difficult subjects wins, and a paper that
#            reports HD95 in place of the Hausdorff distance does not see it. Set get_not_nans=True
#            and report how many subjects each mean is of.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  torch==2.13.0 monai==1.6.1 numpy==2.4.6 scipy==1.17.1
env/bin/python - <<'PY'
import math
import warnings

import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric

truth, prediction = torch.zeros(2, 3, 1, 16, 16)
truth[0, 0, 4:9, 4:9] = prediction[0, 0, 4:9, 5:10] = 1
truth[1, 0, 4:9, 4:9] = 1
prediction[2, 0, 4:9, 4:9] = 1


def measured(metric):
    """Values by subject, the mean, how many it is of, and MONAI's warnings."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        values = metric(prediction, truth).flatten().tolist()
        mean, counted = metric.aggregate()
    return values, float(mean), int(counted), sorted({str(w.message) for w in heard})


options = {"include_background": True, "get_not_nans": True}
plain = measured(HausdorffDistanceMetric(**options))
percentile = measured(HausdorffDistanceMetric(percentile=95, **options))
surface = measured(SurfaceDiceMetric([1.0], **options))
for name, result in (("Hausdorff", plain), ("HD95", percentile), ("surface Dice", surface)):
    print(name, result[0], f"mean {result[1]:.2f} of {result[2]}")
assert plain[0] == [1.0, math.inf, math.inf] and plain[1] == math.inf
assert percentile[0][0] == 1.0
assert all(math.isnan(value) for value in percentile[0][1:]), "the percentile is inf now"
assert percentile[1] == 1.0 and percentile[2] == 1
assert surface[0] == [1.0, 0.0, 0.0] and round(surface[1], 2) == 0.33
assert plain[3] == percentile[3], "a warning marks the difference now"
PY
