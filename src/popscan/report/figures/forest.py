"""Intervals drawn inside table rows (forest plots whose numbers are real text), heat colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from popscan.report.figures.base import ACCENT, INK, MUTED

_WIDTH, _HEIGHT, _PAD = 230, 22, 8


def axis_limits(
    lows: Sequence[float], highs: Sequence[float], estimates: Sequence[float] = ()
) -> tuple[float, float]:
    """Return limits around zero that hold all estimates and most intervals.

    The widest tenth of the intervals may be cut, so that one of them does not squeeze the others.

    Returns
    -------
    tuple of float
        Symmetric around 0, (-1, 1) if nothing is finite.
    """
    ends = np.abs(np.array([*lows, *highs], dtype=float))
    ends = ends[np.isfinite(ends)]
    if not ends.size or ends.max() == 0:
        return -1.0, 1.0
    largest = float(ends.max())
    usual = float(np.percentile(ends, 90)) * 2
    limit = min(largest, usual) if usual > 0 else largest
    middles = np.abs(np.array(estimates, dtype=float))
    limit = max([limit, *(1.05 * middles[np.isfinite(middles)]).tolist()])
    return -1.06 * limit, 1.06 * limit


def _x(value: float, limits: tuple[float, float]) -> float:
    share = (value - limits[0]) / (limits[1] - limits[0])
    return _PAD + (_WIDTH - 2 * _PAD) * min(1.0, max(0.0, share))


def interval_cell(
    estimate: float,
    low: float,
    high: float,
    *,
    limits: tuple[float, float],
    strong: bool = False,
    mark: float = math.nan,
    alt: str = "",
) -> Markup:
    """Draw one estimate with its interval around a zero line.

    `strong` marks an interval that excludes zero (after correction, as the caller sees it). Ends
    beyond the limits become arrows. Nothing but the zero line is drawn for an undefined estimate.
    `mark` is a second value, drawn as a tick (a gap before adjustment, say).
    """
    zero = _x(0.0, limits)
    parts = [f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{_HEIGHT}" class="zero"/>']
    colour = ACCENT if strong else MUTED
    if math.isfinite(mark) and limits[0] <= mark <= limits[1]:
        at = _x(mark, limits)
        parts.append(
            f'<path d="M{at:.1f} 3L{at:.1f} {_HEIGHT - 3}" stroke="#d9722e" stroke-width="2.4"/>'
        )
    if math.isfinite(estimate):
        y = _HEIGHT / 2
        if math.isfinite(low) and math.isfinite(high):
            a, b = _x(low, limits), _x(high, limits)
            parts.append(
                f'<line x1="{a:.1f}" y1="{y}" x2="{b:.1f}" y2="{y}" stroke="{colour}" '
                f'stroke-width="{2.4 if strong else 1.6}"/>'
            )
            for value, x, step in ((low, a, 5), (high, b, -5)):
                if not limits[0] <= value <= limits[1]:
                    parts.append(
                        f'<path d="M{x + step:.1f} {y - 4}L{x:.1f} {y}L{x + step:.1f} {y + 4}" '
                        f'fill="none" stroke="{colour}" stroke-width="1.6"/>'
                    )
        if limits[0] <= estimate <= limits[1]:
            x = _x(estimate, limits)
            fill = colour if strong else "#fff"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{fill}" stroke="{colour}" '
                'stroke-width="1.8"/>'
            )
    return Markup(
        f'<svg class="interval" role="img" aria-label="{escape(alt)}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(parts)}</svg>'
    )


def axis_header(limits: tuple[float, float], *, left: str, right: str) -> Markup:
    """Draw the scale that stands above a column of intervals."""
    step = _step(limits[1])
    ticks = np.arange(-math.floor(limits[1] / step), math.floor(limits[1] / step) + 1) * step
    parts = []
    for tick in ticks:
        x = _x(float(tick), limits)
        text = "0" if abs(tick) < step / 2 else f"{tick:g}".replace("-", "−")
        parts.append(
            f'<line x1="{x:.1f}" y1="28" x2="{x:.1f}" y2="33" stroke="{MUTED}"/>'
            f'<text x="{x:.1f}" y="25" text-anchor="middle">{text}</text>'
        )
    parts.append(
        f'<line x1="{_PAD}" y1="33" x2="{_WIDTH - _PAD}" y2="33" stroke="{MUTED}"/>'
        f'<text x="{_PAD}" y="10">{escape(left)}</text>'
        f'<text x="{_WIDTH - _PAD}" y="10" text-anchor="end">{escape(right)}</text>'
    )
    return Markup(
        f'<svg class="interval axis" aria-hidden="true" width="{_WIDTH}" height="34" '
        f'viewBox="0 0 {_WIDTH} 34">{"".join(parts)}</svg>'
    )


def _step(limit: float) -> float:
    raw = max(limit, 1e-12) / 2.2
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1.0, 2.0, 5.0) if m * power >= raw), 10 * power)


def heat(size: float, *, side: float) -> tuple[str, str]:
    """Return background and ink of a heat cell.

    Parameters
    ----------
    size
        From 0 (white) to 1 (full colour), as large as the gap.
    side
        1 for worse (orange), -1 for better (blue), anything else for neither (grey).

    Examples
    --------
    >>> heat(0.0, side=1.0)
    ('#ffffff', '#1c2733')
    """
    if not math.isfinite(size):
        return "#f4f6f8", MUTED
    # Even the full colours are light enough for dark ink.
    end = {1.0: (238, 146, 70), -1.0: (84, 160, 208)}.get(side, (172, 179, 187))
    weight = min(1.0, abs(size)) ** 0.8
    mixed = [round(255 + (c - 255) * weight) for c in end]
    return "#{:02x}{:02x}{:02x}".format(*mixed), INK
