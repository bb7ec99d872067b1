"""Flow of the study's subjects through the stages."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from popscan.report.figures.base import (
    FULL_WIDTH_IN,
    INK,
    MUTED,
    STATUS_COLOURS,
    drawing,
    new_figure,
    to_svg,
)
from popscan.report.text import stage_title

#: From the top of a bar to its foot: who goes on first, who is lost last.
STATUS_ORDER = ("ok", "not_applicable", "excluded", "failed", "skipped", "no_record")
_BAR = 0.075


def _levels(matrix: pd.DataFrame) -> list[dict[str, tuple[float, float]]]:
    """Top and foot of every status in every stage's bar, measured in subjects from the top."""
    levels = []
    for stage in matrix:
        top = 0.0
        spans = {}
        for status in STATUS_ORDER:
            n = int((matrix[stage] == status).sum())
            if n:
                spans[status] = (top, top + n)
                top += n
        levels.append(spans)
    return levels


def _ribbon(
    axes: Axes,
    x: tuple[float, float],
    left: tuple[float, float],
    right: tuple[float, float],
    colour: str,
) -> None:
    middle = (x[0] + x[1]) / 2
    points = [
        (x[0], left[0]), (middle, left[0]), (middle, right[0]), (x[1], right[0]),
        (x[1], right[1]), (middle, right[1]), (middle, left[1]), (x[0], left[1]), (x[0], left[0]),
    ]  # fmt: skip
    codes = [
        Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4,
        Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.CLOSEPOLY,
    ]  # fmt: skip
    axes.add_patch(PathPatch(Path(points, codes), facecolor=colour, alpha=0.28, linewidth=0))


def _flows(axes: Axes, matrix: pd.DataFrame, levels: list[dict[str, tuple[float, float]]]) -> None:
    stages = list(matrix)
    for i, (before, after) in enumerate(pairwise(stages)):
        moves = matrix.value_counts([before, after]).to_dict()
        left = {status: span[0] for status, span in levels[i].items()}
        right = {status: span[0] for status, span in levels[i + 1].items()}
        for source in STATUS_ORDER:
            for target in STATUS_ORDER:
                n = int(moves.get((source, target), 0))
                if not n:
                    continue
                _ribbon(
                    axes,
                    (i + _BAR, i + 1 - _BAR),
                    (left[source], left[source] + n),
                    (right[target], right[target] + n),
                    STATUS_COLOURS[target],
                )
                left[source] += n
                right[target] += n


def _spread(positions: Sequence[float], gap: float, limit: float) -> list[float]:
    """Move label positions apart, downwards first, then back up from the foot."""
    placed: list[float] = []
    for y in positions:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    floor = limit
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], floor)
        floor = placed[i] - gap
    return placed


def flow(matrix: pd.DataFrame) -> Markup:
    """Draw who goes on and who is lost at every stage.

    Parameters
    ----------
    matrix
        Status of every subject (rows) at every stage (columns), as from
        `popscan.report.units.status_matrix`; at least one row and one column.

    Returns
    -------
    Markup
        Inline SVG.
    """
    known = matrix.where(matrix.isin(STATUS_ORDER), "no_record")
    total = len(known)
    levels = _levels(known)
    with drawing():
        figure = new_figure(FULL_WIDTH_IN, 3.7)
        axes = figure.add_subplot()
        _flows(axes, known, levels)
        for i, (stage, spans) in enumerate(zip(known, levels, strict=True)):
            for status, (top, foot) in spans.items():
                axes.add_patch(
                    Rectangle(
                        (i - _BAR, top), 2 * _BAR, foot - top, facecolor=STATUS_COLOURS[status],
                        edgecolor="white", linewidth=0.4,
                    )
                )  # fmt: skip
            middles = _spread(
                [(top + foot) / 2 for top, foot in spans.values()], 0.062 * total, 0.985 * total
            )
            for (status, (top, foot)), y in zip(spans.items(), middles, strict=True):
                axes.text(
                    i + _BAR + 0.03, y, f"{int(foot - top):,} {status.replace('_', ' ')}",
                    va="center", ha="left", fontsize=8,
                    color=INK if status in ("ok", "failed", "excluded") else MUTED,
                )  # fmt: skip
            title = textwrap.fill(stage_title(str(stage)), 14)
            axes.text(i, -0.02 * total, title, ha="center", va="bottom", fontweight="bold")
        axes.set_xlim(-0.25, len(levels) - 1 + 0.62)
        axes.set_ylim(total * 1.01, -0.12 * total)
        axes.set_axis_off()
        words = "; ".join(
            f"{stage_title(str(stage))}: "
            + ", ".join(f"{int(b - a)} {status.replace('_', ' ')}" for status, (a, b) in s.items())
            for stage, s in zip(known, levels, strict=True)
        )
        return to_svg(figure, name="flow", alt=f"Subjects by status at every stage. {words}.")
