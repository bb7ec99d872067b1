#!/usr/bin/env bash
# MONAI's FillHoles fills the blood pool with heart muscle: an enclosed label is a hole, too.
#
# Version    monai 1.6.1, torch 2.13.0
# Behaviour  A ring of muscle (label 2) around blood (label 3), with one background pixel lost in the
#            ring. FillHoles closes that pixel and gives every pixel of label 3 to label 2 as well:
#            whatever label lies inside a label, and does not reach the outside, counts as a hole.
#            With applied_labels=[3] the blood is left as it is. In one-hot form the blood keeps its
#            channel and the muscle's channel gets the same pixels.
# Output     muscle 359, blood 253 -> muscle 613, blood 0
#            one-hot: muscle 613, blood 253, pixels with two labels 253
# Source     The documentation calls a hole a background pixel enclosed by one class; the code takes
#            all that is not the label. MONAI issue 5749 (another question about which pixels count).
# Consequence A cavity of 253 pixels becomes 0 (a stroke volume of 0 mL) and the mass grows by 71 %, in
#            slices with a closed ring only. The same holds for a ventricle of the brain, or a tumour
#            in its organ. List the innermost labels, or fill background pixels only.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  torch==2.13.0 monai==1.6.1 scipy==1.17.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import torch
from monai.transforms import FillHoles

muscle, blood = 2, 3
y, x = np.mgrid[-20:21, -20:21]
heart = np.zeros((41, 41), int)
heart[np.hypot(y, x) <= 14] = muscle
heart[np.hypot(y, x) <= 9] = blood
heart[20, 32] = 0


def counts(labels):
    """Pixels of muscle and blood."""
    return int((labels == muscle).sum()), int((labels == blood).sum())


before = counts(heart)
after = counts(FillHoles()(torch.tensor(heart[None]))[0])
print("muscle {}, blood {} -> muscle {}, blood {}".format(*before, *after))
assert before == (359, 253)
assert after == (613, 0), "only background is filled now"
inner = counts(FillHoles(applied_labels=[blood])(torch.tensor(heart[None]))[0])
assert inner == before
channels = torch.tensor(np.stack([heart == code for code in range(4)]).astype(np.float32))
channels = FillHoles()(channels)
sizes = [int(channels[code].sum()) for code in (muscle, blood)]
double = int((channels[1:].sum(0) > 1).sum())
print("one-hot: muscle {}, blood {}, pixels with two labels {}".format(*sizes, double))
assert (*sizes, double) == (613, 253, 253)
PY
