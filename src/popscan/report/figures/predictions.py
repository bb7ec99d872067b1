"""Figures of audited predictions: calibration within groups, and rates at other thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from popscan.report.figures.base import (
    MUTED,
    colours_of,
    drawing,
    panels,
    strip_axes,
    to_svg,
)
from popscan.report.text import shorten


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """Curves of the groups of one attribute.

    Attributes
    ----------
    title
        Above the panel.
    curves
        Group -> array (k, 4): x, y, and the limits of y's interval.
    across, up
        What the axes show.
    diagonal
        Whether equality of both is drawn.
    mark
        Place on the x axis that is in use; NaN for none.
    """

    title: str
    curves: Mapping[str, NDArray[np.float64]]
    across: str
    up: str
    diagonal: bool = False
    mark: float = float("nan")


def curve_panels(items: Sequence[CurvePanel], *, name: str, alt: str) -> Markup:
    """Draw curves by group with their intervals as bands."""
    with drawing():
        figure, all_axes = panels(len(items), columns=3, height_in=2.9)
        for axes, item in zip(all_axes, items, strict=True):
            if item.diagonal:
                axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
            if np.isfinite(item.mark):
                axes.axvline(item.mark, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
            colours = colours_of(list(item.curves))
            for group, curve in item.curves.items():
                x, y, low, high = curve.T
                axes.fill_between(x, low, high, color=colours[group], alpha=0.15, linewidth=0)
                axes.plot(
                    x, y, color=colours[group], linewidth=1.6, marker="o", markersize=2.6,
                    markeredgewidth=0, label=shorten(group, 24),
                )  # fmt: skip
            axes.set_title(item.title)
            axes.set_xlabel(item.across)
            axes.set_ylabel(item.up)
            axes.set_ylim(-0.02, 1.02)
            strip_axes(axes, grid="y")
        all_axes[0].legend(fontsize=7.6, loc="best")
        return to_svg(figure, name=name, alt=alt)
