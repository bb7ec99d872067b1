#!/usr/bin/env bash
# nibabel: a time series converted from NIfTI to MGH has a frame time of 0, although MGH can hold it.
#
# Version    nibabel 5.4.2, numpy 2.4.6
# Behaviour  MGHImage.from_image, and nib.save to .mgz, keep frames and affine and write TR = 0
#            without a warning. Set by hand it is kept, in milliseconds, as FreeSurfer has it.
# Output     NIfTI 2.5 s -> MGH 0; set by hand: 2500 -> 2500
# Source     FreeSurfer's description of the format (MghFormat: TR in ms is the first of the fields
#            behind the data); nibabel, class MGHHeader, set_zooms with four zooms.
# Consequence Whatever is computed by time (rates, heart beats, band-pass filters) is infinite or
#            empty after a detour over .mgz; a reader that takes 0 for "one second" is wrong silently.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6
env/bin/python -W error - <<'PY'
import nibabel as nib
import numpy as np

series = nib.Nifti1Image(np.zeros((4, 4, 4, 5), np.float32), np.eye(4))
series.header.set_xyzt_units("mm", "sec")
series.header.set_zooms((1, 1, 1, 2.5))
nib.save(nib.MGHImage.from_image(series), "a.mgz")
nib.save(series, "b.mgz")
lost = [float(nib.load(name).header.get_zooms()[3]) for name in ("a.mgz", "b.mgz")]
image = nib.MGHImage.from_image(series)
image.header.set_zooms((1, 1, 1, 2500))
nib.save(image, "c.mgz")
kept = float(nib.load("c.mgz").header.get_zooms()[3])
print(f"NIfTI 2.5 s -> MGH {lost[0]:g}; set by hand: 2500 -> {kept:g}")
assert lost == [0, 0], "the time of a frame is converted now"
assert kept == 2500
PY
