"""One slice by every variant of reconstruction, with maps of the errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from popscan.report.figures.base import image_tag, png_uri
from popscan.report.names import name_of

#: Error that is white, as a fraction of the reference's maximum.
ERROR_RANGE = 0.1
#: Side of a picture, and height of the line with its name, in pixels.
_SIDE_PX, _LINE_PX = 220, 22
_COLUMNS = 6


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """One slice and frame of one subject.

    Attributes
    ----------
    unit
        Whose.
    reference : ndarray, shape (x, y)
        The fully sampled image.
    images
        Variant -> its image, of the same shape, already brought to the reference's gain.
    """

    unit: str
    reference: NDArray[np.float32]
    images: Mapping[str, NDArray[np.float32]]

    def error_of(self, variant: str) -> float:
        """Return the root mean square error relative to the reference's maximum."""
        difference = self.images[variant] - self.reference
        return float(np.sqrt(np.mean(difference**2)) / max(float(self.reference.max()), 1e-12))


def gallery(shown: Gallery) -> Markup:
    """Return the reference and every variant, with the errors of each below it."""
    peak = max(float(shown.reference.max()), 1e-12)
    white = max(float(np.percentile(shown.reference, 99.5)), 1e-12)
    cells = [("reference", shown.reference / white, np.zeros_like(shown.reference))]
    for variant, image in shown.images.items():
        name = name_of(variant).title
        error = np.abs(image - shown.reference) / (ERROR_RANGE * peak)
        cells.append((name, image / white, error))
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    height = _LINE_PX + 2 * _SIDE_PX
    canvas = Image.new("RGB", (columns * _SIDE_PX, rows * height), "white")
    draw = ImageDraw.Draw(canvas)
    for k, (name, image, error) in enumerate(cells):
        left, top = (k % columns) * _SIDE_PX, (k // columns) * height
        draw.text((left + 4, top + 2), name, fill="black", font=ImageFont.load_default(14))
        canvas.paste(_picture(image), (left, top + _LINE_PX))
        canvas.paste(_picture(error), (left, top + _LINE_PX + _SIDE_PX))
    names = ", ".join(name for name, _, _ in cells)
    return image_tag(
        png_uri(canvas), alt=f"One slice by {names}; below each, its error.",
        width_px=canvas.width, height_px=canvas.height,
    )  # fmt: skip


def _picture(plane: NDArray[np.floating]) -> Image.Image:
    """Return values from 0 (black) to 1 (white) as a square picture, axis 0 to the right."""
    grey = np.clip(np.nan_to_num(plane) * 255, 0, 255).astype(np.uint8)
    fit = (_SIDE_PX - 2) / max(grey.shape)
    size = (max(1, round(grey.shape[0] * fit)), max(1, round(grey.shape[1] * fit)))
    picture = Image.fromarray(np.ascontiguousarray(grey.T)).resize(size, Image.Resampling.BICUBIC)
    square = Image.new("RGB", (_SIDE_PX, _SIDE_PX))
    square.paste(picture, ((_SIDE_PX - size[0]) // 2, (_SIDE_PX - size[1]) // 2))
    return square
