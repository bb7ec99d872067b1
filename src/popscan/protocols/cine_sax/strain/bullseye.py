"""Bull's-eye plots of the segments, written as SVG directly."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup, escape

from popscan.protocols.cine_sax.aha import SEGMENTS

#: Of one plot: diameter, margin on each side, height of a line of its title, height of its scale.
_SIZE, _MARGIN, _LINE, _SCALE = 230, 12, 16, 34
#: Letters of a line of the title, and lines at most.
_LETTERS, _LINES = 32, 3
#: Ring -> (first segment, how many, inner and outer radius in shares of the plot's).
_RINGS = ((1, 6, 0.68, 1.0), (7, 6, 0.37, 0.68), (13, 4, 0.0, 0.37))
_PALE, _FULL, _MISSING = (247, 251, 255), (8, 81, 156), "#e3e8ec"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One bull's-eye: segment -> value; values from 0 to `full` are pale to dark."""

    title: str
    values: Mapping[int, float]
    full: float
    unit: str = "%"


def bullseye(plots: Sequence[Plot]) -> Markup:
    """Draw plots side by side, below each other where the page is narrow.

    Base outside, anterior above, septum on the left. Segments without a value are grey. Every
    segment names itself and its value when pointed at.
    """
    lines = [textwrap.wrap(plot.title, _LETTERS, max_lines=_LINES, placeholder=" …")
             for plot in plots]  # fmt: skip
    most = max(map(len, lines), default=0)
    return Markup("<div>" + "".join(map(_drawn, plots, lines, [most] * len(lines))) + "</div>")


def _drawn(plot: Plot, title: Sequence[str], n_lines: int) -> str:
    """Return one plot as SVG, its title in lines and its scale of colours below."""
    width, head = _SIZE + 2 * _MARGIN, _LINE * n_lines + 6
    height, x = head + _SIZE + _SCALE, width / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(plot.title)}" '
        'font-family="DejaVu Sans, sans-serif" fill="#1c2733" '
        'style="display:inline-block;max-width:100%;height:auto">'
    ]
    for number, line in enumerate(title, start=n_lines - len(title) + 1):
        parts.append(
            f'<text x="{x:.0f}" y="{number * _LINE - 2}" text-anchor="middle" font-size="12" '
            f'font-weight="bold">{escape(line)}</text>'
        )
    parts += _one(plot, x, head + _SIZE / 2)
    return "".join([*parts, *_scale(plot, x, head + _SIZE + 12), "</svg>"])


def _scale(plot: Plot, x: float, y: float) -> list[str]:
    """Return the colours from 0 to the full one, with what they stand for."""
    steps, wide = 24, 4
    left = x - steps * wide / 2
    parts = [
        f'<rect x="{left + wide * step:.0f}" y="{y:.0f}" width="{wide + 0.5}" height="9" '
        f'fill="{_colour(step / (steps - 1))}"/>'
        for step in range(steps)
    ]
    for text, at, anchor in (
        ("0", left - 5, "end"),
        (f"{plot.full:g} {plot.unit}", left + steps * wide + 5, "start"),
    ):
        parts.append(
            f'<text x="{at:.0f}" y="{y + 9:.0f}" font-size="11" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )
    return parts


def of_subject(rows: pd.DataFrame) -> Markup:
    """Draw peak strains of one subject: rows of the table `motion_segments`."""
    return bullseye(
        [
            mean_plot("Peak circumferential strain (%)", rows, "circumferential_peak_pct", -30.0),
            mean_plot("Peak radial strain (%)", rows, "radial_peak_pct", 60.0),
        ]
    )


def mean_plot(title: str, rows: pd.DataFrame, column: str, full: float) -> Plot:
    """Return the plot of a column's mean over subjects."""
    values = {
        segment: float(rows.loc[rows["segment"] == segment, column].mean())
        for segment in range(1, 17)
    }
    return Plot(title=title, values=values, full=full)


def _one(plot: Plot, x: float, y: float) -> list[str]:
    radius = _SIZE / 2 - 4
    parts = []
    for first, count, inner, outer in _RINGS:
        for index in range(count):
            segment = first + index
            middle = math.pi / 2 + index * 2 * math.pi / count
            half = math.pi / count
            path = _sector(x, y, inner * radius, outer * radius, middle - half, middle + half)
            value = plot.values.get(segment, math.nan)
            known = math.isfinite(value)
            shown = f"{value:.0f}" if known else "–"
            label = f"{segment} {SEGMENTS[segment]}: " + (
                f"{value:.1f} {plot.unit}" if known else "not measured"
            )
            share = min(max(value / plot.full, 0.0), 1.0) if known else 0.0
            at = radius * (0.62 * outer if inner == 0 else (inner + outer) / 2)
            ink = "#ffffff" if share > 0.55 else "#1c2733"
            parts.append(
                f'<path d="{path}" fill="{_colour(share) if known else _MISSING}" '
                f'stroke="#ffffff" stroke-width="1.5"><title>{escape(label)}</title></path>'
                f'<text x="{x + at * math.cos(middle):.1f}" '
                f'y="{y - at * math.sin(middle) + 4:.1f}" text-anchor="middle" font-size="11" '
                f'fill="{ink}" pointer-events="none">{shown}</text>'
            )
    return parts


def _sector(x: float, y: float, inner: float, outer: float, start: float, end: float) -> str:
    def at(radius: float, angle: float) -> str:
        return f"{x + radius * math.cos(angle):.1f},{y - radius * math.sin(angle):.1f}"

    out = f"M{at(outer, start)} A{outer:.1f},{outer:.1f} 0 0 0 {at(outer, end)}"
    if inner == 0:
        return f"{out} L{x:.1f},{y:.1f} Z"
    return f"{out} L{at(inner, end)} A{inner:.1f},{inner:.1f} 0 0 1 {at(inner, start)} Z"


def _colour(share: float) -> str:
    parts = (round(p + share * (f - p)) for p, f in zip(_PALE, _FULL, strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)
