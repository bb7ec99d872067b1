#!/usr/bin/env bash
# MONAI's Spacing measures from centre to centre: one slice of 8 mm becomes one of 1 mm.
#
# Version    monai 1.6.1, torch 2.13.0
# Behaviour  A label that fills its stack, slices of 8 mm resampled to 1 mm. The result reaches from
#            the centre of the first slice to the centre of the last: (n - 1) * 8 + 1 mm in place of
#            n * 8. Of one slice an eighth of the volume is left, of ten 91 %. There is no message;
#            Spacing has the argument scale_extent, with which all of the volume is kept.
# Output     1 slices: 0.125, 3 slices: 0.708, 10 slices: 0.913; scale_extent 1.0 1.0 1.0
# Source     MONAI issue 5061 ("Spacing transform changes physical extent of images") and the
#            documentation of Spacing, scale_extent.
# Consequence Volumes measured after the resampling of thick slices are too small wherever the organ
#            reaches the first or last slice (an atrium, a brain, any crop), by up to one slice, and
#            more so in short stacks. Measure on the scan's own grid, or set scale_extent=True.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 monai==1.6.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Spacing


def volume(image):
    """Sum over the voxels times the size of one, in mm3."""
    return float(image.sum()) * abs(np.linalg.det(np.asarray(image.affine)[:3, :3]))


def kept(n_slices, **options):
    """Share of the volume that is left at slices of 1 mm."""
    affine = torch.diag(torch.tensor([1.5, 1.5, 8.0, 1.0]))
    label = MetaTensor(torch.ones(1, 20, 20, n_slices), affine=affine)
    made = Spacing((1.5, 1.5, 1.0), mode="nearest", **options)(label)
    return volume(made) / volume(label)


counts = (1, 3, 10)
plain = [round(kept(n), 3) for n in counts]
whole = [round(kept(n, scale_extent=True), 3) for n in counts]
shown = ", ".join(f"{n} slices: {share}" for n, share in zip(counts, plain))
print(shown + "; scale_extent", *whole)
assert np.allclose(plain, [((n - 1) * 8 + 1) / (n * 8) for n in counts], atol=0.001)
assert whole == [1.0, 1.0, 1.0]
PY
