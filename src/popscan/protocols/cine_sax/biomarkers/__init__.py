"""Biomarkers of a short-axis cine: `measure` takes labels (x, y, z, t), returns one flat dict.

Its columns `DICTIONARY` explains, those of intervals `INTERVAL_DICTIONARY`.
"""

from __future__ import annotations

from popscan.protocols.cine_sax.biomarkers.dictionary import DICTIONARY
from popscan.protocols.cine_sax.biomarkers.intervals import INTERVAL_DICTIONARY
from popscan.protocols.cine_sax.biomarkers.sax import (
    MYOCARDIAL_DENSITY_G_ML,
    measure,
    volume_curves,
)

__all__ = [
    "DICTIONARY",
    "INTERVAL_DICTIONARY",
    "MYOCARDIAL_DENSITY_G_ML",
    "measure",
    "volume_curves",
]
