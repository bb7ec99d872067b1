#!/usr/bin/env bash
# scipy's binary closing, which should only add, takes the first and last slice of a stack away.
#
# Version    scipy 1.17.1, scikit-image 0.26.0
# Behaviour  A mask that fills all ten slices of a stack. binary_closing dilates and erodes, both with
#            zeros outside the array; the erosion then eats what touches the edge. One round leaves
#            8 of 10 slices, two rounds 6. scikit-image's closing and isotropic_closing keep all ten.
#            border_value=1 is no way out: closing then grows from the edge inwards.
# Output     scipy 0.80 of the mask, two rounds 0.60; scikit-image 1.00 and 1.00
#            border_value=1: a mask in slices 2 to 4 of 5 grows to 2.52 times its size
# Source     scipy's documentation of binary_closing gives border_value=0 and lists no effect;
#            CellProfiler issue 2837 (a black frame) is the same one. Closing is extensive (Serra,
#            Image Analysis and Mathematical Morphology, 1982): it never removes.
# Consequence A stack that begins at the valve or ends in the cord loses 2 of 10 slices (a fifth of the
#            volume), one with free slices at both ends loses nothing: the bias follows coverage.
#            Pad by the number of rounds before closing and cut the padding off again.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  scipy==1.17.1 scikit-image==0.26.0 numpy==2.4.6
env/bin/python -W error - <<'PY'
import numpy as np
from scipy import ndimage
from skimage import morphology

mask = np.zeros((10, 40, 40), bool)
mask[:, 10:30, 10:30] = True


def share(closed):
    """Size after closing over size before."""
    return closed.sum() / mask.sum()


one, two = (share(ndimage.binary_closing(mask, iterations=rounds)) for rounds in (1, 2))
others = (
    share(morphology.closing(mask, morphology.ball(1))), share(morphology.isotropic_closing(mask, 1))
)
print(
    f"scipy {one:.2f} of the mask, two rounds {two:.2f}; "
    "scikit-image {:.2f} and {:.2f}".format(*others)
)
assert others == (1, 1)
assert (one, two) == (0.8, 0.6), "closing keeps the end slices now"
padded = ndimage.binary_closing(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
assert np.array_equal(padded, mask)
middle = np.zeros((5, 20, 20), bool)
middle[1:4, 2:18, 2:18] = True
grown = ndimage.binary_closing(middle, border_value=1).sum() / middle.sum()
print(f"border_value=1: a mask in slices 2 to 4 of 5 grows to {grown:.2f} times its size")
assert grown > 1.5
PY
