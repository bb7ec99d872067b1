"""Figures of the audit: funnel by group, crossed groups, agreement by group, the bias ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from popscan.report.figures.attrition import _spread
from popscan.report.figures.base import (
    FULL_WIDTH_IN,
    GRID,
    INK,
    MUTED,
    Point,
    colours_of,
    drawing,
    panels,
    strip_axes,
    to_svg,
)
from popscan.report.figures.distributions import thin
from popscan.report.figures.forest import heat
from popscan.report.text import decimals, number, places_for, shorten

#: Colours of a step that widens the gap, that narrows it, and of the gap itself.
_WIDER, _NARROWER, _GAP = "#d9722e", "#2f8f8b", "#5d6d7a"


@dataclass(frozen=True, kw_only=True)
class FunnelPanel:
    """One attribute: share of each group that is left after each stage."""

    title: str
    stages: Sequence[str]
    kept_pct: Mapping[str, Sequence[float]]
    sizes: Mapping[str, str]


def funnels(items: Sequence[FunnelPanel]) -> Markup:
    """Draw, per attribute, the share of each group that is left after each stage."""
    with drawing():
        figure, all_axes = panels(len(items), columns=2, height_in=2.6)
        lowest = min((min(v) for i in items for v in i.kept_pct.values() if len(v)), default=0.0)
        for axes, item in zip(all_axes, items, strict=True):
            colours = colours_of(list(item.kept_pct))
            ends = []
            for group, kept in item.kept_pct.items():
                axes.plot(
                    range(len(kept) + 1), [100.0, *kept], marker="o", markersize=3.6,
                    color=colours[group], linewidth=1.8, markeredgewidth=0,
                )  # fmt: skip
                ends.append((kept[-1] if len(kept) else 100.0, group))
            bottom = max(0.0, lowest - 0.12 * (100 - lowest) - 1)
            ends.sort(reverse=True)
            height = 100 - bottom
            places = _spread([100 - y for y, _ in ends], 0.085 * height, height)
            for (value, group), place in zip(ends, places, strict=True):
                axes.text(
                    len(item.stages) + 0.15, 100 - place,
                    f"{shorten(group, 22)} {decimals(value, 0)}% {item.sizes.get(group, '')}",
                    color=colours[group], fontsize=7.8, va="center",
                )  # fmt: skip
            axes.set_title(item.title)
            axes.set_xticks(
                range(len(item.stages) + 1), ["enrolled", *item.stages], fontsize=7.4,
                rotation=28, ha="right", rotation_mode="anchor",
            )  # fmt: skip
            axes.set_xlim(-0.2, len(item.stages) + 0.1)
            axes.set_ylim(bottom, 100 + 0.04 * height)
            axes.yaxis.set_major_formatter("{x:.0f}%")
            strip_axes(axes, grid="y")
        return to_svg(
            figure, name="funnels", alt="Share of each group that is left after each stage; "
            "numbers in the table.",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CrossedPanel:
    """One outcome over two crossed attributes.

    `cells` maps (row, column) to text, size in within-group SDs and side (1 worse, -1 better).
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], tuple[str, float, float]]


def crossed(items: Sequence[CrossedPanel], *, name: str) -> Markup:
    """Draw crossed groups as coloured cells, one panel per outcome."""
    tallest = max(len(item.rows) for item in items)
    with drawing():
        figure, all_axes = panels(len(items), columns=3, height_in=0.75 + 0.42 * tallest)
        for axes, item in zip(all_axes, items, strict=True):
            for y, row in enumerate(item.rows):
                for x, column in enumerate(item.columns):
                    text, size, side = item.cells.get((row, column), ("–", math.nan, 0.0))
                    colour, ink = heat(abs(size), side=side)
                    axes.add_patch(
                        Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5)
                    )
                    axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=7.6,
                              color=ink)  # fmt: skip
            axes.set_xlim(0, len(item.columns))
            axes.set_ylim(len(item.rows), 0)
            axes.set_xticks(
                [x + 0.5 for x in range(len(item.columns))],
                [shorten(c, 16) for c in item.columns],
            )
            axes.set_yticks(
                [y + 0.5 for y in range(len(item.rows))], [shorten(r, 22) for r in item.rows]
            )
            axes.tick_params(length=0, labelsize=8)
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.set_title(shorten(item.title, 40))
        return to_svg(
            figure, name=name, alt="Outcomes in crossed groups; numbers in the tables of groups."
        )


