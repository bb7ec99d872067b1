#!/usr/bin/env bash
# Convert3D reads a cine of five frames as its first one, and says nothing.
#
# Version    picsl_c3d 1.4.6.0 (c3d), nibabel 5.4.2
# Behaviour  c3d takes a NIfTI with a time axis, works on frame 1, writes a 3D file and ends without
#            a message. Its mean, and everything computed from the written file, are those of that frame.
# Output     in (8, 8, 4, 5), out (8, 8, 4) with the value 1 of 1 2 3 4 5
# Source     c3d's manual speaks of c2d, c3d and c4d for images of as many axes; what c3d makes of more
#            axes than three is not said.
# Consequence A loop over a folder that turns or resamples cines leaves every subject with end-diastole
#            alone: volumes look right, and ejection is gone. Count frames before and after; c4d keeps
#            them.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check picsl_c3d==1.4.6.0 nibabel==5.4.2 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import nibabel
import numpy as np
from picsl_c3d import Convert3D

cine = np.ones((8, 8, 4, 5), np.float32) * np.arange(1, 6, dtype=np.float32)
nibabel.save(nibabel.Nifti1Image(cine, np.diag([2.0, 2.0, 8.0, 1.0])), "cine.nii.gz")
Convert3D().execute("cine.nii.gz -scale 1 -o out.nii.gz")
out = nibabel.load("out.nii.gz")
values = np.unique(np.asarray(out.dataobj))
print(
    f"in {cine.shape}, out {out.shape} with the value {' '.join(f'{v:g}' for v in values)} "
    f"of {' '.join(f'{v:g}' for v in np.unique(cine))}"
)
assert out.shape == (8, 8, 4) and list(values) == [1.0], "c3d keeps the frames now"
PY
