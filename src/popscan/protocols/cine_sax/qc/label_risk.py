"""How likely labels are wrong, from the image and their shape alone: no network is asked.

Boosted trees over the signs of `agreement` and `shape`. They were fitted on experts' labels of
ACDC's training patients and true labels of digital hearts, clean and spoilt in known manners
(`benchmarks/qc.py --fit`); so they hold for labels of any origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from popscan.protocols.cine_sax.qc.agreement import WORDS as AGREEMENT
from popscan.protocols.cine_sax.qc.agreement import agreement
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.protocols.cine_sax.qc.phases import two_frames
from popscan.protocols.cine_sax.qc.shape import WORDS as SHAPE
from popscan.protocols.cine_sax.qc.shape import shape
from popscan.qc.model import Measured, not_assessed
from popscan.qc.trees import Trees, probability, read_trees

#: Signs that are named in a message, and the log-odds that one must add for that.
NAMED, LEAST_NAMED = 3, 0.3
_FILE = "label_risk.json"


@cache
def trees() -> Trees:
    """Return the trees that are shipped."""
    return read_trees(Path(__file__).with_name(_FILE))


def label_signs(ctx: Context) -> dict[str, float]:
    """Return every sign of labels at end-diastole and end-systole; NaN where one does not apply."""
    short = two_frames(ctx)
    return {**agreement(short), **shape(short)}


def words(name: str) -> str:
    """Return what a sign is, for a reader.

    Examples
    --------
    >>> words("lv_edge_es")
    'where the edge of the LV lies at ES'
    """
    stem, _, phase = name.rpartition("_")
    known: Mapping[str, str] = {**AGREEMENT, **SHAPE}
    return known[name] if name in known else f"{known[stem]} at {phase.upper()}"


def label_risk(ctx: Context) -> Measured:
    """Probability that labels are off by over 5 points of LVEF or 10% of a volume, from the image.

    Among labels as those of `benchmarks/qc.py`, half of them wrong. The signs compare the labels
    with the image below them (edges, blood, muscle, the next slices beyond base and apex) and with
    the shape of other hearts.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.phases[1] is None:
        return not_assessed("end-systole is unknown")
    signs = label_signs(ctx)
    risk = probability(float(trees().log_odds(trees().row(signs)[None])[0]))
    added = trees().contributions(signs)
    ranked = sorted(added, key=lambda name: -added[name])
    named = [name for name in ranked[:NAMED] if added[name] >= LEAST_NAMED]
    listed = "; ".join(f"{words(name)} ({signs[name]:.3g})" for name in named)
    return Measured(risk, listed or "no sign stands out")
