"""Distributions by group: violins with points, histograms, bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from popscan.report.figures.base import (
    FULL_WIDTH_IN,
    GRID,
    INK,
    MUTED,
    Point,
    balanced,
    colours_of,
    drawing,
    new_figure,
    panels,
    to_svg,
)
from popscan.report.figures.density import MANY, OUTLIERS
from popscan.report.names import plain
from popscan.report.text import count, number, shorten

#: Points drawn per group; more would only grow the file.
MAX_POINTS = 90


@dataclass(frozen=True, kw_only=True)
class Violins:
    """One panel: values by group, with optional reference ranges (low, high) by group.

    `units` names the subjects behind the values of a group, in their order, for the points.
    """

    title: str
    groups: Mapping[str, NDArray[np.float64]]
    ranges: Mapping[str, tuple[float, float]]
    units: Mapping[str, Sequence[str]] = field(default_factory=dict)


def _outline(values: NDArray[np.float64], *, trim: bool) -> tuple[NDArray, NDArray]:
    """Density of the values on a grid, scaled to 1; flat for a constant."""
    low, high = np.percentile(values, [2.5, 97.5]) if trim else (values.min(), values.max())
    grid = np.linspace(low, high, 60)
    spread = values.std()
    if spread < 1e-9 * max(1.0, abs(values.mean())):
        return grid, np.zeros_like(grid)
    if values.size > MANY:  # ranks stand for all: a kernel for each point would only take time
        values = np.sort(values)[np.linspace(0, values.size - 1, MANY).astype(int)]
    density = gaussian_kde(values)(grid)
    return grid, density / density.max()


def thin(values: NDArray[np.float64], limit: int = MAX_POINTS) -> NDArray[np.float64]:
    """Return at most `limit` of the values, evenly over their ranks, both extremes included.

    Of more than `MANY` values, which the violin shows, only the outermost.
    """
    return values[thinned(values, limit)]


def thinned(values: NDArray[np.float64], limit: int = MAX_POINTS) -> NDArray[np.intp]:
    """Return the places of the values that `thin` returns, smallest first."""
    order = np.argsort(values, kind="stable")
    if order.size <= limit:
        return order
    if order.size > MANY:
        return np.concatenate([order[:OUTLIERS], order[-OUTLIERS:]])
    return order[np.round(np.linspace(0, order.size - 1, limit)).astype(int)]


def points_in_words(items: Sequence[Violins]) -> str:
    """Say which points `violins` draws."""
    largest = max((len(v) for item in items for v in item.groups.values()), default=0)
    some = f"at most {MAX_POINTS} per group, evenly over the ranks"
    if largest <= MANY:
        return some
    return f"{some}; of groups of more than {MANY:,} the {OUTLIERS} lowest and highest"


def _violin(
    axes: Axes,
    x: float,
    values: NDArray[np.float64],
    colour: str,
    *,
    private: bool,
    gid: str = "",
) -> None:
    if values.size >= (50 if private else 8):
        grid, width = _outline(values, trim=private)
        axes.fill_betweenx(grid, x - 0.36 * width, x, color=colour, alpha=0.32, linewidth=0)
        axes.plot(x - 0.36 * width, grid, color=colour, linewidth=0.9)
    if not private:
        points = thin(values)
        # Golden-ratio steps spread points evenly and, unlike random jitter, never vary.
        offsets = 0.07 + 0.26 * ((np.arange(points.size) * 0.618034) % 1)
        axes.plot(
            x + offsets, points, "o", markersize=2.1, color=colour, alpha=0.6, markeredgewidth=0,
            gid=gid or None,
        )  # fmt: skip
    low, middle, high = np.percentile(values, [25, 50, 75])
    axes.plot([x, x], [low, high], color=colour, linewidth=3.2, solid_capstyle="butt")
    axes.plot([x - 0.1, x + 0.1], [middle, middle], color=INK, linewidth=1.6)


def violins(
    items: Sequence[Violins],
    *,
    name: str,
    alt: str,
    columns: int = 4,
    private: bool = False,
    same_scale: bool = False,
    links: Mapping[str, str] | None = None,
) -> Markup:
    """Draw one panel per item: half violins, points, quartiles, and reference ranges in grey.

    With `private`, no single person's value and no n is shown: no points, violins end at the
    2.5th and 97.5th percentile. `same_scale` gives all panels the same axis. Groups without a
    finite value are left out; violins need 8 values, private ones 50. `links` maps subjects to
    their pages.
    """
    points: dict[str, list[Point]] = {}
    with drawing():
        figure, all_axes = panels(len(items), columns=columns, height_in=2.25)
        for panel, (axes, item) in enumerate(zip(all_axes, items, strict=True)):
            groups = {
                group: values[np.isfinite(values)]
                for group, values in item.groups.items()
                if np.isfinite(values).any()
            }
            colours = colours_of(list(groups))
            for x, (group, values) in enumerate(groups.items()):
                if group in item.ranges:
                    low, high = item.ranges[group]
                    axes.add_patch(
                        Rectangle((x - 0.43, low), 0.86, high - low, color="#eceff2", zorder=0)
                    )
                    for edge in (low, high):
                        axes.plot([x - 0.43, x + 0.43], [edge] * 2, color="#9aa5af", lw=0.8)
                gid = f"points{panel}-{x}"
                _violin(axes, x, values, colours[group], private=private, gid=gid)
                if group in item.units and not private:
                    points[gid] = _named(item, group, links or {})
            axes.set_title(shorten(item.title, 34))
            axes.set_xticks(
                range(len(groups)),
                [
                    shorten(g, 14) + ("" if private else f"\nn = {v.size:,}")
                    for g, v in groups.items()
                ],
                fontsize=8,
            )
            axes.set_xlim(-0.55, max(1, len(groups)) - 0.45)
            axes.grid(axis="y", color=GRID, linewidth=0.8)
            axes.tick_params(axis="x", length=0)
            axes.tick_params(axis="y", labelcolor=MUTED, labelsize=8)
            axes.spines["left"].set_visible(False)
        if same_scale:
            ends = [end for axes in all_axes for end in axes.get_ylim()]
            for axes in all_axes:
                axes.set_ylim(min(ends), max(ends))
        return to_svg(figure, name=name, alt=alt, points=points)


def _named(item: Violins, group: str, links: Mapping[str, str]) -> list[Point]:
    """Return the subjects of the points of a group, in the order in which they are drawn."""
    every = item.groups[group]
    finite = np.flatnonzero(np.isfinite(every))
    chosen = finite[thinned(every[finite])]
    return [
        Point(
            unit=item.units[group][i],
            words=plain(f"{item.title} {number(every[i])}, {group}"),
            href=links.get(item.units[group][i], ""),
        )
        for i in chosen
    ]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute of the cohort: numbers by group, or counts of levels by group."""

    title: str
    values: Mapping[str, NDArray[np.float64]] | None = None
    levels: Mapping[str, Mapping[str, float]] | None = None


