#!/usr/bin/env bash
# SimpleITK's Feret diameter runs from voxel centre to voxel centre: thin structures are a voxel short.
#
# Version    SimpleITK 2.5.7, numpy 2.4.6
# Behaviour  A bar of 10 voxels of 2 mm. LabelShapeStatisticsImageFilter gives a Feret diameter of 18
#            mm; the oriented bounding box and the volume of the same filter count whole voxels (20
#            mm). A structure of one voxel has a diameter of 0 and a volume.
# Output     Feret 18 mm, oriented box 20 mm; one voxel: Feret 0 mm, volume 8 mm3
# Source     Lehmann 2007, Label object representation and manipulation with ITK, Insight Journal
#            (the filter's source); the definition by calipers touches the outline.
# Consequence Diameters of vessels, lesions or walls are too small by one voxel: 2 of 10 mm for a wall
#            of 5 voxels, and by different amounts where sites differ in voxel size, so the effect of
#            a site looks like one of anatomy.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import SimpleITK as sitk


def shape(n_voxels):
    mask = np.zeros((5, 20, 20), np.uint8)
    mask[2, 5 : 5 + n_voxels, 5] = 1
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing((2.0, 2.0, 2.0))
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.ComputeFeretDiameterOn()
    measured.ComputeOrientedBoundingBoxOn()
    measured.Execute(image)
    box = max(measured.GetOrientedBoundingBoxSize(1))
    return measured.GetFeretDiameter(1), box, measured.GetPhysicalSize(1)


bar, dot = shape(10), shape(1)
print(
    f"Feret {bar[0]:g} mm, oriented box {bar[1]:g} mm; "
    f"one voxel: Feret {dot[0]:g} mm, volume {dot[2]:g} mm3"
)
assert np.allclose(bar[:2], (18, 20)), "both count whole voxels, or neither, now"
assert np.isclose(dot[0], 0) and np.isclose(dot[2], 8)
PY
