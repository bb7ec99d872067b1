"""Body size."""

from __future__ import annotations

import math


def bsa_m2(height_cm: float, weight_kg: float) -> float:
    """Body surface area after Mosteller (N Engl J Med 1987, doi:10.1056/NEJM198710223171717).

    NaN unless both are positive and finite.

    Examples
    --------
    >>> bsa_m2(180.0, 80.0)
    2.0
    """
    if not (height_cm > 0 and weight_kg > 0) or math.isinf(height_cm * weight_kg):
        return math.nan
    return math.sqrt(height_cm * weight_kg / 3600.0)


def bmi_kg_m2(height_cm: float, weight_kg: float) -> float:
    """Body mass index, weight over height squared; NaN unless both are positive and finite.

    Examples
    --------
    >>> bmi_kg_m2(200.0, 80.0)
    20.0
    """
    if not (height_cm > 0 and weight_kg > 0) or math.isinf(height_cm * weight_kg):
        return math.nan
    return weight_kg / (height_cm / 100.0) ** 2
