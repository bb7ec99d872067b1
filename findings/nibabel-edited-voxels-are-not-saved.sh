#!/usr/bin/env bash
# Voxels set to zero in nibabel's get_fdata() are still there in the saved file.
#
# Version    nibabel 5.4.2
# Behaviour  An image is loaded, `data = image.get_fdata()`, `data[...] = 0`, `nib.save(image,
#            ...)`. The array is the image's own (a second get_fdata() returns the zeros), but
#            saving reads the voxels from the first file again. An image made of a float64 array in
#            memory behaves the other way: there the edit is saved. No message in either case.
# Output     loaded from a file: get_fdata 0, saved 7; made of float64: get_fdata 0, saved 0; made of int16:
#            get_fdata 0, saved 7
# Source     nibabel's manual, "Images and memory" (array proxies and the cache of get_fdata).
# Consequence A face that was "removed" is in the shared file, and labels that were "corrected" are
#            the old ones, where a check in the same session sees zeros. Make a new image of the
#            edited array, and read the written file for the check.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nibabel==5.4.2 numpy==2.4.6
env/bin/python -W error - <<'PY'
import nibabel as nib
import numpy as np

nib.save(nib.Nifti1Image(np.full((4, 4, 4), 7, np.int16), np.eye(4)), "head.nii")
images = {
    "loaded from a file": nib.load("head.nii"),
    "made of float64": nib.Nifti1Image(np.full((4, 4, 4), 7.0), np.eye(4)),
    "made of int16": nib.Nifti1Image(np.full((4, 4, 4), 7, np.int16), np.eye(4)),
}
seen = {}
for name, image in images.items():
    data = image.get_fdata()
    data[...] = 0
    nib.save(image, "edited.nii")
    seen[name] = (image.get_fdata().max(), nib.load("edited.nii").get_fdata().max())
print("; ".join(f"{name}: get_fdata {a:g}, saved {b:g}" for name, (a, b) in seen.items()))
assert list(seen.values()) == [(0, 7), (0, 0), (0, 7)]
PY
