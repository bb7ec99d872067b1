"""What the sections on fairness along the pipeline share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.protocol import Protocol
from popscan.report.blocks import Block, Bullets, Details
from popscan.report.context import StudyContext
from popscan.report.text import DASH, decimals, interval, plural
from popscan.report.tidy import complete, numbers, words

#: Biomarkers drawn in one figure.
MOST_PANELS = 6


def bullets_of(context: StudyContext, part: str) -> list[Block]:
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


def biomarker_order(part: pd.DataFrame, protocol: Protocol) -> list[str]:
    """Return the biomarkers of a table, those first that the protocol names first."""
    names = list(dict.fromkeys(part["biomarker"]))
    first = protocol.words.first or tuple(one.name for one in protocol.outcomes)
    return sorted(names, key=lambda n: first.index(n) if n in first else len(first))
