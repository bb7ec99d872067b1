"""What the sections on fairness along the pipeline share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.protocols import own
from popscan.report.blocks import Block, Bullets, Details
from popscan.report.context import StudyContext
from popscan.report.text import DASH, decimals, interval, plural
from popscan.report.tidy import complete, numbers, words

#: Biomarkers in the order in which a cardiologist reads them.
_PREFERRED = tuple(
    name for one in own() for name in one.words.first or (o.name for o in one.outcomes)
)
#: Biomarkers drawn in one figure.
MOST_PANELS = 6


def said(context: StudyContext, part: str) -> list[Block]:
    """Return the sentences of one part of the audit, those beyond six folded."""
    items = list(context.words.get(part, ()))
    if len(items) <= 6:
        return [Bullets(items=items)] if items else []
    summary = f"{plural(len(items) - 6, 'more sentence')}"
    rest = Details(summary=summary, blocks=[Bullets(items=items[6:])])
    return [Bullets(items=items[:6]), rest]


def tidy(table: pd.DataFrame, texts: tuple[str, ...], values: tuple[str, ...]) -> pd.DataFrame:
    """Return a table with these columns, texts as text and values as floats."""
    found = complete(table, *texts, *values).copy()
    for column in texts:
        found[column] = words(found[column])
    for column in values:
        found[column] = numbers(found[column])
    return found


def gap_cell(gap: float, low: float, high: float, places: int = 1) -> str:
    """Write a difference with its interval; a dash where there is none."""
    if not np.isfinite(gap):
        return DASH
    return f"{decimals(gap, places)} ({interval(low, high, places)})"


def biomarker_order(part: pd.DataFrame) -> list[str]:
    """Return the biomarkers of a table, those first that are read first."""
    names = list(dict.fromkeys(part["biomarker"]))
    return sorted(names, key=lambda n: _PREFERRED.index(n) if n in _PREFERRED else len(_PREFERRED))
