"""How likely the result of a network that draws is wrong, from all signs together.

A logistic model of how little the drawn walls overlap and of how uneven the map is within the wall:
either can speak against a result, and next to nothing for it. Its numbers are those of
``benchmarks/mapping_segmentation.py --part table``, of simulated maps of the patients that were
kept out of the training for this. Of twelve signs that were tried on these patients (overlap of the
draws and entropy of each region, spread of the mean, contrast, border voxels, ...) the others added
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from popscan.qc.model import Measured, not_assessed
from popscan.qc.odds import added_odds, probability

if TYPE_CHECKING:
    from popscan.protocols.t1_map.qc import MapContext

#: A sign counts from so many spreads below its centre to so many above: draws that agree cannot
#: outvote an uneven wall.
NEAREST, FARTHEST = -1.0, 4.0
#: Log-odds that a sign must add to be named in the message.
LEAST_NAMED = 0.3
INTERCEPT = -1.540
#: Sign -> its median and spread in right results, and the log-odds that a spread adds.
WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "apart": (0.2319, 0.06574, 0.924),
    "unevenness": (0.1317, 0.09011, 0.753),
}


def apart(ctx: MapContext) -> float:
    """Return how little the drawn walls overlap, 0 to 1: one less their mean Dice; 1 for none."""
    overlap = ctx.from_segmentation.get("sample_dice_wall")
    if not isinstance(overlap, int | float) or not math.isfinite(overlap):
        return 1.0
    return 1.0 - float(overlap)


def unevenness(ctx: MapContext) -> float:
    """Return the spread of the map within the wall over its mean; NaN without a wall."""
    return ctx.wall.sd / ctx.wall.mean if ctx.wall.n_voxels else math.nan


#: Sign -> its measure and what a message says of it.
SIGNS: Mapping[str, tuple[Callable[[MapContext], float], str]] = {
    "apart": (apart, "drawn walls overlap little"),
    "unevenness": (unevenness, "values within the wall are uneven"),
}


def signs(ctx: MapContext) -> dict[str, float]:
    """Return every sign of `SIGNS`; NaN for one that does not apply."""
    return {name: float(measure(ctx)) for name, (measure, _) in SIGNS.items()}


def contributions(found: Mapping[str, float]) -> dict[str, float]:
    """Return the log-odds that every sign adds; 0 for one that does not apply."""
    return added_odds(found, WEIGHTS, nearest=NEAREST, farthest=FARTHEST)


def risk(added: Mapping[str, float]) -> float:
    """Return the probability of a wrong result, from the contributions.

    Examples
    --------
    >>> risk({"a": 50.0}) > 0.99 > risk({"a": -50.0})
    True
    """
    return probability(added, intercept=INTERCEPT)


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
    listed = "; ".join(
        f"{words} ({found[name]:.2f})"
        for name, (_, words) in SIGNS.items()
        if added[name] >= LEAST_NAMED
    )
    return Measured(risk(added), listed or "no sign stands out")
