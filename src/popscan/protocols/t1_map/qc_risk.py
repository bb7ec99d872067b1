"""How likely the result of a network that draws is wrong, from all signs together.

A logistic model of what the drawn segmentations say and of how their regions lie on the map: every
sign can speak against a result or say nothing, none of them for it. Its numbers are those of
``benchmarks/mapping_segmentation.py --part fit``, of simulated maps of the patients that were kept
out of the training for this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from popscan.protocols.t1_map.labels import LABELS, LV, MYO
from popscan.qc.fit import label_share
from popscan.qc.model import Measured, not_assessed
from popscan.relaxometry import region_value

if TYPE_CHECKING:
    from popscan.protocols.t1_map.qc import MapContext

#: A sign counts up to so many spreads from its centre.
FARTHEST = 4.0
#: Signs that are named in a message, and the log-odds that one must add for that.
NAMED, LEAST_NAMED = 3, 0.3
#: Spread of the wall's mean below which it says nothing, in percent.
_LEAST_SPREAD_PCT = 0.05

INTERCEPT = 0.0
#: Sign -> its median and spread in right results, and the log-odds that a spread adds.
WEIGHTS: Mapping[str, tuple[float, float, float]] = {}


def _of_record(name: str) -> Callable[[MapContext], float]:
    def value(ctx: MapContext) -> float:
        found = ctx.from_segmentation.get(name)
        return float(found) if isinstance(found, int | float) else math.nan

    return value


def _apart(name: str) -> Callable[[MapContext], float]:
    """Return how little the drawn segmentations of a region overlap: 1 where it is nowhere."""

    def value(ctx: MapContext) -> float:
        overlap = _of_record(f"sample_dice_{name}")(ctx)
        return 1.0 - overlap if math.isfinite(overlap) else 1.0

    return value


def log_spread(ctx: MapContext) -> float:
    """Return the logarithm of the spread of the wall's mean over the draws, in percent."""
    spread = _of_record("sampled_sd_wall_pct")(ctx)
    return math.log(max(spread, _LEAST_SPREAD_PCT)) if math.isfinite(spread) else math.nan


def nearness(ctx: MapContext) -> float:
    """Return how little blood and wall differ: minus the logarithm of their ratio's size."""
    blood = region_value(ctx.map_ms, ctx.region(LV), spacing_mm=ctx.spacing_mm).median
    wall = ctx.wall.median
    return -abs(math.log(blood / wall)) if blood > 0 and wall > 0 else math.nan


def unevenness(ctx: MapContext) -> float:
    """Return the spread of the map within the wall over its mean."""
    return ctx.wall.sd / ctx.wall.mean if ctx.wall.n_voxels else math.nan


def border_shift(ctx: MapContext) -> float:
    """Return how far voxels at the border move the wall's mean, of the mean without them."""
    return abs(ctx.wall.border_shift) / ctx.wall.core_mean if ctx.wall.n_voxels else math.nan


def unexplained(ctx: MapContext) -> float:
    """Return the share of the map's variance in the regions that lies within them."""
    labels = None if ctx.labels is None else ctx.labels[..., 0]
    return 1.0 - label_share(ctx.map_ms, labels, ctx.spacing_mm).value / 100.0


def open_ring(ctx: MapContext) -> float:
    """Return the share of the border of left-ventricular blood that is not on the wall."""
    cavity = ctx.region(LV)
    around = np.zeros_like(cavity)
    for z in range(cavity.shape[2]):
        around[..., z] = ndimage.binary_dilation(cavity[..., z]) & ~cavity[..., z]
    n = int(around.sum())
    return float((around & ~ctx.region(MYO)).sum()) / n if n else math.nan


#: Sign -> its measure and what a message says of it.
SIGNS: Mapping[str, tuple[Callable[[MapContext], float], str]] = {
    **{
        f"apart_{name}": (_apart(name), f"draws of {words} overlap little")
        for name, words in LABELS.words.items()
    },
    **{
        f"entropy_{name}": (_of_record(f"mean_entropy_{name}"), f"the network is unsure of {words}")
        for name, words in LABELS.words.items()
    },
    "log_spread": (log_spread, "the mean of the wall differs between draws"),
    "nearness": (nearness, "blood and wall differ little"),
    "unevenness": (unevenness, "values within the wall are uneven"),
    "border_shift": (border_shift, "voxels at the border move the mean of the wall"),
    "unexplained": (unexplained, "values within the regions are uneven"),
    "open_ring": (open_ring, "the wall around the left-ventricular blood is open"),
    "ood": (_of_record("ood_score"), "the map is unlike the training maps"),
}


def signs(ctx: MapContext) -> dict[str, float]:
    """Return every sign of `SIGNS`; NaN for one that does not apply."""
    return {name: float(measure(ctx)) for name, (measure, _) in SIGNS.items()}


def contributions(found: Mapping[str, float]) -> dict[str, float]:
    """Return the log-odds that every sign adds; 0 for one that does not apply."""
    added = {}
    for name, (centre, spread, weight) in WEIGHTS.items():
        z = (found[name] - centre) / spread
        added[name] = weight * min(max(z, -FARTHEST), FARTHEST) if math.isfinite(z) else 0.0
    return added


def risk(added: Mapping[str, float]) -> float:
    """Return the probability of a wrong result, from the contributions.

    Examples
    --------
    >>> risk({"a": 50.0}) > 0.99 > risk({"a": -50.0})
    True
    """
    return 1.0 / (1.0 + math.exp(-INTERCEPT - sum(added.values())))


def error_risk(ctx: MapContext) -> Measured:
    """Probability that the wall's mean is off by over 5%, or its Dice is below 0.7.

    Among results as those of ``benchmarks/mapping_segmentation.py``: simulated maps, good and bad.
    Where the labels were given there is no such number; 1 where no wall was found.
    """
    if "sample_dice_wall" not in ctx.from_segmentation:
        return not_assessed("the labels were given; nothing was drawn")
    if not ctx.wall.n_voxels:
        return Measured(1.0, "no myocardium with a value")
    found = signs(ctx)
    added = contributions(found)
    ranked = sorted(added, key=lambda name: -added[name])
    named = [name for name in ranked[:NAMED] if added[name] >= LEAST_NAMED]
    listed = "; ".join(f"{SIGNS[name][1]} ({found[name]:.3g})" for name in named)
    return Measured(risk(added), listed or "no sign stands out")
