"""The experiment's pictures, as in the papers: gap and Dice against the group's share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from popscan.report.figures.base import (
    CYCLE,
    INK,
    balanced,
    drawing,
    panels,
    strip_axes,
    to_svg,
)


def gap_figure(
    summary: pd.DataFrame, *, baseline: str, group: str, reference: str, name: str, alt: str
) -> Markup:
    """Draw the gap against the share of the group: a panel per arm, each beside the baseline.

    Parameters
    ----------
    summary
        Rows of one architecture and one group, as `popscan.experiment.results.results` gives them.
    baseline
        Arm that is drawn in every panel; empty for none.
    group, reference
        Whose Dice minus whose.
    name, alt
        Prefix of identifiers; text alternative.
    """
    arms = [arm for arm in dict.fromkeys(summary["mitigation"]) if arm != baseline] or [baseline]
    with drawing():
        columns = balanced(len(arms))
        figure, axes = panels(len(arms), columns=columns, height_in=2.5)
        for place, (arm, ax) in enumerate(zip(arms, axes, strict=True)):
            ax.axhline(0, color=INK, lw=0.8)
            if baseline and baseline != arm:
                _series(ax, summary, baseline, colour="#9aa5af", label=baseline)
            _series(ax, summary, arm, colour=CYCLE[0], label=arm)
            ax.set_title(arm)
            ax.sharex(axes[0])
            ax.sharey(axes[0])
            strip_axes(ax, grid="y")
            if place >= len(arms) - columns:
                ax.set_xlabel(f"share of {group} in training, %")
            if place % columns == 0:
                ax.set_ylabel(f"Dice, {group} − {reference}")
        return to_svg(figure, name=name, alt=alt)


def _series(ax: Axes, summary: pd.DataFrame, arm: str, *, colour: str, label: str) -> None:
    rows = summary[summary["mitigation"] == arm].sort_values("share_pct")
    x = rows["share_pct"].to_numpy(float)
    ax.fill_between(
        x,
        rows["gap_low"].astype(float),
        rows["gap_high"].astype(float),
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    ax.vlines(
        x,
        rows["gap_seed_low"].astype(float),
        rows["gap_seed_high"].astype(float),
        color=colour,
        lw=1.2,
    )
    ax.plot(x, rows["gap"].astype(float), "o-", color=colour, ms=4, lw=1.6, label=label)


def dice_figure(
    groups: pd.DataFrame, *, arms: Sequence[str], names: Sequence[str], name: str, alt: str
) -> Markup:
    """Draw every group's mean Dice against the first group's share, a panel per arm.

    Parameters
    ----------
    groups
        Rows of one architecture, as `popscan.experiment.results.results` gives them.
    arms, names
        Mitigations and groups, in order.
    name, alt
        Prefix of identifiers; text alternative.
    """
    with drawing():
        columns = balanced(len(arms))
        figure, axes = panels(len(arms), columns=columns, height_in=2.5)
        for place, (arm, ax) in enumerate(zip(arms, axes, strict=True)):
            for colour, group in zip(CYCLE * len(names), names, strict=False):
                rows = groups[(groups["mitigation"] == arm) & (groups["group"] == group)]
                rows = rows.sort_values("share_pct")
                x, y = rows["share_pct"].to_numpy(float), rows["mean"].to_numpy(float)
                low, high = rows["ci_low"].to_numpy(float), rows["ci_high"].to_numpy(float)
                ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                ax.plot(x, y, "o-", color=colour, ms=4, lw=1.6, label=group)
            ax.set_title(arm)
            ax.sharex(axes[0])
            ax.sharey(axes[0])
            strip_axes(ax, grid="y")
            if place >= len(arms) - columns:
                ax.set_xlabel(f"share of {names[0]} in training, %")
            if place % columns == 0:
                ax.set_ylabel("mean Dice")
        axes[0].legend(loc="best")
        return to_svg(figure, name=name, alt=alt)


def signed(value: float, *, digits: int = 3) -> str:
    """Write a difference with its sign; a dash where it is undefined.

    Examples
    --------
    >>> signed(0.0312), signed(-0.2), signed(float("nan"))
    ('+0.031', '−0.200', '–')
    """
    return "–" if not math.isfinite(value) else f"{value:+.{digits}f}".replace("-", "−")
