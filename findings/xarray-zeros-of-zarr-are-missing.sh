#!/usr/bin/env bash
# A count of zero lesions is a missing value when xarray reads it from a zarr store of format 2.
#
# Version    xarray 2026.9.0, zarr 3.1.6
# Behaviour  Lesions of four subjects, the integers 0, 3, 0, 5, written with zarr, whose fill value
#            is 0 by default. In a store of format 2 xarray takes the fill value for a mark of
#            missing data: it returns NaN, 3, NaN, 5 as floats. In a store of format 3, made by the
#            same lines, it returns 0, 3, 0, 5. There is no message, and
#            use_zarr_fill_value_as_mask=False changes nothing.
# Output     mean number of lesions: zarr 2.0; xarray 4.0 from format 2, 2.0 from format 3
# Source     Zarr storage specification, version 2 (fill_value: the value of chunks that were not
#            written); xarray issues 5475 and 10269, for use_zarr_fill_value_as_mask.
# Consequence Means leave out all subjects without lesions, the background of a label map is
#            missing, and a mask is a float array. OME-Zarr up to version 0.4 is of format 2. Open
#            such stores with mask_and_scale=False.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6
env/bin/python -W error - <<'PY'
import numpy as np
import xarray
import zarr

lesions = np.array([0, 3, 0, 5], np.int32)


def store(zarr_format):
    name = f"format{zarr_format}.zarr"
    group = zarr.open_group(name, mode="w", zarr_format=zarr_format)
    names = {"dimension_names": ["subject"]} if zarr_format == 3 else {}
    array = group.create_array("lesions", shape=(4,), chunks=(4,), dtype="int32", **names)
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["subject"]
    array[:] = lesions
    assert array.fill_value == 0 and (array[:] == lesions).all()
    return name


old, new = store(2), store(3)
read = {name: xarray.open_zarr(name, consolidated=False).lesions for name in (old, new)}
print("zarr", lesions, "mean", lesions.mean())
for name, array in read.items():
    print("xarray", name, array.values, "mean", float(array.mean()))
assert np.isnan(read[old].values[[0, 2]]).all() and float(read[old].mean()) == 4.0, "zeros are kept"
assert read[old].dtype.kind == "f" and read[new].dtype == np.int32
assert (read[new].values == lesions).all() and float(read[new].mean()) == lesions.mean() == 2.0
ignored = xarray.open_zarr(old, consolidated=False, use_zarr_fill_value_as_mask=False).lesions
assert np.isnan(ignored.values[[0, 2]]).all(), "the option is not ignored any more"
plain = xarray.open_zarr(old, consolidated=False, mask_and_scale=False).lesions
assert plain.dtype == np.int32 and (plain.values == lesions).all()
PY