@dataclass(frozen=True, kw_only=True)
class AgreementPanel:
    """One biomarker: bias and limits of agreement by group, with the pairs where they may show.

    `limits` maps a group to bias, lower and upper limit; `points` to (mean, difference) of each
    subject, shape (n, 2), `units` to their names in the same order.
    """

    title: str
    unit: str
    limits: Mapping[str, tuple[float, float, float]]
    points: Mapping[str, NDArray[np.float64]]
    units: Mapping[str, Sequence[str]] = field(default_factory=dict)


def agreements(
    items: Sequence[AgreementPanel],
    *,
    name: str,
    difference: str = "measured − reference",
    links: Mapping[str, str] | None = None,
) -> Markup:
    """Draw differences against means (Bland and Altman), groups by colour.

    Without points (shared reports) each group is a column: its bias and its limits of agreement.
    """
    groups = list(dict.fromkeys(g for item in items for g in item.limits))
    colours = colours_of(groups)
    with drawing():
        figure, all_axes = panels(len(items), columns=3, height_in=2.5)
        subjects: dict[str, list[Point]] = {}
        for panel, (axes, item) in enumerate(zip(all_axes, items, strict=True)):
            axes.axhline(0, color="#9aa5af", linewidth=0.9)
            if any(len(p) for p in item.points.values()):
                subjects |= _scatter(axes, item, colours, panel=panel, links=links or {})
            else:
                _columns(axes, item, colours)
            axes.set_title(shorten(item.title, 40))
            unit = f" ({item.unit})" if item.unit else ""
            axes.set_ylabel(f"{difference}{unit}", fontsize=7.8)
            axes.grid(axis="y", color=GRID, linewidth=0.8)
        handles = [Line2D([], [], color=colours[g], linewidth=2) for g in groups]
        figure.legend(
            handles, [shorten(g, 24) for g in groups], loc="outside upper left",
            ncols=min(6, len(groups)), handlelength=1.4,
        )  # fmt: skip
        return to_svg(
            figure, name=name, points=subjects,
            alt="Difference from the reference by group; numbers in the table.",
        )  # fmt: skip


def _scatter(
    axes: Axes,
    item: AgreementPanel,
    colours: Mapping[str, str],
    *,
    panel: int,
    links: Mapping[str, str],
) -> dict[str, list[Point]]:
    """Draw the pairs; return the subjects of the points by gid."""
    subjects = {}
    for number_of_group, (group, points) in enumerate(item.points.items()):
        places = np.flatnonzero(np.isin(points[:, 0], thin(points[:, 0], 200)))
        chosen, gid = points[places], f"pairs{panel}-{number_of_group}"
        axes.plot(chosen[:, 0], chosen[:, 1], "o", markersize=3.2, alpha=0.65,
                  color=colours.get(group, MUTED), markeredgewidth=0, gid=gid)  # fmt: skip
        if group in item.units:
            names = [item.units[group][i] for i in places.tolist()]
            subjects[gid] = [
                Point(
                    unit=unit,
                    words=f"difference {number(pair[1])}, mean {number(pair[0])} {item.unit}",
                    href=links.get(unit, ""),
                )
                for unit, pair in zip(names, chosen, strict=True)
            ]
    for group, (bias, low, high) in item.limits.items():
        axes.axhline(bias, color=colours[group], linewidth=1.6)
        for limit in (low, high):
            axes.axhline(limit, color=colours[group], linewidth=1.0, linestyle=(0, (4, 3)))
    unit = f" ({item.unit})" if item.unit else ""
    axes.set_xlabel(f"mean of both{unit}", fontsize=7.8)
    return subjects


def _columns(axes: Axes, item: AgreementPanel, colours: Mapping[str, str]) -> None:
    for x, (group, (bias, low, high)) in enumerate(item.limits.items()):
        axes.plot([x, x], [low, high], color=colours[group], linewidth=9, alpha=0.3,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot([x - 0.25, x + 0.25], [bias, bias], color=colours[group], linewidth=2.2)
    axes.set_xticks(range(len(item.limits)), [shorten(g, 14) for g in item.limits], fontsize=8)
    axes.set_xlim(-0.6, len(item.limits) - 0.4)


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
