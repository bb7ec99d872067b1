"""From what segmentation left of its samples to intervals, and to what is doubtful at the base."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from popscan.arrays.intervals import Method
from popscan.protocols.cine_sax.biomarkers.doubt import doubtful_amounts, shifts
from popscan.protocols.cine_sax.biomarkers.intervals import intervals, spreads


def interval_values(
    values: Mapping[str, float],
    *,
    samples: Mapping[str, Any],
    level: float,
    method: Method = "student",
) -> dict[str, float]:
    """Return the ends of every interval, and what stands on doubtful slices.

    Parameters
    ----------
    values
        Biomarkers of a subject.
    samples
        What segmentation left: ``volumes_ml``, ``calibration``, ``base``; empty for none.
    level, method
        As in `intervals`.
    """
    own: dict[str, float] = {}
    ed, es = _frame(values["ed_frame"]), _frame(values["es_frame"])
    base = samples.get("base", {})
    if samples:
        volumes = {k: np.asarray(v, dtype=float) for k, v in samples["volumes_ml"].items()}
        own = spreads(values, volumes, ed=ed, es=es)
    return intervals(
        values,
        own,
        samples.get("calibration", {}),
        level=level,
        method=method,
        shifts=shifts(values, base, ed=ed, es=es),
        widening=float(samples.get("widening", 1.0)),
    ) | doubtful_amounts(base, ed=ed, es=es)


def _frame(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
