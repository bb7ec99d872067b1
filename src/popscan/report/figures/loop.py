"""A scan over its frames: one sheet of pictures, contours as lines above it, a few buttons.

Without JavaScript the first frame is shown with its contours.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from popscan.report.figures.base import grey
from popscan.report.figures.overlays import Outlines, intensity_limits, label_box

#: A sheet is no higher: WebP ends at 16,383.
MAX_HEIGHT_PX = 16_000


def shown_slices(labels: NDArray[Any] | None, n_slices: int, count: int) -> list[int]:
    """Return at most `count` slices, evenly between the first and the last with labels.

    All slices count where none has labels.
    """
    used = np.arange(n_slices)
    if labels is not None and labels.any():
        used = np.flatnonzero((labels > 0).any(axis=(0, 1, 3)))
    if count >= len(used):
        return used.tolist()
    places = (np.arange(count) + 0.5) * len(used) / count
    return [int(used[int(place)]) for place in places]


def _sheet(image: NDArray[Any], slices: list[int], size: tuple[int, int]) -> Image.Image:
    limits = intensity_limits(np.asarray(image[:, :, slices], dtype=float))
    low, high = limits if limits is not None else (None, None)
    width, height = size
    sheet = Image.new("L", (width * len(slices), height * image.shape[3]))
    for frame in range(image.shape[3]):
        for place, z in enumerate(slices):
            plane = grey(image[:, :, z, frame], low=low, high=high)
            picture = Image.fromarray(np.ascontiguousarray(plane.T))
            picture = picture.resize(size, Image.Resampling.BICUBIC)
            sheet.paste(picture, (place * width, frame * height))
    return sheet


def _paths(
    labels: NDArray[Any], slices: list[int], outlines: Outlines, size: tuple[int, int]
) -> list[str]:
    """Return the lines of every frame as SVG groups; coordinates are halves of a pixel."""
    scale = 2 * size[0] / labels.shape[0], 2 * size[1] / labels.shape[1]
    groups = []
    for frame in range(labels.shape[3]):
        paths = []
        for codes, colour in outlines:
            lines = []
            for place, z in enumerate(slices):
                padded = np.pad(np.isin(labels[:, :, z, frame], codes).astype(float), 1)
                for contour in find_contours(padded, 0.5):
                    points = (contour - 0.5) * scale + (2 * size[0] * place, 0)
                    kept = np.round(approximate_polygon(points, 0.7)).astype(int)
                    lines.append("M" + "L".join(f"{x} {y}" for x, y in kept))
            if lines:
                paths.append(f'<path stroke="{colour}" d="{"".join(lines)}"/>')
        shown = "inline" if frame == 0 else "none"
        groups.append(f'<g data-frame="{frame}" display="{shown}">{"".join(paths)}</g>')
    return groups


def frame_loop(
    image: NDArray[Any],
    labels: NDArray[Any] | None,
    *,
    outlines: Outlines,
    spacing_mm: Sequence[float] | None = None,
    slices: int = 3,
    size_px: int = 220,
    alt: str = "",
) -> Markup:
    """Return a loop over the frames of some slices.

    Parameters
    ----------
    image, labels : ndarray, shape (x, y, z, t)
        Labels may be None.
    outlines
        Codes within each line, and its colour.
    spacing_mm
        Of x and y; equal by default.
    slices
        How many slices stand side by side.
    size_px
        Longer side of one of them.
    alt
        What is shown, in words.
    """
    x, y = label_box(labels, image.shape)
    image = image[x, y]
    labels = labels[x, y] if labels is not None else None
    chosen = shown_slices(labels, image.shape[2], slices)
    dx, dy = (spacing_mm[0], spacing_mm[1]) if spacing_mm is not None else (1.0, 1.0)
    extent = image.shape[0] * dx, image.shape[1] * dy
    most = min(size_px, MAX_HEIGHT_PX // image.shape[3])
    fit = most / max(*extent, 1e-6)
    size = max(1, round(extent[0] * fit)), max(1, round(extent[1] * fit))
    buffer = io.BytesIO()
    _sheet(image, chosen, size).save(buffer, format="WEBP", quality=60, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    groups = _paths(labels, chosen, outlines, size) if labels is not None else []
    frames, width = image.shape[3], size[0] * len(chosen)
    return Markup(
        '<div class="loop" data-frames="{frames}"><div class="view" '
        'style="aspect-ratio:{width}/{height};max-width:{most}px">'
        '<img src="{uri}" alt="{alt}">'
        '<svg viewBox="0 0 {w2} {h2}" fill="none" stroke-width="2.6" '
        'aria-hidden="true">{paths}</svg>'
        '</div><div class="controls" hidden>'
        '<button type="button" data-do="play" aria-pressed="false">Play</button>'
        '<input type="range" min="0" max="{last}" value="0" aria-label="Frame">'
        '<button type="button" data-do="lines" aria-pressed="true">Contours</button>'
        "</div></div>"
    ).format(
        frames=frames, width=width, height=size[1], most=width, uri=Markup(uri), alt=alt,
        w2=2 * width, h2=2 * size[1], paths=Markup("".join(groups)), last=frames - 1,
    )  # fmt: skip
