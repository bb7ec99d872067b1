"""Biomarkers: labels -> numbers with units.

`METHODS` names the ways to measure; each takes labels (x, y, z, t) and returns one flat dict whose
columns `DICTIONARY` explains.
"""

from __future__ import annotations

from popscan.biomarkers.dictionary import DICTIONARY, Column
from popscan.biomarkers.intervals import INTERVAL_DICTIONARY
from popscan.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML, measure, volume_curves

#: Method -> where it lives; its options are its keyword-only arguments.
METHODS: dict[str, str] = {"cine_sax": "popscan.biomarkers.sax:measure"}

__all__ = [
    "DICTIONARY",
    "INTERVAL_DICTIONARY",
    "METHODS",
    "MYOCARDIAL_DENSITY_G_ML",
    "Column",
    "measure",
    "volume_curves",
]
