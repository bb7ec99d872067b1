"""How likely a result is wrong, from all signs together.

A logistic model: every sign of `popscan.protocols.cine_sax.qc.evidence` can speak against a result
or say nothing, none of them for it. Its numbers are those of `benchmarks/qc_truth.py --fit`, from
the development half of the patients there.
"""

from __future__ import annotations

from collections.abc import Mapping

from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.evidence import SIGNS
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.protocols.cine_sax.qc.phases import two_frames
from popscan.qc.model import Measured, not_assessed
from popscan.qc.odds import added_odds, probability

#: A sign counts up to so many spreads from its centre.
FARTHEST = 4.0
#: Signs that are named in a message, and the log-odds that one must add for that.
NAMED, LEAST_NAMED = 3, 0.3
INTERCEPT = -0.834
#: Sign -> its median and spread in right results, and the log-odds that a spread adds.
WEIGHTS: Mapping[str, tuple[float, float, float]] = {
    "contraction_kink": (0.07338, 0.06942, 0.413),
    "missed": (12.54, 2.985, 0.413),
    "base_open": (0, 4.957, 0.286),
    "holes": (0, 4.041, 0.279),
    "base_travel": (8, 2.119, 0.265),
    "volumes_apart": (0.2502, 0.2885, 0.253),
    "lv_open": (0, 4.515, 0.198),
    "dice_lv": (0.0455, 0.03756, 0.165),
    "mass": (12.81, 6.802, 0.130),
    "entropy_rv": (0.1722, 0.04296, 0.126),
    "rv_apart": (0, 1.032, 0.113),
}


def contributions(signs: Mapping[str, float]) -> dict[str, float]:
    """Return the log-odds that every sign adds; 0 for one that does not apply."""
    return added_odds(signs, WEIGHTS, nearest=-FARTHEST, farthest=FARTHEST)


def risk(added: Mapping[str, float]) -> float:
    """Return the probability of a wrong result, from the contributions.

    Examples
    --------
    >>> risk({"a": 50.0}) > 0.99 > risk({})
    True
    """
    return probability(added, intercept=INTERCEPT)


def error_risk(ctx: Context) -> Measured:
    """Probability that LVEF is off by over 5 points or a volume by over 15%, from all evidence.

    Among results as those of `benchmarks/qc_truth.py`, half of them wrong. Where the labels are
    not of a model that says how sure it is, there is no such number.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if "mean_entropy_lv" not in ctx.from_segmentation:
        return not_assessed("the segmentation does not say how sure it is")
    short = two_frames(ctx)
    signs = {name: float(SIGNS[name].measure(short)) for name in WEIGHTS}
    added = contributions(signs)
    ranked = sorted(added, key=lambda name: -added[name])
    named = [name for name in ranked[:NAMED] if added[name] >= LEAST_NAMED]
    listed = "; ".join(f"{SIGNS[name].words} ({signs[name]:.3g})" for name in named)
    return Measured(risk(added), listed or "no sign stands out")
