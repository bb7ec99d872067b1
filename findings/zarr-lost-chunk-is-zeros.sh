#!/usr/bin/env bash
# A zarr image that lost a file in copying opens as if it were whole, with a block of zeros.
#
# Version    zarr 3.1.6
# Behaviour  An array of 8 x 8 in four files. One file is taken away, as by a copy that was cut
#            short or an object store that forgot one: zarr reads the array without a message, and
#            the quarter is 0, the fill value. A chunk that was never written looks the same, by
#            design.
# Output     4 files, sum 8416; 3 files, sum 6024, 16 zeros, no message
# Source     Zarr specification v3, "fill_value" (the value of what was not stored); zarr-python
#            issues 486 and 587. nchunks_initialized counts the files that exist.
# Consequence A piece of anatomy becomes background: a volume is too small, a tumour is gone, and
#            the reader calls the scan good. Compare nchunks_initialized with the number that the
#            array had when it was written (write_empty_chunks makes that all of them), or keep a
#            checksum.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check zarr==3.1.6 numpy==2.4.6
env/bin/python -W error - <<'PY'
from pathlib import Path

import numpy as np
import zarr

made = zarr.create_array("scan.zarr", shape=(8, 8), chunks=(4, 4), dtype="int16")
made[:] = np.arange(64).reshape(8, 8) + 100
whole = zarr.open_array("scan.zarr", mode="r")
before, n_before = whole[:], whole.nchunks_initialized
Path("scan.zarr/c/1/1").unlink()
less = zarr.open_array("scan.zarr", mode="r")
after, n_after = less[:], less.nchunks_initialized
print(
    f"{n_before} files, sum {before.sum()}; {n_after} files, sum {after.sum()}, "
    f"{(after == 0).sum()} zeros, no message"
)
assert (n_before, n_after) == (4, 3) and not (before == 0).any()
assert (after == 0).sum() == 16 and after.shape == (8, 8)
PY
