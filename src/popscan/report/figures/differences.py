"""Maps over the atlas: red above, blue below, pale where little or nothing is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from PIL import Image

from popscan.report.figures.atlas import planes_of
from popscan.report.figures.base import INK, drawing, grey, image_tag, new_figure, png_uri
from popscan.report.text import shorten
from popscan.spaces import AtlasFrame

_DPI = 110
_COLOURS = "RdBu_r"


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """One map.

    Attributes
    ----------
    title
        Of its row.
    values : ndarray, shape (x, y, z)
        NaN where nothing is shown.
    marked : ndarray of bool, shape (x, y, z), optional
        Voxels that are outlined.
    """

    title: str
    values: NDArray[Any]
    marked: NDArray[np.bool_] | None = None


def overlays(
    maps: Sequence[Overlay],
    pictures: Mapping[str, Any],
    frame: AtlasFrame,
    *,
    full: float,
    legend: str,
    alt: str,
) -> Markup:
    """Draw maps over the slices that the protocol shows of its atlas.

    Parameters
    ----------
    maps
        At least one, a row each.
    pictures
        The average below: ``mean``, ``p_REGION`` and ``spacing_mm``, as for `atlas_figure`.
    frame
        The protocol's.
    full
        Value of the darkest colours.
    legend
        What the colours mean.
    alt
        Text for who cannot see it.
    """
    rows = [
        planes_of({**pictures, "p_shown": one.values, "p_marked": one.marked}, frame, further=True)
        for one in maps
    ]
    width = max(len(planes) for planes in rows)
    norm = Normalize(-full, full)
    with drawing():
        figure = new_figure(min(10.4, 2.7 * width + 0.7), 2.6 * len(rows))
        FigureCanvasAgg(figure)
        every = []
        for r, (one, planes) in enumerate(zip(maps, rows, strict=True)):
            for c, (name, plane, held, aspect) in enumerate(planes):
                axes = figure.add_subplot(len(rows), width, r * width + c + 1)
                every.append(axes)
                axes.imshow(
                    grey(plane).T, cmap="gray", vmin=0, vmax=255, interpolation="bicubic",
                    aspect=aspect,
                )  # fmt: skip
                shown = np.ma.masked_invalid(held["shown"].T.astype(float))
                axes.imshow(shown, cmap=_COLOURS, norm=norm, alpha=0.7, aspect=aspect,
                            interpolation="nearest")  # fmt: skip
                marked = held.get("marked")
                if marked is not None and marked.any() and not marked.all():
                    axes.contour(marked.T.astype(float), [0.5], colors=INK, linewidths=1.1)
                title = f"{shorten(one.title, 40)} · {name}" if c == 0 else name
                axes.set_title(title, fontsize=9, fontweight="bold" if c == 0 else "normal",
                               color=INK)  # fmt: skip
                axes.set_axis_off()
        bar = figure.colorbar(
            ScalarMappable(norm, _COLOURS), ax=every, fraction=0.03, pad=0.01, aspect=30
        )
        bar.set_label(legend, fontsize=8.5)
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(_DPI)
        figure.set_facecolor("white")
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return image_tag(png_uri(picture), alt=alt, width_px=picture.width, height_px=picture.height)
