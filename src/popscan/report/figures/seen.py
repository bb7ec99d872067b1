"""Figures on predicted Dice, and on where attributes are seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from popscan.report.figures.base import (
    ACCENT,
    CYCLE,
    FULL_WIDTH_IN,
    GRID,
    MUTED,
    colours_of,
    drawing,
    new_figure,
    panels,
    strip_axes,
    to_svg,
)


def auc_forest(table: pd.DataFrame, *, sources: Sequence[str], name: str) -> Markup:
    """Draw how well groups are predicted from each source, a panel per attribute.

    Parameters
    ----------
    table
        attribute, group, source, auc, auc_low, auc_high, auc_adjusted.
    sources
        Sources from top to bottom.
    name
        Prefix of identifiers.
    """
    attributes = list(dict.fromkeys(table["attribute"]))
    with drawing():
        figure, axes = panels(len(attributes), columns=2, height_in=0.7 + 0.3 * len(sources))
        for axis, attribute in zip(axes, attributes, strict=True):
            part = table[table["attribute"] == attribute]
            groups = list(dict.fromkeys(part["group"]))
            colours = dict(zip(groups, CYCLE * (1 + len(groups) // len(CYCLE)), strict=False))
            step = 0.6 / max(len(groups), 1)
            for row in part.to_dict("records"):
                y = sources.index(row["source"]) + step * (
                    groups.index(row["group"]) - (len(groups) - 1) / 2
                )
                colour = colours[row["group"]]
                axis.plot([row["auc_low"], row["auc_high"]], [y, y], color=colour, lw=1.6)
                label = row["group"] if row["source"] == part["source"].iloc[0] else None
                axis.plot(row["auc"], y, "o", color=colour, ms=4.5, label=label)
                axis.plot(row["auc_adjusted"], y, "|", color=colour, ms=9, mew=2)
            axis.axvline(0.5, color=MUTED, lw=0.8, ls=":")
            axis.set(xlim=(0.2, 1.02), ylim=(len(sources) - 0.4, -0.6), title=attribute)
            axis.set_yticks(range(len(sources)), sources)
            axis.set_xlabel("area under the ROC curve")
            strip_axes(axis)
            axis.legend(fontsize=7, loc="lower left")
        return to_svg(figure, name=name, alt="How well attributes are predicted from each source")


def predicted_scatter(pairs: pd.DataFrame, *, groups: pd.Series, name: str) -> Markup:
    """Draw predicted against true Dice, mean over structures.

    Parameters
    ----------
    pairs
        predicted, true; indexed by unit.
    groups
        Group of each unit.
    name
        Prefix of identifiers.
    """
    with drawing():
        figure = new_figure(FULL_WIDTH_IN / 2.2, 4.0)
        axis = figure.add_subplot()
        low = float(min(pairs["predicted"].min(), pairs["true"].min(), 0.6))
        axis.plot([low, 1], [low, 1], color=GRID, lw=1.2)
        given = groups.reindex(pairs.index).fillna("missing").astype(str)
        for group, colour in colours_of(sorted(given.unique())).items():
            held = pairs[given == group]
            axis.plot(held["true"], held["predicted"], "o", ms=4, alpha=0.7, color=colour,
                      label=group)  # fmt: skip
        axis.set(xlabel="true Dice", ylabel="predicted Dice", xlim=(low, 1), ylim=(low, 1))
        axis.set_aspect("equal")
        axis.legend(fontsize=7.5)
        return to_svg(figure, name=name, alt="Predicted against true Dice")


def organ_maps(maps: Mapping[str, NDArray[Any]], *, around: str, name: str) -> Markup:
    """Draw maps in the organ's frame: the middle of its third axis, a panel per map.

    Parameters
    ----------
    maps
        Title -> map (x, y, z) of the organ's frame; at least one. Signed maps are drawn around 0.
    around
        What they lie around, within a sentence: ``the organ``.
    name
        Prefix of identifiers.
    """
    with drawing():
        figure, axes = panels(len(maps), columns=4, height_in=2.5)
        for axis, (title, values) in zip(axes, maps.items(), strict=True):
            middle = values.shape[2] // 2
            plane = np.asarray(values[..., middle - 1 : middle + 1], dtype=float).mean(axis=2).T
            signed = bool((plane < 0).any())
            most = float(np.abs(plane).max()) or 1.0
            axis.imshow(
                plane,
                cmap="RdBu_r" if signed else "magma",
                vmin=-most if signed else 0.0,
                vmax=most,
                interpolation="nearest",
            )
            axis.set_title(title, fontsize=8.5, color=ACCENT)
            axis.set_axis_off()
        return to_svg(figure, name=name, alt=f"Maps in the frame of {around}: " + ", ".join(maps))
