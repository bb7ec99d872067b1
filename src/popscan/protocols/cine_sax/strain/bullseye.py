"""Bull's-eye plots of the segments, written as SVG directly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup, escape

from popscan.protocols.cine_sax.aha import SEGMENTS

_SIZE, _GAP, _HEAD = 230, 30, 26
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
    """Draw plots side by side: base outside, anterior above, septum on the left.

    Segments without a value are grey. Every segment names itself and its value when pointed at.
    """
    width = len(plots) * (_SIZE + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_SIZE + _HEAD}" '
        f'width="{width}" height="{_SIZE + _HEAD}" role="img" '
        f'aria-label="{escape("; ".join(plot.title for plot in plots))}" '
        'font-family="DejaVu Sans, sans-serif" style="max-width:100%;height:auto">'
    ]
    for number, plot in enumerate(plots):
        x = number * (_SIZE + _GAP) + _SIZE / 2
        parts.append(
            f'<text x="{x:.0f}" y="14" text-anchor="middle" font-size="11" font-weight="bold" '
            f'fill="#1c2733">{escape(plot.title)}</text>'
        )
        parts += _one(plot, x, _HEAD + _SIZE / 2)
    return Markup("".join(parts) + "</svg>")


def of_subject(rows: pd.DataFrame) -> Markup:
    """Draw peak strains of one subject: rows of the table `motion_segments`."""
    return bullseye(
        [
            _plot("Peak circumferential strain (%)", rows, "circumferential_peak_pct", -30.0),
            _plot("Peak radial strain (%)", rows, "radial_peak_pct", 60.0),
        ]
    )


def mean_plot(title: str, rows: pd.DataFrame, column: str, full: float) -> Plot:
    """Return the plot of a column's mean over subjects."""
    values = {
        segment: float(rows.loc[rows["segment"] == segment, column].mean())
        for segment in range(1, 17)
    }
    return Plot(title=title, values=values, full=full)


def _plot(title: str, rows: pd.DataFrame, column: str, full: float) -> Plot:
    return mean_plot(title, rows, column, full)


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
