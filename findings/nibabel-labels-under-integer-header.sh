#!/usr/bin/env bash
# Whole-numbered labels saved under an integer header of the image come back not whole.
#
# Version    nibabel 5.4.2, numpy 2
# Behaviour  Labels 0 to 3 held as floats (what get_fdata, resampling and most tools return), saved
#            with the image's own uint8 or int16 header: nibabel spreads the range of the labels over
#            the range of the type and notes slope and intercept, instead of storing 0, 1, 2, 3.
#            What is read back differs from the labels in the eighth digit here. A label array of an
#            integer type is stored as it is.
# Output     uint8: slope 0.0117647, read back [0, 1.00000002, 2.00000004, 3.00000006]
# Source     NIfTI-1: value = scl_slope * stored + scl_inter, in single precision.
# Consequence `labels == 1` is empty, a check for whole numbers refuses the file. Round within what the
#            header's slope explains, and name the scaling in the message where it explains it not.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nibabel==5.4.2 "numpy<3"
env/bin/python - <<'PY'
import nibabel as nib
import numpy as np

image = nib.Nifti1Image(np.arange(8**3, dtype=np.uint8).reshape(8, 8, 8) % 200, np.eye(4))
labels = np.zeros((8, 8, 8))
labels[2:4], labels[4:6], labels[6:] = 1, 2, 3
nib.save(nib.Nifti1Image(labels, image.affine, image.header), "labels.nii")
read = nib.load("labels.nii")
values = np.unique(read.get_fdata())
print(read.get_data_dtype(), f"slope {read.dataobj.slope:.7f}", values.tolist())
assert read.get_data_dtype() == np.uint8 and abs(read.dataobj.slope - 3 / 255) < 1e-6
assert not (read.get_fdata() == 1).any(), "labels come back whole now"
assert np.allclose(values, [0, 1, 2, 3], atol=1e-5)

nib.save(nib.Nifti1Image(labels.astype(np.uint8), image.affine, image.header), "labels.nii")
assert np.unique(nib.load("labels.nii").get_fdata()).tolist() == [0, 1, 2, 3]
PY
