#!/usr/bin/env bash
# An empty measure of a MATLAB v7.3 file is read as two zeros: the file holds its size instead.
#
# Version    h5py 3.16.0, hdf5storage 0.2.2 (writes as MATLAB does), mat73 0.65
# Behaviour  MATLAB keeps an empty array, `[]`, as a data set of its dimensions, marked by the
#            attribute MATLAB_empty; an empty array of 1 x 0 holds 1, 0. h5py returns these numbers
#            like any others. mat73 looks at the attribute and returns None.
# Output     ejection fraction 61.5, mass []: h5py mass [0, 0], mean 0.0; mat73 None
#            text of no letters: h5py [1, 0]
# Source     hdf5storage's documentation, "Storage Format" and store_shape_for_empty (needed for MATLAB
#            to read the file); MATLAB itself documents only that v7.3 files are HDF5.
# Consequence A measure that could not be made becomes a mass of 0 g, and a mean or a regression
#            takes it as one. Look for MATLAB_empty before reading, or read with a package that
#            does.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  h5py==3.16.0 hdf5storage==0.2.2 mat73==0.65 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import h5py
import hdf5storage
import mat73
import numpy as np

row = {"ef": np.array([[61.5]]), "mass": np.zeros((0, 0)), "note": ""}
hdf5storage.savemat("row.mat", row, format="7.3")
with h5py.File("row.mat") as file:
    assert file["ef"][...].ravel().tolist() == [61.5] and "MATLAB_empty" not in file["ef"].attrs
    mass, note = file["mass"][...], file["note"][...]
    assert file["mass"].attrs["MATLAB_empty"] == 1
    assert file["mass"].attrs["MATLAB_class"] == b"double"
theirs = mat73.loadmat("row.mat")["mass"]
print("ejection fraction 61.5, mass []:", end=" ")
print(f"h5py mass {mass.tolist()}, mean {mass.mean()}; mat73 {theirs}")
print(f"text of no letters: h5py {note.tolist()}")
assert mass.tolist() == [0, 0] and note.tolist() == [1, 0] and theirs is None
PY
