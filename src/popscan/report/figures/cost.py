"""What the study cost, and curves over the cardiac cycle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from popscan.report.figures.base import (
    ACCENT,
    GRID,
    MUTED,
    STRUCTURE_NAMES,
    colours_of,
    drawing,
    new_figure,
    to_svg,
)
from popscan.report.text import number, shorten

#: Lines on white need darker hues than contours on grey images.
_CURVE_COLOURS = {"lv": "#c1440e", "rv": "#0072b2", "myo": "#8a6d00"}


def stage_hours(hours: Mapping[str, float]) -> Markup:
    """Draw the hours of every stage as bars with their numbers."""
    with drawing():
        figure = new_figure(5.1, 0.5 + 0.3 * len(hours))
        axes = figure.add_subplot()
        values = list(hours.values())
        axes.barh(range(len(hours)), values, color=ACCENT, height=0.7)
        for y, value in enumerate(values):
            axes.text(value, y, f" {number(value)}", va="center", fontsize=8, color=MUTED)
        axes.set_yticks(range(len(hours)), [shorten(stage, 24) for stage in hours])
        axes.set_ylim(len(hours) - 0.4, -0.6)
        axes.margins(x=0.18)
        axes.set_title("Hours")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=GRID)
        words = ", ".join(f"{stage} {number(v)}" for stage, v in hours.items())
        return to_svg(figure, name="cost-hours", alt=f"Hours per stage: {words}.")


def stage_seconds(seconds: Mapping[str, NDArray[np.float64]]) -> Markup:
    """Draw the seconds per subject of every stage: 5th to 95th percentile, quartiles, median."""
    with drawing():
        figure = new_figure(5.1, 0.5 + 0.3 * len(seconds))
        axes = figure.add_subplot()
        for y, values in enumerate(seconds.values()):
            low, q1, middle, q3, high = np.percentile(values, [5, 25, 50, 75, 95])
            axes.plot([low, high], [y, y], color=MUTED, linewidth=1.2)
            axes.plot([q1, q3], [y, y], color=ACCENT, linewidth=7, solid_capstyle="butt")
            axes.plot([middle], [y], "o", color="white", markersize=4, markeredgecolor=ACCENT)
        axes.set_yticks(range(len(seconds)), [shorten(stage, 24) for stage in seconds])
        axes.set_ylim(len(seconds) - 0.4, -0.6)
        if all(values.min() > 0 for values in seconds.values()):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title("Seconds per subject")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=GRID)
        words = ", ".join(f"{stage} median {number(np.median(v))}" for stage, v in seconds.items())
        return to_svg(figure, name="cost-seconds", alt=f"Seconds per subject: {words}.")


def volume_curve(
    curves: Mapping[str, NDArray[np.float64]], times_ms: NDArray[np.float64] | None
) -> Markup:
    """Draw volumes over the cardiac cycle; frames without a value leave a gap."""
    extra = colours_of([s for s in curves if s not in _CURVE_COLOURS])
    with drawing():
        figure = new_figure(6.4, 2.5)
        axes = figure.add_subplot()
        for structure, values in curves.items():
            x = np.arange(len(values)) if times_ms is None else np.asarray(times_ms, dtype=float)
            colour = _CURVE_COLOURS.get(structure) or extra[structure]
            axes.plot(x, values, "o-", color=colour, markersize=3, linewidth=1.6)
            finite = np.flatnonzero(np.isfinite(values))
            if finite.size:
                axes.annotate(
                    STRUCTURE_NAMES.get(structure, structure), (x[finite[-1]], values[finite[-1]]),
                    xytext=(6, 0), textcoords="offset points", va="center", color=colour,
                    fontsize=8,
                )  # fmt: skip
        axes.set_xlabel("Frame" if times_ms is None else "Time after the R wave (ms)")
        axes.set_title("Volume (mL)")
        axes.grid(axis="y", color=GRID)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(bottom=0)
        names = ", ".join(STRUCTURE_NAMES.get(s, s) for s in curves)
        return to_svg(figure, name="curve", alt=f"Volume over the cardiac cycle of {names}.")
