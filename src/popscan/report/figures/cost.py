"""What the study cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from popscan.report.figures.base import (
    ACCENT,
    GRID,
    MUTED,
    drawing,
    new_figure,
    to_svg,
)
from popscan.report.text import number, shorten


def stage_hours(hours: Mapping[str, float]) -> Markup:
    """Draw the time of every stage as bars with their numbers, in hours, minutes or seconds."""
    largest = max(hours.values())
    unit, factor = next(
        (name, per_hour)
        for name, per_hour in (("Hours", 1), ("Minutes", 60), ("Seconds", 3600))
        if largest * per_hour >= 1 or per_hour == 3600
    )
    values = [factor * value for value in hours.values()]
    with drawing():
        figure = new_figure(5.1, 0.5 + 0.3 * len(hours))
        axes = figure.add_subplot()
        axes.barh(range(len(hours)), values, color=ACCENT, height=0.7)
        for y, value in enumerate(values):
            axes.text(value, y, f" {number(value, digits=2)}", va="center", fontsize=8, color=MUTED)
        axes.set_yticks(range(len(hours)), [shorten(stage, 24) for stage in hours])
        axes.set_ylim(len(hours) - 0.4, -0.6)
        axes.margins(x=0.18)
        axes.set_title(unit)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=GRID)
        words = ", ".join(f"{s} {number(v)}" for s, v in zip(hours, values, strict=True))
        return to_svg(figure, name="cost-hours", alt=f"{unit} per stage: {words}.")


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
