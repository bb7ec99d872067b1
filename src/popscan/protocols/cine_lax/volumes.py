"""Volumes of chambers from one or two long-axis planes: area-length, and Simpson's discs.

Area-length takes a chamber for an ellipsoid, ``8 / (3 pi) A1 A2 / L``, ``L`` the mean of both
lengths, as UK Biobank's atrial volumes have it (Bai et al., Nat Med 2020,
doi:10.1038/s41591-020-1009-y). Simpson's rule adds up elliptical discs whose diameters are those
of the two planes, ``pi / 4 sum(a b) L / 20``, ``L`` the longer length (Lang et al., JASE 2015,
doi:10.1016/j.echo.2014.10.003). With one plane both diameters, or areas, are that plane's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

#: mm3 in a mL.
_ML = 1000.0


def area_length_ml(
    area_mm2: float, length_mm: float, other_area_mm2: float, other_length_mm: float
) -> float:
    """Return the volume of an ellipsoid seen in two planes; NaN where one is NaN.

    Examples
    --------
    >>> radius = 30.0
    >>> area = math.pi * radius**2
    >>> round(area_length_ml(area, 60, area, 60) / (4e-3 / 3 * math.pi * radius**3), 6)
    1.0
    """
    length = 0.5 * (length_mm + other_length_mm)
    if not length > 0:
        return math.nan
    return 8.0 / (3.0 * math.pi) * area_mm2 * other_area_mm2 / length / _ML


def discs_ml(
    diameters_mm: ArrayLike, length_mm: float, other_diameters_mm: ArrayLike, other_length_mm: float
) -> float:
    """Return the volume of elliptical discs seen in two planes; NaN where one is NaN.

    Parameters
    ----------
    diameters_mm, other_diameters_mm : array_like, shape (discs,)
        Widths of the discs in each plane, from the valve on.
    length_mm, other_length_mm
        Lengths of the chamber in each plane.

    Examples
    --------
    >>> round(discs_ml([20.0] * 20, 50.0, [30.0] * 20, 40.0), 3) == round(math.pi / 4 * 30, 3)
    True
    """
    first, second = (np.asarray(d, dtype=float) for d in (diameters_mm, other_diameters_mm))
    if math.isnan(length_mm) or math.isnan(other_length_mm):
        return math.nan
    length = max(length_mm, other_length_mm)
    return float(np.pi / 4 * np.sum(first * second) * length / first.size / _ML)
