#!/usr/bin/env bash
# ukat's standard errors of MOLLI T1 are twice as large as the scatter of its values.
#
# Version    ukat 0.7.3, scipy 1.11.4
# Behaviour  MOLLI fits an apparent T1* and an amplitude, and T1 = T1* (amplitude - 1). ukat gives T1 the
#            relative error of T1* alone. The two parameters are strongly and inversely correlated, so
#            T1 is better known than T1* is: noise moves both, and their product hardly. Without the
#            correction (molli=False) errors and scatter of T1* agree.
# Output     T1 1000 ms, SNR 30, 400 voxels: scatter 26 ms, median error 44 ms
#            T1 1200 ms, flip angle of a weaker inversion: scatter 37 ms, median error 85 ms
# Source     ukat.mapping.t1 (t1_err is "the certainty in the fit of t1 in ms"); Messroghli et al.,
#            Magn Reson Med 52:141, 2004, for the correction; propagation of error with covariance.
# Consequence Maps of error, weights by 1 / error^2 and "T1 raised in this segment" by these errors miss
#            differences that the data show: power falls as if half to a sixth of the voxels were there.
#            Propagate with the covariance of the fit, or take the scatter within a region.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
# Without ukat's kidney network, which has no wheels for new versions of Python and is not needed.
env/bin/pip install --quiet --disable-pip-version-check --no-deps ukat==0.7.3
env/bin/pip install --quiet --disable-pip-version-check numpy==1.26.4 scipy==1.11.4 dipy==1.9.0 \
  scikit-image==0.21.0 scikit-learn==1.2.2 numba==0.60.0 pandas==2.2.3 matplotlib==3.9.4 \
  nibabel==5.3.2 pathos==0.3.5 tabulate==0.9.0 tqdm 2>/dev/null
env/bin/python -W ignore - 2>/dev/null <<'PY'
import sys
import types

import numpy as np

sys.modules["segment"] = types.SimpleNamespace(Tkv=None)  # the network that is left out
from ukat.mapping.t1 import T1

times = np.array([100.0, 180, 260, 1100, 1180, 1260, 2100, 2180, 3100, 4100, 5100])
rng = np.random.default_rng(0)
for true, amplitude in ((1000, 1.9), (1200, 1.6)):
    apparent = true / (amplitude - 1)
    clean = 100 * (1 - amplitude * np.exp(-times / apparent))
    signal = np.abs(clean + rng.normal(0, 100 / 30, (20, 20, 1, times.size)))
    options = {"parameters": 3, "multithread": False}
    molli = T1(signal, times, np.eye(4), molli=True, **options)
    scatter, error = molli.t1_map.std(), np.median(molli.t1_err)
    print(f"T1 {true} ms: scatter {scatter:.0f} ms, median error {error:.0f} ms")
    assert abs(np.median(molli.t1_map) - true) < 10
    assert error > 1.5 * scatter, "errors are those of T1 now"
PY