def _histogram(axes: Axes, attribute: Attribute, colours: Mapping[str, str]) -> None:
    values = {g: v[np.isfinite(v)] for g, v in (attribute.values or {}).items()}
    together = np.concatenate([v for v in values.values() if v.size])
    low, high = float(together.min()), float(together.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, int(np.clip(np.sqrt(together.size), 6, 24)) + 1)
    foot = np.zeros(bins.size - 1)
    for group, v in values.items():
        heights, _ = np.histogram(v, bins)
        axes.bar(
            bins[:-1], heights, width=np.diff(bins), bottom=foot, align="edge",
            color=colours[group], edgecolor="white", linewidth=0.6,
        )  # fmt: skip
        foot += heights
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.spines["left"].set_visible(False)


def _bars(axes: Axes, attribute: Attribute, colours: Mapping[str, str]) -> None:
    levels = attribute.levels or {}
    names = list(dict.fromkeys(level for counts in levels.values() for level in counts))
    foot = np.zeros(len(names))
    for group, counts in levels.items():
        widths = np.array([counts.get(level, 0) for level in names], dtype=float)
        axes.barh(
            range(len(names)), widths, left=foot, color=colours[group], height=0.72,
            edgecolor="white", linewidth=0.6,
        )  # fmt: skip
        foot += np.nan_to_num(widths)
    axes.set_yticks(range(len(names)), [shorten(n, 22) for n in names], fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for y, n in enumerate(foot):
        axes.text(n, y, f" {count(n)}", va="center", fontsize=7.5, color=MUTED)
    axes.margins(x=0.16)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def cohort(attributes: Sequence[Attribute], *, groups: Sequence[str], alt: str) -> Markup:
    """Draw the cohort's attributes, stacked by group: histograms and bars."""
    colours = colours_of(groups)
    with drawing():
        figure, all_axes = panels(len(attributes), columns=balanced(len(attributes)), height_in=2.1)
        for axes, attribute in zip(all_axes, attributes, strict=True):
            (_histogram if attribute.values is not None else _bars)(axes, attribute, colours)
            axes.set_title(shorten(attribute.title, 34))
        if len(groups) > 1:
            handles = [Rectangle((0, 0), 1, 1, color=colours[g]) for g in groups]
            figure.legend(
                handles, [shorten(g, 24) for g in groups], loc="outside upper left",
                ncols=min(6, len(groups)), handlelength=1, handleheight=1, fontsize=8.5,
            )  # fmt: skip
        return to_svg(figure, name="cohort", alt=alt)


def stacked(
    rows: Mapping[str, Mapping[str, float]],
    *,
    colours: Mapping[str, str],
    name: str,
    alt: str,
    width_in: float = FULL_WIDTH_IN,
) -> Markup:
    """Draw one horizontal bar per row, split into shares of its parts, with the counts in it."""
    with drawing():
        figure = new_figure(width_in, 0.55 + 0.27 * len(rows))
        axes = figure.add_subplot()
        for y, parts in enumerate(rows.values()):
            total = sum(parts.values()) or 1.0
            left = 0.0
            for part, n in parts.items():
                share = 100 * n / total
                colour = colours.get(part, "#8b939c")
                axes.barh(y, share, left=left, color=colour, height=0.74, edgecolor="white", lw=0.6)
                if share >= 4:
                    dark = part in ("review", "excluded", "not_applicable")
                    axes.text(
                        left + share / 2, y, f"{int(n):,}", ha="center", va="center", fontsize=7.5,
                        color=INK if dark else "white",
                    )  # fmt: skip
                left += share
        axes.set_yticks(range(len(rows)), [shorten(row, 40) for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_formatter("{x:.0f}%")
        axes.spines["left"].set_visible(False)
        parts_seen = list(dict.fromkeys(p for parts in rows.values() for p in parts))
        handles = [Rectangle((0, 0), 1, 1, color=colours.get(p, "#8b939c")) for p in parts_seen]
        figure.legend(
            handles, [p.replace("_", " ") for p in parts_seen], loc="outside upper left",
            ncols=6, handlelength=1, handleheight=1,
        )  # fmt: skip
        return to_svg(figure, name=name, alt=alt)
