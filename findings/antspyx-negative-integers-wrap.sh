#!/usr/bin/env bash
# antspyx turns signed integer arrays into unsigned ones: -5 becomes 4294967291, without a message.
#
# Version    antspyx 0.6.3, numpy 2.2.6
# Behaviour  ants.from_numpy() makes an image of unsigned integers from an int8, int16, int32 or int64
#            array. Negative values wrap round; int64 values above 32 bits lose their upper part. The
#            same array written as NIfTI and read by ants.image_read() keeps its negative values.
# Output     [-5, 100, -100] of int16 -> pixel type "unsigned int", [4294967291, 100, 4294967196];
#            read from a file: [-5, 100, -100]
# Source     The docstring of from_numpy names no limits of type; NIfTI-1 and DICOM store signed 16 bits.
# Consequence Phase images (-4096 to 4095), CT numbers and fat-water differences are wrong where they are
#            below zero, while magnitude images look right, so that a test with them passes. Arrays have
#            to be made float before.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check antspyx==0.6.3 numpy==2.2.6 nibabel==5.3.2
env/bin/python - <<'PY'
import warnings

import ants
import nibabel
import numpy as np

values = [-5, 100, -100]
for kind in (np.int8, np.int16, np.int32, np.int64):
    array = np.array([values], kind)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        image = ants.from_numpy(array)
    assert not heard, [str(w.message) for w in heard]
    print(kind.__name__, array.tolist(), "->", image.pixeltype, image.numpy().tolist())
    assert image.pixeltype == "unsigned int"
    assert np.array_equal(image.numpy(), array.astype(np.int64) % 2**32)

wide = ants.from_numpy(np.array([[2**32 + 5, 1]], np.int64)).numpy()
assert wide.tolist() == [[5, 1]]
assert np.array_equal(ants.from_numpy(np.array([values], np.float32)).numpy(), [values])

nibabel.save(nibabel.Nifti1Image(np.array([[values]], np.int16), np.eye(4)), "signed.nii.gz")
read = ants.image_read("signed.nii.gz").numpy().ravel().tolist()
print("from a file", read)
assert read == values
PY
