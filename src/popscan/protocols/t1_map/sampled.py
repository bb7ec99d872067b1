"""What drawn segmentations add to the interval of a region's mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from popscan.columns import Column
from popscan.protocols.t1_map.labels import LABELS

_SOURCE = "spread of the mean over drawn segmentations; docs/mapping.md"


def interval_dictionary(quantity: str) -> dict[str, Column]:
    """Return the columns of `joined`; `quantity` is ``t1`` or ``t2``."""
    name, columns = quantity.upper(), dict[str, Column]()
    for region in LABELS.names.values():
        title = LABELS.titles[region].lower()
        columns |= {
            f"{region}_{quantity}_sampled_sd_ms": Column(
                "ms", f"Spread of mean {name} over drawn segmentations, {title}; empty for given "
                "labels", _SOURCE,
            ),
            f"{region}_{quantity}_joint_low_ms": Column(
                "ms", f"Lower end of the interval of mean {name} of noise and segmentation "
                f"together, {title}; empty for given labels", _SOURCE,
            ),
            f"{region}_{quantity}_joint_high_ms": Column("ms", "Upper end of the same", _SOURCE),
        }  # fmt: skip
    return columns


T1_INTERVALS: Mapping[str, Column] = interval_dictionary("t1")
T2_INTERVALS: Mapping[str, Column] = interval_dictionary("t2")


def joined(
    quantity: str, values: Mapping[str, float], *, samples: Mapping[str, Any], level: float
) -> dict[str, float]:
    """Return the columns of `interval_dictionary`.

    Both parts are taken as independent: the half width is the root of the sum of the squares of
    that of the noise and that of the draws' spread.

    Parameters
    ----------
    quantity
        ``t1`` or ``t2``.
    values
        Biomarkers.
    samples
        What segmentation left: ``sampled``, region -> mean of the map in each draw; empty for none.
    level
        Of the interval.

    Returns
    -------
    dict
        NaN where nothing was drawn, or a draw lacks the region.
    """
    reach = float(stats.norm.ppf(0.5 + level / 2.0))
    drawn = samples.get("sampled", {})
    found: dict[str, float] = {}
    for region in LABELS.names.values():
        own = f"{region}_{quantity}"
        means = np.array([math.nan if v is None else v for v in drawn.get(region, ())], float)
        sd = float(means.std(ddof=1)) if len(means) > 1 else math.nan
        noise = (values[f"{own}_high_ms"] - values[f"{own}_low_ms"]) / 2.0
        half = math.hypot(noise, reach * sd)
        found |= {
            f"{own}_sampled_sd_ms": sd,
            f"{own}_joint_low_ms": values[f"{own}_ms"] - half,
            f"{own}_joint_high_ms": values[f"{own}_ms"] + half,
        }
    return found


def t1_intervals(
    values: Mapping[str, float], *, samples: Mapping[str, Any], level: float, method: str = ""
) -> dict[str, float]:
    """Return the columns of `T1_INTERVALS`; `method` is for other protocols."""
    return joined("t1", values, samples=samples, level=level)


def t2_intervals(
    values: Mapping[str, float], *, samples: Mapping[str, Any], level: float, method: str = ""
) -> dict[str, float]:
    """Return the columns of `T2_INTERVALS`; `method` is for other protocols."""
    return joined("t2", values, samples=samples, level=level)
