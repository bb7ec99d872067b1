"""Label contours over images: thumbnails, and all slices of a subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from popscan.report.figures.base import grey

_SUPERSAMPLE = 2
#: Codes within each outline, and its colour: `popscan.protocol.LabelSet.outlines`.
Outlines = Sequence[tuple[tuple[int, ...], str]]


def label_box(
    labels: NDArray[Any] | None, shape: tuple[int, ...], *, margin: float = 0.45
) -> tuple[slice, slice]:
    """Return the x and y range around all labels, square and with a margin of its size.

    The whole image if there are no labels.
    """
    where = (
        np.argwhere((labels > 0).any(axis=tuple(range(2, labels.ndim))))
        if (labels is not None and labels.ndim >= 2)
        else np.empty((0, 2), dtype=int)
    )
    if not len(where):
        return slice(0, shape[0]), slice(0, shape[1])
    low, high = where.min(axis=0), where.max(axis=0) + 1
    half = (high - low).max() * (0.5 + margin)
    centre = (low + high) / 2
    start = np.maximum(0, np.floor(centre - half)).astype(int)
    stop = np.minimum(shape[:2], np.ceil(centre + half)).astype(int)
    return slice(int(start[0]), int(stop[0])), slice(int(start[1]), int(stop[1]))


def middle_slice(labels: NDArray[Any] | None, n_slices: int) -> int:
    """Return the middle one of the slices with labels (of all slices without labels)."""
    used = np.flatnonzero((labels > 0).any(axis=(0, 1))) if labels is not None else np.empty(0, int)
    return int(used[len(used) // 2]) if used.size else n_slices // 2


def _contours(
    draw: ImageDraw.ImageDraw,
    labels: NDArray[Any],
    outlines: Outlines,
    scale: tuple[float, float],
    width: int,
) -> None:
    for codes, colour in outlines:
        padded = np.pad(np.isin(labels, codes).astype(float), 1)
        for line in find_contours(padded, 0.5):
            points = [((x - 0.5) * scale[0], (y - 0.5) * scale[1]) for x, y in line]
            draw.line(points, fill=colour, width=width, joint="curve")


def tile(
    plane: NDArray[Any],
    labels: NDArray[Any] | None,
    *,
    outlines: Outlines,
    size_px: int,
    limits: tuple[float, float] | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> Image.Image:
    """Return one slice with contours as a square RGB picture.

    Parameters
    ----------
    plane : ndarray, shape (x, y)
        Axis 0 runs to the right of the picture, axis 1 downwards (radiological view).
    labels : ndarray, shape (x, y), or None
        Codes of structures.
    outlines
        Which are drawn, in which colours.
    limits
        Intensities of black and white; percentiles of the plane by default.
    spacing_mm
        Of x and y; equal by default.
    """
    dx, dy = (spacing_mm[0], spacing_mm[1]) if spacing_mm is not None else (1.0, 1.0)
    extent = plane.shape[0] * dx, plane.shape[1] * dy
    fit = size_px * _SUPERSAMPLE / max(*extent, 1e-6)
    width, height = max(1, round(extent[0] * fit)), max(1, round(extent[1] * fit))
    low, high = limits if limits is not None else (None, None)
    pixels = Image.fromarray(np.ascontiguousarray(grey(plane, low=low, high=high).T))
    picture = pixels.resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
    if labels is not None and labels.any():
        scale = width / plane.shape[0], height / plane.shape[1]
        _contours(ImageDraw.Draw(picture), labels, outlines, scale, max(3, round(size_px / 55)))
    canvas = Image.new("RGB", (size_px * _SUPERSAMPLE,) * 2)
    canvas.paste(picture, ((canvas.width - width) // 2, (canvas.height - height) // 2))
    return canvas.resize((size_px, size_px), Image.Resampling.LANCZOS)


def intensity_limits(volume: NDArray[Any]) -> tuple[float, float] | None:
    """Return the intensities that are drawn black and white; None where they are the same."""
    finite = volume[np.isfinite(volume)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, [1, 99.5])
    return (float(low), float(high)) if high > low else None


def thumbnail(
    image: NDArray[Any],
    labels: NDArray[Any] | None,
    *,
    outlines: Outlines,
    size_px: int = 132,
    spacing_mm: Sequence[float] | None = None,
) -> Image.Image:
    """Return the middle slice of the first frame, cropped to the labels, with contours.

    `image` and `labels` have shape (x, y, z, k).
    """
    first = labels[..., 0] if labels is not None else None
    z = middle_slice(first, image.shape[2])
    x, y = label_box(labels, image.shape)
    return tile(
        image[x, y, z, 0],
        first[x, y, z] if first is not None else None,
        outlines=outlines,
        size_px=size_px,
        spacing_mm=spacing_mm,
    )


def slice_grid(
    image: NDArray[Any],
    labels: NDArray[Any] | None,
    *,
    frame: int,
    outlines: Outlines,
    columns: int = 6,
    size_px: int = 168,
    spacing_mm: Sequence[float] | None = None,
) -> Image.Image:
    """Return all slices of one frame, numbered, with contours.

    Parameters
    ----------
    image, labels : ndarray, shape (x, y, z, k)
        Labels may be None.
    frame
        Which of the k frames.
    outlines
        As for `tile`.
    """
    n_slices = image.shape[2]
    x, y = label_box(labels, image.shape)
    limits = intensity_limits(np.asarray(image[x, y, :, frame], dtype=float))
    columns = max(1, min(columns, n_slices))
    rows = -(-n_slices // columns)
    gap = 3
    sheet = Image.new(
        "RGB", (columns * (size_px + gap) - gap, rows * (size_px + gap) - gap), "#ffffff"
    )
    font = ImageFont.load_default(size=12)
    for z in range(n_slices):
        plane_labels = labels[x, y, z, frame] if labels is not None else None
        picture = tile(
            image[x, y, z, frame], plane_labels, outlines=outlines, size_px=size_px,
            limits=limits, spacing_mm=spacing_mm,
        )  # fmt: skip
        ImageDraw.Draw(picture).text((6, 4), str(z + 1), fill="#ffffff", font=font)
        sheet.paste(picture, ((z % columns) * (size_px + gap), (z // columns) * (size_px + gap)))
    return sheet
