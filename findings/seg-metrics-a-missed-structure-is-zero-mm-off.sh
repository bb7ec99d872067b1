#!/usr/bin/env bash
# seg_metrics gives a structure that was missed altogether a Hausdorff distance of 0 mm, the best there is.
#
# Version    seg_metrics 1.2.8, numpy 2.2.6, SimpleITK 2.5.7
# Behaviour  Where a label is in the reference and nowhere in the prediction (or the other way round),
#            hd, hd95, msd, mdsd and stdsd are 0.0, as for a perfect result, without a warning. Only the
#            shares show it: Dice 0. Where both lack the label, Dice is 1 and the distances are 0.
# Output     structure found, 2 pixels off: hd 2.0 mm; structure missed: hd, hd95, msd 0.0, Dice 0.0
# Source     The Hausdorff distance to an empty set is infinite or undefined (Taha and Hanbury 2015,
#            Metrics for evaluating 3D medical image segmentation, BMC Medical Imaging 15:29).
# Consequence The model that loses most structures has the best mean distance of all. Tables of distances
#            need the number of subjects in which both sides have the structure.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  seg_metrics==1.2.8 numpy==2.2.6 SimpleITK==2.5.7
env/bin/python - <<'PY'
import warnings

import numpy as np
import seg_metrics.seg_metrics as seg_metrics

truth = np.zeros((8, 40, 40), np.uint8)
truth[2:6, 10:20, 10:20] = 1
moved = np.roll(truth, 2, axis=2)
missed = np.zeros_like(truth)
missed[2:6, 30:35, 30:35] = 2


def measures(reference, prediction):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        (row,) = seg_metrics.write_metrics(
            labels=[1], gdth_img=reference, pred_img=prediction, spacing=np.array([8.0, 1.0, 1.0])
        )
    own = [w for w in heard if "seg_metrics" in w.filename]
    assert not own, [str(w.message) for w in own]
    return {name: float(row[name][0]) for name in ("dice", "hd", "hd95", "msd", "mdsd", "stdsd")}


found, lost, invented = measures(truth, moved), measures(truth, missed), measures(missed, truth)
neither = measures(np.zeros_like(truth), np.zeros_like(truth))
print("found, moved by 2 pixels", found)
print("missed", lost)
print("invented", invented)
print("in neither", neither)
assert found["hd"] == 2.0 and 0 < found["msd"] < 2
for wrong in (lost, invented):
    assert wrong == {"dice": 0.0, "hd": 0.0, "hd95": 0.0, "msd": 0.0, "mdsd": 0.0, "stdsd": 0.0}
assert neither["dice"] == 1.0 and neither["hd"] == 0.0
PY
