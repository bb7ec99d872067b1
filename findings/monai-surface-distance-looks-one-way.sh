#!/usr/bin/env bash
# MONAI's average surface distance is 0.01 or 1.80 for the same two masks: it looks one way.
#
# Version    monai 1.6.1, torch 2.13.0, surface-distance 0.1 (DeepMind), scipy 1.17.1
# Behaviour  compute_average_surface_distance averages from the prediction to the reference only; the
#            Hausdorff distance of the same module takes both directions. A square of 20 x 20 pixels
#            whose reference has an arm of 2 x 13 that the prediction misses: 0.01. With the arm in the
#            prediction 1.80. symmetric=True gives 1.03 for both.
# Output     arm missed 0.01, arm invented 1.80, symmetric 1.03; Hausdorff 13.0 and 13.0
#            surface-distance, both directions: 1.80 and 0.01
# Source     MONAI's documentation (symmetric is False by default, Hausdorff's directed is False, too);
#            the method's usual name in papers (ASD, ASSD) does not tell which was used.
# Consequence What a network leaves out is free and what it invents is charged: of two networks the one
#            that segments less is the better one. Always pass symmetric=True, and give both directions beside it.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  torch==2.13.0 monai==1.6.1 surface-distance==0.1 scipy==1.17.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import surface_distance
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

square = np.zeros((40, 40), bool)
square[5:25, 5:25] = True
armed = square.copy()
armed[5:7, 25:38] = True
one, two = (torch.tensor(mask[None, None]).float() for mask in (square, armed))


def both(distance, **options):
    """The distance of the two masks, with either of them as the prediction."""
    pairs = ((one, two), (two, one))
    return [float(distance(*pair, include_background=True, **options)) for pair in pairs]


missed, invented = both(compute_average_surface_distance)
symmetric = both(compute_average_surface_distance, symmetric=True)
hausdorff = both(compute_hausdorff_distance)
print(
    f"arm missed {missed:.2f}, arm invented {invented:.2f}, symmetric {symmetric[0]:.2f}; "
    "Hausdorff {} and {}".format(*hausdorff)
)
there = surface_distance.compute_average_surface_distance(
    surface_distance.compute_surface_distances(armed, square, (1, 1))
)
print("surface-distance, both directions: {:.2f} and {:.2f}".format(*there))
assert np.isclose(*symmetric) and hausdorff == [13, 13]
assert missed < 0.05 and invented > 1.5, "both directions are averaged now"
assert max(there) > 1.5 and min(there) < 0.05
PY
