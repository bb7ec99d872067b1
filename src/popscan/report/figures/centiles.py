"""Smooth centiles over age, a panel per biomarker."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from popscan.report.figures.base import colours_of, drawing, panels, strip_axes, to_svg
from popscan.report.text import title_of

#: Centiles that are drawn, and how wide.
_LINES = {2.5: 0.8, 25.0: 0.8, 50.0: 1.8, 75.0: 0.8, 97.5: 0.8}


def centile_panels(centiles: pd.DataFrame, *, name: str, most: int = 9) -> Markup:
    """Draw the curves of each biomarker by sex; the median is the thick line.

    Parameters
    ----------
    centiles
        As of `popscan.associate.centile_tables.centile_table`, with values.
    name
        Of the figure.
    most
        Panels.
    """
    outcomes = list(dict.fromkeys(centiles["outcome"]))[:most]
    with drawing():
        figure, all_axes = panels(len(outcomes), columns=3, height_in=2.7)
        colours = colours_of(list(dict.fromkeys(centiles["sex"])))
        for axes, outcome in zip(all_axes, outcomes, strict=True):
            of_outcome = centiles[centiles["outcome"] == outcome]
            for (sex, centile), line in of_outcome.groupby(["sex", "centile"], sort=True):
                if centile in _LINES:
                    axes.plot(
                        line["age_years"], line["value"], color=colours[sex],
                        linewidth=_LINES[centile], label=sex if centile == 50.0 else None,
                    )  # fmt: skip
            axes.set_title(title_of(outcome))
            axes.set_xlabel("Age (years)")
            strip_axes(axes, grid="y")
        all_axes[0].legend(fontsize=7.6, loc="best")
        return to_svg(figure, name=name, alt="Centiles over age by sex; numbers are in the table.")
