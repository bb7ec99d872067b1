"""Curves over time, written as SVG directly: a page per subject must cost little."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from popscan.labelset import Structure
from popscan.report.figures.base import GRID, INK, MUTED, colours_of

_WIDTH, _HEIGHT = 660, 260
_LEFT, _RIGHT, _TOP, _FOOT = 62, 120, 14, 42


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Return round numbers from below `low` to `high`, about as many as asked for.

    Examples
    --------
    >>> nice_ticks(0, 163)
    [0.0, 50.0, 100.0, 150.0]
    """
    raw = max(high - low, 1e-9) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1.0, 2.0, 5.0) if m * power >= raw), 10 * power)
    return [i * step for i in range(math.floor(low / step), math.floor(high / step + 1e-9) + 1)]


def _runs(values: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the indices of each unbroken run of finite values."""
    finite = np.flatnonzero(np.isfinite(values))
    return np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1) if finite.size else []


def volume_curve(
    curves: Mapping[str, NDArray[np.float64]],
    times_ms: NDArray[np.float64] | None,
    *,
    structures: Sequence[Structure] = (),
) -> Markup:
    """Draw volumes over the frames; those without a value leave a gap.

    Parameters
    ----------
    curves
        Structure -> volumes in mL, shape (t,), with at least one finite value in all.
    times_ms : ndarray, shape (t,), or None
        Times of the frames; None numbers the frames instead.
    structures
        Of the protocol: names and colours of lines.
    """
    titles = {one.name: one.title for one in structures}
    colours = {one.name: one.on_white or one.colour for one in structures}
    longest = max(len(values) for values in curves.values())
    times = np.arange(longest, dtype=float) if times_ms is None else np.asarray(times_ms, float)
    top = max(float(np.nanmax(v)) for v in curves.values() if np.isfinite(v).any())
    x0, x1 = float(times.min()), max(float(times.max()), float(times.min()) + 1e-6)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _FOOT

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + width * (x - x0) / (x1 - x0), _TOP + height * (1 - y / (1.06 * top or 1))

    def label(x: float, y: float, text: str, anchor: str) -> str:
        where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        return f'<text {where} fill="{MUTED}">{text}</text>'

    parts = []
    for tick in nice_ticks(0, 1.06 * top):
        _, y = at(x0, tick)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
            + label(_LEFT - 7, y + 4, f"{tick:g}", "end")
        )
    for tick in nice_ticks(x0, x1, about=6):
        if tick < x0:
            continue
        x, y = at(tick, 0)
        parts.append(label(x, y + 17, f"{tick:g}", "middle"))
    extra = colours_of([s for s in curves if s not in colours])
    ends: list[tuple[float, float, str]] = []
    for name, values in curves.items():
        colour = colours.get(name) or extra[name]
        for run in _runs(values):
            points = [at(float(times[i]), float(values[i])) for i in run]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points
            ]
            last = points[-1]
        if np.isfinite(values).any():
            text = f'fill="{colour}">{escape(titles.get(name, name))}</text>'
            ends.append((last[1] + 4, last[0] + 9, text))
    below = -np.inf
    for y, x, text in sorted(ends):  # names of curves that end together stand below each other
        below = max(y, below + 13)
        parts.append(f'<text x="{x:.1f}" y="{below:.1f}" {text}')
    what = "Frame" if times_ms is None else "Time (ms)"
    parts.append(
        f'<text x="{_LEFT + width / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle" '
        f'fill="{INK}">{what}</text>'
    )
    middle = _TOP + height / 2
    parts.append(
        f'<text x="14" y="{middle:.0f}" text-anchor="middle" fill="{INK}" '
        f'transform="rotate(-90 14 {middle:.0f})">Volume (mL)</text>'
    )
    names = escape(", ".join(titles.get(s, s) for s in curves))
    return Markup(
        f'<svg class="chart" role="img" aria-label="Volume in every frame of {names}." '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" style="width:100%;max-width:{_WIDTH}px" '
        f'font-size="12">{"".join(parts)}</svg>'
    )
