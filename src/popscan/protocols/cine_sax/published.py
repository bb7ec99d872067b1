"""Published ranges of healthy people, as a table to compare a study with."""

from __future__ import annotations

import pandas as pd

from popscan.associate.published import COLUMNS
from popscan.protocols.cine_sax.simulate.reference import REFERENCE

SOURCE = (
    "Petersen et al., J Cardiovasc Magn Reson 2017;19:18, doi:10.1186/s12968-017-0327-9: 804 "
    "healthy Caucasian adults of UK Biobank, 45 to 74 years, manual contours"
)
_AGES = (45, 74)
_OUTCOMES = ("lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct")


def published_ranges() -> pd.DataFrame:
    """Return published mean, SD and central 95% (mean -+ 1.96 SD) by biomarker and sex."""
    rows = []
    for outcome in _OUTCOMES:
        for sex, reference in REFERENCE.items():
            mean, sd = getattr(reference, outcome)
            limits = (mean - 1.96 * sd, mean + 1.96 * sd)
            rows.append((outcome, sex, float(mean), float(sd), *limits, *_AGES, SOURCE))
    return pd.DataFrame(rows, columns=list(COLUMNS))
