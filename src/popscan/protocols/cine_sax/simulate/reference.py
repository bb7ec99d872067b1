"""Published ranges that the digital population follows.

Heart size and function by sex: Petersen et al., JCMR 2017 (UK Biobank,
doi:10.1186/s12968-017-0327-9), healthy adults of 45 to 74 years with BMI below 30. The slopes on
body surface area and age are rounded from the trends that it reports. Body size is that of
middle-aged British adults, rounded. Shares of race: census of England and Wales 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SexReference:
    """Published mean and standard deviation of one sex, and what they depend on.

    Attributes
    ----------
    lvedv_ml, lvesv_ml, lvef_pct, lvm_g, rvedv_ml, rvesv_ml, rvef_pct
        Mean and standard deviation (Petersen et al. 2017).
    height_cm, bmi_kg_m2
        Mean and standard deviation of the population.
    bsa_m2
        Mean body surface area of the reference cohort.
    ml_per_m2, g_per_m2
        Slopes of volumes and mass on body surface area.
    ml_per_year, g_per_year
        Slopes on age, about 60 years.
    """

    lvedv_ml: tuple[float, float]
    lvesv_ml: tuple[float, float]
    lvef_pct: tuple[float, float]
    lvm_g: tuple[float, float]
    rvedv_ml: tuple[float, float]
    rvesv_ml: tuple[float, float]
    rvef_pct: tuple[float, float]
    height_cm: tuple[float, float]
    bmi_kg_m2: tuple[float, float]
    bsa_m2: float
    ml_per_m2: float
    g_per_m2: float
    ml_per_year: float
    g_per_year: float


#: Reference values by sex.
REFERENCE: Mapping[str, SexReference] = {
    "male": SexReference(
        lvedv_ml=(166, 32),
        lvesv_ml=(69, 16),
        lvef_pct=(58, 5),
        lvm_g=(103, 21),
        rvedv_ml=(182, 36),
        rvesv_ml=(85, 22),
        rvef_pct=(54, 6),
        height_cm=(176.5, 6.7),
        bmi_kg_m2=(26.4, 3.6),
        bsa_m2=1.97,
        ml_per_m2=100.0,
        g_per_m2=75.0,
        ml_per_year=-0.9,
        g_per_year=-0.35,
    ),
    "female": SexReference(
        lvedv_ml=(124, 21),
        lvesv_ml=(49, 11),
        lvef_pct=(61, 5),
        lvm_g=(70, 13),
        rvedv_ml=(130, 24),
        rvesv_ml=(55, 15),
        rvef_pct=(58, 6),
        height_cm=(163.0, 6.3),
        bmi_kg_m2=(25.8, 4.3),
        bsa_m2=1.69,
        ml_per_m2=70.0,
        g_per_m2=48.0,
        ml_per_year=-0.6,
        g_per_year=0.0,
    ),
}

#: Shares of the recorded race: England and Wales, census of 2021, rounded.
RACES: Mapping[str, float] = {
    "White": 0.817,
    "Asian": 0.086,
    "Black": 0.040,
    "Mixed": 0.029,
    "Other": 0.021,
    "Chinese": 0.007,
}

#: Shares of the conditions; the rest is healthy.
CONDITIONS: Mapping[str, float] = {
    "dilated": 0.03,
    "hypertrophic": 0.03,
    "infarct": 0.03,
    "rv_dilated": 0.02,
}
