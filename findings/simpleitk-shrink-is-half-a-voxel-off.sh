#!/usr/bin/env bash
# SimpleITK's Shrink takes its values half a voxel from where the shrunk image says they are.
#
# Version    SimpleITK 2.5.7
# Behaviour  A ramp whose value is its position in mm, shrunk by 2: values 1, 3, 5, 7 at positions
#            0.5, 2.5, 4.5, 6.5. The new origin is right for blocks of two voxels, the values are
#            those of one voxel of each block. For odd factors both agree. For a size that is no
#            multiple of the factor the origin moves on, and the values stay: 9 voxels shrunk by 2
#            agree by chance. BinShrink, which averages the blocks, is right for whole blocks.
# Output     mm off: 8 by 2 0.5, 12 by 4 0.5, 12 by 3 0.0, 9 by 2 0.0; BinShrink 8 by 2 0.0
# Source     The documentation of Shrink says that it subsamples and keeps the physical centre; a
#            value halfway between voxels cannot be had by subsampling.
# Consequence Shrunk images made for speed (bias field, first level of a registration) carry a shift
#            of half an original voxel on every axis with an even factor: 0.9 mm of translation for
#            voxels of 1 mm, 4 mm along slices of 8 mm, and only in scans with an even number of
#            slices. Labels shrunk likewise agree with the image, so that no overlay shows it. Resample
#            onto a grid of your own.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check simpleitk==2.5.7 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import SimpleITK as sitk


def off(size, factor, shrink=sitk.Shrink):
    """How far the values of a shrunk ramp lie from the positions it claims, in mm."""
    small = shrink(sitk.GetImageFromArray(np.tile(np.arange(float(size)), (4, 1))), [factor, 1])
    values = sitk.GetArrayFromImage(small)[0]
    places = [small.TransformIndexToPhysicalPoint((i, 0))[0] for i in range(len(values))]
    assert np.ptp(values - places) == 0
    return float(values[0] - places[0])


seen = {case: off(*case) for case in ((8, 2), (12, 4), (12, 3), (9, 2))}
shown = ", ".join(f"{size} by {factor} {mm}" for (size, factor), mm in seen.items())
binned = off(8, 2, sitk.BinShrink)
print(f"mm off: {shown}; BinShrink 8 by 2 {binned}")
assert binned == 0
assert list(seen.values()) == [0.5, 0.5, 0.0, 0.0], "values and positions agree now"
PY
