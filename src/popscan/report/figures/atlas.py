"""Mean images with probability contours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray
from PIL import Image

from popscan.report.figures.base import (
    INK,
    balanced,
    drawing,
    grey,
    image_tag,
    new_figure,
    png_uri,
)
from popscan.report.text import shorten
from popscan.spaces import AtlasFrame, Cut

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


Planes = list[tuple[str, NDArray[Any], dict[str, NDArray[Any]], float]]


def _slice_of(pictures: Mapping[str, Any], cut: Cut, n: int) -> int:
    held = np.arange(n)
    region = probability(pictures, cut.region)
    if region is not None and region.ndim == 3 and (region > 0.5).any():
        others = tuple(axis for axis in range(3) if axis != cut.axis)
        held = np.flatnonzero((region > 0.5).any(axis=others))
    return int(held[round(cut.level * (len(held) - 1))])


def planes_of(
    pictures: Mapping[str, Any],
    frame: AtlasFrame,
    *,
    further: bool = False,
    index: int | None = None,
) -> Planes:
    """Return title, mean, maps and aspect of each picture, (columns, rows) each.

    The maps are those of the frame's regions; with `further`, also what else is named ``p_*``.
    `index` is the slice, where the cut's own place is not to be looked for.
    """
    mean = mean_image(pictures)
    if mean is None:
        return []
    named = {r.name: probability(pictures, r.name) for r in frame.regions}
    if further:
        more = {key.removeprefix("p_"): value for key, value in pictures.items() if key[:2] == "p_"}
        named |= {key: value for key, value in more.items() if key not in named}
    maps = {name: array for name, array in named.items() if array is not None}
    spacing = [float(s) for s in pictures.get("spacing_mm", (1.0, 1.0))]
    if mean.ndim == 2:
        return [("", mean, maps, spacing[1] / spacing[0])]
    found: Planes = []
    for cut in frame.cuts:
        at = _slice_of(pictures, cut, mean.shape[cut.axis]) if index is None else index
        columns, rows = (axis for axis in range(3) if axis != cut.axis)

        def taken(array: NDArray[Any], cut: Cut = cut, at: int = at) -> NDArray[Any]:
            plane = array.take(at, axis=cut.axis)
            return plane[:, ::-1] if cut.upward else plane

        held = {name: taken(array) for name, array in maps.items() if array.ndim == 3}
        found.append((cut.title, taken(mean), held, spacing[rows] / spacing[columns]))
    return found


def atlas_figure(
    atlas: Mapping[str, Mapping[str, Any]],
    frame: AtlasFrame,
    *,
    alt: str,
    count: Callable[[float], str],
) -> Markup:
    """Draw every group's mean image with contours where a label is 50% (thin: 10, 90%) likely.

    `frame` says which slices and colours, `count` writes a group's n. Groups without a mean image
    are left out; the caller makes sure that one has it.
    """
    rows = {group: planes for group, pics in atlas.items() if (planes := planes_of(pics, frame))}
    width = max(len(planes) for planes in rows.values())
    beside = width == 1
    colours = {region.name: region.colour for region in frame.regions}
    shape = (1, len(rows)) if beside else (len(rows), width)
    with drawing():
        figure = new_figure(min(10.4, 2.9 * shape[1]), 2.75 * shape[0])
        FigureCanvasAgg(figure)
        for r, (group, planes) in enumerate(rows.items()):
            for c, (name, plane, maps, aspect) in enumerate(planes):
                axes = figure.add_subplot(*shape, (r if beside else r * width + c) + 1)
                axes.imshow(
                    grey(plane).T, cmap="gray", vmin=0, vmax=255, interpolation="bicubic",
                    aspect=aspect,
                )  # fmt: skip
                for structure, chance in maps.items():
                    colour = colours[structure]
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


def phases_figure(pictures: Mapping[str, Any], frame: AtlasFrame, *, alt: str) -> Markup:
    """Draw the average over the cycle: one slice, the frame's middle cut, in every phase.

    Parameters
    ----------
    pictures
        Of a group, with ``cycle``: a `popscan.atlas.cycle.CycleTemplate`.
    frame
        The protocol's.
    alt
        Text for who cannot see it.
    """
    cycle = pictures["cycle"]
    cut = frame.cuts[len(frame.cuts) // 2]
    middle = replace(frame, cuts=(cut,))
    n_phases = len(cycle.image)
    columns = balanced(n_phases, most=6)
    rows = -(-n_phases // columns)
    colours = {region.name: region.colour for region in frame.regions}
    index = _slice_of(pictures, cut, cycle.image.shape[1 + cut.axis])
    with drawing():
        figure = new_figure(min(10.4, 1.75 * columns), 1.6 * rows)
        canvas = FigureCanvasAgg(figure)
        for phase in range(n_phases):
            one = {
                "mean": cycle.image[phase],
                "spacing_mm": pictures["spacing_mm"],
                **{
                    f"p_{region.name}": cycle.probabilities[phase, row]
                    for row, region in enumerate(frame.regions)
                },
            }
            ((_, plane, maps, aspect),) = planes_of(one, middle, index=index)
            axes = figure.add_subplot(rows, columns, phase + 1)
            axes.imshow(grey(plane).T, cmap="gray", vmin=0, vmax=255, interpolation="bicubic",
                        aspect=aspect)  # fmt: skip
            for structure, chance in maps.items():
                if np.nanmin(chance) < 0.5 < np.nanmax(chance):
                    axes.contour(chance.T, [0.5], colors=colours[structure], linewidths=1.5)
            axes.set_title(f"phase {phase}", fontsize=8.5, fontweight="normal", color=INK)
            axes.set_axis_off()
        figure.set_dpi(_DPI)
        figure.set_facecolor("white")
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return image_tag(png_uri(picture), alt=alt, width_px=picture.width, height_px=picture.height)
