"""Checks of a model's input: refused where impossible, reported where unlike the training scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from popscan.arrays.intensity import content_box
from popscan.arrays.resampling import Window
from popscan.records import Scan, SubjectError

#: How far outside of the range of the training scans a value is far: this many times its ends.
_FAR = 1.5


def check_scan(scan: Scan) -> None:
    """Refuse a scan that cannot be segmented.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite`` or ``bad_spacing``.
    """
    if scan.array.ndim != 4 or 0 in scan.array.shape:
        raise SubjectError(
            "wrong_shape", f"expected a scan (x, y, z, t), found shape {scan.array.shape}"
        )
    if not np.isfinite(scan.array).all():
        raise SubjectError("not_finite", "the scan holds NaN or infinite intensities")
    if not all(math.isfinite(s) and s > 0 for s in scan.spacing_mm):
        raise SubjectError("bad_spacing", f"voxel spacing {scan.spacing_mm} mm is not positive")


def without_margin(scan: Scan) -> tuple[Scan, Window]:
    """Return a scan without rows and columns that a program put around it, and where it is.

    Networks see them as a larger field of view with more of the darkest tissue.

    Returns
    -------
    scan : Scan
        All slices and frames, within `popscan.arrays.intensity.content_box`.
    where : Window
        Of the scan given.
    """
    x, y, *_ = content_box(scan.array)
    affine = scan.affine.copy()
    affine[:3, 3] = (scan.affine @ [x.start, y.start, 0.0, 1.0])[:3]
    where = Window((x.start, y.start), (x.stop - x.start, y.stop - y.start))
    return replace(scan, array=scan.array[x, y], affine=affine), where


def input_warning(
    measured: Mapping[str, Sequence[float]], input_range: Mapping[str, Sequence[float]]
) -> str:
    """Return what of a scan is far outside of the training range, or nothing.

    Parameters
    ----------
    measured
        Name of a measurement -> its values for one scan; NaN is not judged.
    input_range
        The same names, each with the lowest and the highest value of the training scans; what is
        absent is not judged.
    """
    notes = []
    for name, (seen_low, seen_high) in input_range.items():
        values = [v for v in measured.get(name, ()) if math.isfinite(v)]
        lowest = seen_low / _FAR if seen_low > 0 else seen_low * _FAR
        highest = seen_high * _FAR if seen_high > 0 else seen_high / _FAR
        if values and (min(values) < lowest or max(values) > highest):
            span = "..".join(f"{v:.2f}" for v in sorted({min(values), max(values)}))
            notes.append(f"{name} {span}, trained for {seen_low}..{seen_high}")
    return "; ".join(notes)
