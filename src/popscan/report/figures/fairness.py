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
from numpy.typing import NDArray

from popscan.report.figures.attrition import _spread
from popscan.report.figures.base import (
    GRID,
    MUTED,
    Point,
    colours_of,
    drawing,
    panels,
    strip_axes,
    to_svg,
)
from popscan.report.figures.density import MANY, farthest, shade
from popscan.report.figures.distributions import thin
from popscan.report.figures.forest import heat
from popscan.report.text import decimals, number, shorten


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

    @property
    def dense(self) -> bool:
        """Whether there are so many points that a density is drawn of them."""
        return sum(map(len, self.points.values())) > MANY


def agreements(
    items: Sequence[AgreementPanel],
    *,
    name: str,
    difference: str = "measured − reference",
    links: Mapping[str, str] | None = None,
) -> Markup:
    """Draw differences against means (Bland and Altman), groups by colour.

    Without points (shared reports) each group is a column: its bias and its limits of agreement.
    Of very many points the density is drawn, and the outliers of each group.
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
    if item.dense:
        together = np.concatenate(list(item.points.values()))
        shade(axes, together[:, 0], together[:, 1])
    for number_of_group, (group, points) in enumerate(item.points.items()):
        if item.dense:
            places = farthest(np.abs(points[:, 1] - item.limits[group][0]))
        else:
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
