"""The bias ledger as waterfalls: how the gap changes from step to step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from popscan.report.figures.base import FULL_WIDTH_IN, GRID, INK, MUTED, drawing, panels, to_svg
from popscan.report.text import decimals, places_for, shorten

#: Colours of a step that widens the gap, that narrows it, and of the gap itself.
_WIDER, _NARROWER, _GAP = "#d9722e", "#2f8f8b", "#5d6d7a"


@dataclass(frozen=True, kw_only=True)
class WaterfallStep:
    """One step: the gap after it, what the step adds (with interval), whether that is clear."""

    name: str
    gap: float
    contribution: float
    low: float
    high: float
    clear: bool


@dataclass(frozen=True, kw_only=True)
class WaterfallPanel:
    """The ledger of one biomarker and group, first step first."""

    title: str
    unit: str
    steps: Sequence[WaterfallStep]


def waterfalls(items: Sequence[WaterfallPanel], *, name: str) -> Markup:
    """Draw how the gap between two groups grows or shrinks along the pipeline.

    Grey bars are the gap at the start and in the end; each coloured bar is what one step adds to
    it or takes from it, with its interval. Pale bars are steps that are not clear.
    """
    most = max(len(item.steps) for item in items)
    columns = min(2, len(items))
    with drawing():
        width = FULL_WIDTH_IN if columns > 1 else 0.62 * FULL_WIDTH_IN
        figure, all_axes = panels(
            len(items), columns=columns, height_in=0.75 + 0.27 * (most + 1), width_in=width
        )
        for i, (axes, item) in enumerate(zip(all_axes, items, strict=True)):
            _waterfall(axes, item)
            if i % columns:
                axes.set_yticklabels([])
        labels = {"widens the gap": _WIDER, "narrows it": _NARROWER, "the gap itself": _GAP}
        figure.legend(
            [Rectangle((0, 0), 1, 1, color=c) for c in labels.values()], list(labels),
            loc="outside upper left", ncols=3, handlelength=1, handleheight=1,
        )  # fmt: skip
        return to_svg(
            figure, name=name, alt="Contribution of each step of the pipeline to the gap between "
            "two groups; numbers in the table.",
        )  # fmt: skip


def _waterfall(axes: Axes, item: WaterfallPanel) -> None:
    first, *rest = item.steps
    axes.barh(0, first.gap, color=_GAP, height=0.62)
    reach = [0.0, first.gap]
    before = first.gap
    for y, step in enumerate(rest, start=1):
        wider = abs(step.gap) >= abs(before)
        axes.barh(
            y, step.gap - before, left=before, height=0.62, color=_WIDER if wider else _NARROWER,
            alpha=1.0 if step.clear else 0.42,
        )  # fmt: skip
        axes.plot([before, before], [y - 1.31, y + 0.31], color=MUTED, linewidth=0.7)
        if math.isfinite(step.low) and math.isfinite(step.high):
            ends = [before + step.low, before + step.high]
            axes.plot(ends, [y, y], color=INK, linewidth=1.1)
            reach += ends
        reach.append(step.gap)
        before = step.gap
    last = len(item.steps)
    axes.plot([before, before], [last - 1.31, last + 0.31], color=MUTED, linewidth=0.7)
    axes.barh(last, before, color=_GAP, height=0.62)
    _waterfall_labels(axes, item, reach)


def _waterfall_labels(axes: Axes, item: WaterfallPanel, reach: Sequence[float]) -> None:
    """Numbers at the right edge, names at the left."""
    known = [value for value in reach if math.isfinite(value)]
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    places = places_for(span / 4)
    first, *rest = item.steps
    texts = [decimals(first.gap, places)]
    texts += [("+" if s.contribution > 0 else "") + decimals(s.contribution, places) for s in rest]
    texts.append(decimals(item.steps[-1].gap, places))
    for y, text in enumerate(texts):
        total = y in (0, len(texts) - 1)
        axes.text(high + 0.05 * span, y, text, va="center", fontsize=8,
                  fontweight="bold" if total else "normal")  # fmt: skip
    axes.axvline(0, color="#9aa5af", linewidth=0.9)
    axes.set_xlim(low - 0.06 * span, high + 0.3 * span)
    axes.set_ylim(len(item.steps) + 0.5, -0.6)
    axes.set_yticks(
        range(len(texts)), [*(shorten(s.name, 34) for s in item.steps), "gap in the end"],
        fontsize=8,
    )  # fmt: skip
    axes.set_title(shorten(f"{item.title} ({item.unit})" if item.unit else item.title, 62))
    axes.xaxis.set_major_locator(MaxNLocator(5, prune="upper"))
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)
