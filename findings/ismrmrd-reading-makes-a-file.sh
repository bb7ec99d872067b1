#!/usr/bin/env bash
# ismrmrd: looking for a scan that is not there creates it.
#
# Version    ismrmrd 1.15.0 (the Python package), h5py as it requires
# Behaviour  Opening a missing file with ismrmrd.Dataset raises nothing; the first read then raises
#            "Dataset not found in the hdf5 file." By then an empty HDF5 file of that name exists.
# Output     opened; LookupError: Dataset not found in the hdf5 file.; file exists True
# Source     ismrmrd-python: the third argument of Dataset, create_if_needed, is True by default, and the
#            file is opened for appending.
# Consequence A typing error in a list of scans leaves an empty file beside the raw data, the error
#            speaks of a data set instead of a missing file, and the next run finds the scan "present".
#            Raw folders that are read-only fail in another way again. Check for the file first, and
#            open with create_if_needed=False.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ismrmrd==1.15.0
env/bin/python - <<'PY'
from pathlib import Path

import ismrmrd

path = Path("sub-0001_kspace.h5")
assert not path.exists()
data = ismrmrd.Dataset(str(path))
try:
    data.number_of_acquisitions()
except LookupError as error:
    said = f"{type(error).__name__}: {error}"
print(f"opened; {said}; file exists {path.exists()}")
assert path.exists() and path.read_bytes()[:4] == b"\x89HDF"
PY
