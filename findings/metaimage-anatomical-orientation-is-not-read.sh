#!/usr/bin/env bash
# SimpleITK reads a MetaImage with AnatomicalOrientation alone as if it were stored in its own order.
#
# Version    SimpleITK 2.5.7, numpy 2.4.6
# Behaviour  A header that says the order of its axes by letters (AnatomicalOrientation = LPI: the
#            first axis begins on the left) and has no TransformMatrix. The direction is the identity
#            whatever the letters say, the key is not among the image's metadata, and no warning
#            comes. Files that SimpleITK writes hold both keys, of which only the matrix is read back.
# Output     AnatomicalOrientation RAI: identity; AnatomicalOrientation LPI: identity
#            written with x reversed: letters LAI; letters changed by hand to RAI: the matrix stays
# Source     MetaIO's documentation of tags (AnatomicalOrientation: letters per axis); ITK reads
#            TransformMatrix (class MetaImageIO).
# Consequence Older data sets and tools state the orientation by letters: left and right are exchanged
#            silently, or front and back. Read the letters by hand where there is no matrix.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
env/bin/python - <<'PY'
from pathlib import Path

import numpy as np
import SimpleITK as sitk

np.zeros((4, 4, 4), np.int16).tofile("image.raw")


def direction(letters):
    """Direction cosines of a header that says its orientation by letters alone."""
    lines = (
        "ObjectType = Image", "NDims = 3", "DimSize = 4 4 4", "ElementSpacing = 2 2 2",
        f"AnatomicalOrientation = {letters}", "ElementType = MET_SHORT",
        "ElementDataFile = image.raw",
    )  # fmt: skip
    Path("image.mhd").write_text("\n".join(lines) + "\n")
    image = sitk.ReadImage("image.mhd")
    assert not any("Orientation" in key for key in image.GetMetaDataKeys())
    return image.GetDirection()


same = {letters: direction(letters) == tuple(np.eye(3).ravel()) for letters in ("RAI", "LPI")}
image = sitk.GetImageFromArray(np.zeros((4, 4, 4), np.int16))
image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
sitk.WriteImage(image, "written.mhd")
text = Path("written.mhd").read_text()
(letters,) = [line.split()[-1] for line in text.splitlines() if line.startswith("Anatomical")]
Path("written.mhd").write_text(text.replace(f"= {letters}", "= RAI"))
again = sitk.ReadImage("written.mhd").GetDirection()
print(*(f"AnatomicalOrientation {k}: {'identity' if v else 'read'}" for k, v in same.items()), sep="; ")
print(f"written with x reversed: letters {letters}; letters changed by hand: {again[:3]} ...")
assert all(same.values()), "the letters are read now"
assert again == image.GetDirection(), "the letters decide now"
PY
