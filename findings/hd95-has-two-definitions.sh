#!/usr/bin/env bash
# The 95% Hausdorff distance of the same two masks is 9 in one library and 11 in another.
#
# Version    medpy 0.5.2, surface-distance 0.1 (DeepMind), numpy 1.26.4, scipy 1.17.1
# Behaviour  medpy joins the distances of both directions and takes one percentile; surface-distance
#            takes a percentile of each direction and returns the larger one (as MONAI does: 11, too).
#            A square of 20 x 20 pixels with a thin arm of 2 x 13 in one of the masks:
# Output     medpy 9.0, surface-distance 11.0
# Source     Huttenlocher et al., IEEE TPAMI 1993, define the partial distance per direction and take
#            the larger; medpy's documentation of `hd95` names the percentile only. Neither says that
#            other libraries differ.
# Consequence A table that takes one paper's HD95 from medpy and the other's from MONAI shows a fifth of
#            improvement without any. The definition belongs beside the number.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  medpy==0.5.2 surface-distance==0.1 numpy==1.26.4 scipy==1.17.1
env/bin/python - <<'PY'
import numpy as np
import surface_distance
from medpy.metric.binary import hd95

square = np.zeros((40, 40), bool)
square[5:25, 5:25] = True
armed = square.copy()
armed[5:7, 25:38] = True
joined = hd95(armed, square)
larger = surface_distance.compute_robust_hausdorff(
    surface_distance.compute_surface_distances(square, armed, (1, 1)), 95
)
print(f"medpy {joined}, surface-distance {larger}")
assert joined == 9.0 and larger == 11.0
PY
