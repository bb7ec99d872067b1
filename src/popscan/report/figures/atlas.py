"""Mean images with probability contours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray
from PIL import Image

from popscan.report.figures.base import (
    INK,
    STRUCTURE_COLOURS,
    drawing,
    grey,
    image_tag,
    new_figure,
    png_uri,
)
from popscan.report.text import shorten

_MEAN_KEYS = ("mean", "image", "template", "intensity")
_PROBABILITY_KEYS = ("p_{}", "prob_{}", "probability_{}", "{}")
_DPI = 110


def mean_image(pictures: Mapping[str, Any]) -> NDArray[Any] | None:
    """Return the mean image of a group, or None."""
    found = next((pictures[key] for key in _MEAN_KEYS if key in pictures), None)
    return None if found is None else np.asarray(found)


def probability(pictures: Mapping[str, Any], structure: str) -> NDArray[Any] | None:
    """Return the probability map of a structure, or None."""
    keys = [key.format(structure) for key in _PROBABILITY_KEYS]
    found = next((pictures[key] for key in keys if key in pictures), None)
    return None if found is None else np.asarray(found)


def _slices(pictures: Mapping[str, Any], shape: tuple[int, ...]) -> list[int]:
    """Basal, middle and apical slice: at 20, 50 and 80% of the slices that hold the wall."""
    wall = probability(pictures, "myo")
    used = np.arange(shape[2])
    if wall is not None and wall.ndim == 3 and (wall > 0.5).any():
        used = np.flatnonzero((wall > 0.5).any(axis=(0, 1)))
    return [int(used[round(q * (len(used) - 1))]) for q in (0.2, 0.5, 0.8)]


def _planes(pictures: Mapping[str, Any]) -> list[tuple[str, NDArray, dict[str, NDArray]]]:
    mean = mean_image(pictures)
    if mean is None:
        return []
    maps = {s: m for s in STRUCTURE_COLOURS if (m := probability(pictures, s)) is not None}
    if mean.ndim == 2:
        return [("", mean, maps)]
    names = ("basal", "mid-ventricular", "apical")
    return [
        (name, mean[:, :, z], {s: m[:, :, z] for s, m in maps.items() if m.ndim == 3})
        for name, z in zip(names, _slices(pictures, mean.shape), strict=True)
    ]


def atlas_figure(
    atlas: Mapping[str, Mapping[str, Any]], *, alt: str, count: Callable[[float], str]
) -> Markup:
    """Draw every group's mean image with contours where a label is 50% (thin: 10, 90%) likely.

    `count` writes a group's n. Groups without a mean image are left out; the caller makes sure
    that one has it.
    """
    rows = {group: planes for group, pics in atlas.items() if (planes := _planes(pics))}
    width = max(len(planes) for planes in rows.values())
    beside = width == 1
    shape = (1, len(rows)) if beside else (len(rows), width)
    with drawing():
        figure = new_figure(min(10.4, 2.9 * shape[1]), 2.75 * shape[0])
        FigureCanvasAgg(figure)
        for r, (group, planes) in enumerate(rows.items()):
            spacing = atlas[group].get("spacing_mm", (1.0, 1.0))
            for c, (name, plane, maps) in enumerate(planes):
                axes = figure.add_subplot(*shape, (r if beside else r * width + c) + 1)
                axes.imshow(
                    grey(plane).T, cmap="gray", vmin=0, vmax=255, interpolation="bicubic",
                    aspect=float(spacing[1]) / float(spacing[0]),
                )  # fmt: skip
                for structure, chance in maps.items():
                    colour = STRUCTURE_COLOURS[structure]
                    for level, line in ((0.1, 0.7), (0.5, 1.9), (0.9, 0.7)):
                        if np.nanmin(chance) < level < np.nanmax(chance):
                            axes.contour(chance.T, [level], colors=colour, linewidths=line)
                n = atlas[group].get("n")
                head = shorten(group, 28) + (f" (n = {count(float(n))})" if n is not None else "")
                first = c == 0 or beside
                axes.set_title(
                    f"{head}{' · ' if name and first else ''}{name}" if first else name,
                    fontsize=9.5, fontweight="bold" if first else "normal", color=INK,
                )  # fmt: skip
                axes.set_axis_off()
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(_DPI)
        figure.set_facecolor("white")
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return image_tag(png_uri(picture), alt=alt, width_px=picture.width, height_px=picture.height)
