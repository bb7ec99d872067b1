"""Which axis of an array holds the slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from popscan.arrays.geometry import reorient
from popscan.records import Scan

#: The slices of a stack lie this much further apart than its pixels, at least.
_THICK = 1.5


def slices_last(scan: Scan) -> Scan:
    """Make the axis along which a stack was acquired the third, where another one clearly is.

    Programs that reorder axes to patient axes leave a stack with its slices along any of
    them. The acquired slices lie far apart, and the pixels within them are square: where one axis
    has steps of at least 1.5 times those of the other two, which agree within a tenth, that is the
    one. Anything else is returned as it is.

    Parameters
    ----------
    scan
        A scan whose frames are the last axis.
    """
    steps = np.asarray(scan.spacing_mm)
    axis = int(steps.argmax())
    pixels = np.delete(steps, axis)
    if axis == 2 or steps[axis] < _THICK * pixels.max() or pixels.max() > 1.1 * pixels.min():
        return scan
    order = (0, 2, 1) if axis == 1 else (1, 2, 0)
    array, affine = reorient(scan.array, scan.affine, order, (False, False, False))
    return replace(
        scan,
        array=np.ascontiguousarray(array),
        affine=affine,
        spacing_mm=(float(steps[order[0]]), float(steps[order[1]]), float(steps[order[2]])),
    )
