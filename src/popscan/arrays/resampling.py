"""Slices between grids: in-plane resampling and windows, each with its way back.

All functions map field of view to field of view: the edges of the image stay where they are and
voxel centres are at half-integer positions, so going there and back needs only the two shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


def inplane_shape(
    shape: tuple[int, int], *, spacing_mm: tuple[float, float], target_mm: float
) -> tuple[int, int]:
    """Return the number of pixels that covers the same field of view at `target_mm`, at least 1.

    The field of view is kept exactly, so the spacing reached is `target_mm` up to rounding.

    Examples
    --------
    >>> inplane_shape((200, 100), spacing_mm=(1.5, 3.0), target_mm=1.5)
    (200, 200)
    """
    return (
        max(1, round(shape[0] * spacing_mm[0] / target_mm)),
        max(1, round(shape[1] * spacing_mm[1] / target_mm)),
    )


def resample_images(images: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Resample intensities (n, x, y) to (n, *shape): bicubic, with a low-pass where it shrinks."""
    if tuple(images.shape[-2:]) == tuple(shape):
        return images
    out = F.interpolate(images[:, None], size=shape, mode="bicubic", antialias=True)
    return out[:, 0]


def resample_labels(labels: torch.Tensor, shape: tuple[int, int], *, n_labels: int) -> torch.Tensor:
    """Resample integer labels (n, x, y) to (n, *shape) through their one-hot scores; uint8."""
    if tuple(labels.shape[-2:]) == tuple(shape):
        return labels.to(torch.uint8)
    one_hot = F.one_hot(labels.long(), n_labels).movedim(-1, 1).float()
    out = F.interpolate(one_hot, size=shape, mode="bilinear", antialias=True)
    return out.argmax(dim=1).to(torch.uint8)


@dataclass(frozen=True)
class Window:
    """A rectangle of a slice that may stick out of it.

    Attributes
    ----------
    start
        First pixel along x and y; may be negative.
    size
        Number of pixels along x and y.
    """

    start: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def around(cls, centre: tuple[float, float], size: tuple[int, int]) -> Window:
        """Return the window of `size` whose middle is nearest to `centre` (pixel coordinates)."""
        start = (round(centre[0] - (size[0] - 1) / 2), round(centre[1] - (size[1] - 1) / 2))
        return cls(start, size)

    def _overlap(self, shape: tuple[int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return where window and slice overlap, in the slice's pixels and in the window's."""
        first = [min(max(0, s), n) for s, n in zip(self.start, shape, strict=True)]
        stop = [
            min(max(f, s + m), n)
            for f, s, m, n in zip(first, self.start, self.size, shape, strict=True)
        ]
        outer = tuple(slice(f, e) for f, e in zip(first, stop, strict=True))
        inner = tuple(
            slice(0, 0) if f == e else slice(f - s, e - s)
            for f, e, s in zip(first, stop, self.start, strict=True)
        )
        return outer, inner

    def cut(self, array: torch.Tensor, *, fill: float = 0.0) -> torch.Tensor:
        """Return the window of `array` (..., x, y); pixels outside of it are `fill`."""
        outer, inner = self._overlap((array.shape[-2], array.shape[-1]))
        piece = array.new_full((*array.shape[:-2], *self.size), fill)
        piece[..., inner[0], inner[1]] = array[..., outer[0], outer[1]]
        return piece

    def paste(
        self, piece: torch.Tensor, shape: tuple[int, int], *, fill: float = 0.0
    ) -> torch.Tensor:
        """Put a cut-out `piece` (..., x, y) back onto a slice of `shape`: the inverse of `cut`."""
        outer, inner = self._overlap(shape)
        array = piece.new_full((*piece.shape[:-2], *shape), fill)
        array[..., outer[0], outer[1]] = piece[..., inner[0], inner[1]]
        return array


def resampling_matrix(n_in: int, n_out: int, *, mode: str, antialias: bool) -> torch.Tensor:
    """Return what resampling does along one axis as a matrix (n_out, n_in).

    Resampling is linear and acts along each axis by itself, so a piece of the result is a piece
    of the matrices times the image: no need to resample what is cut off afterwards.

    Parameters
    ----------
    n_in, n_out
        Pixels before and after.
    mode, antialias
        As for `torch.nn.functional.interpolate`, which makes the matrix.
    """
    if n_in == n_out:
        return torch.eye(n_in)
    # The second axis keeps its size, so it stays as it is: each column is one unit impulse.
    unit = torch.eye(n_in)[None, None]
    options: dict[str, Any] = {"antialias": antialias}
    if not antialias:
        options["align_corners"] = False
    return F.interpolate(unit, size=(n_out, n_in), mode=mode, **options)[0, 0]


class WindowedGrid:
    """The way between a slice and a window of its resampled grid, without the rest of the slice.

    Parameters
    ----------
    shape
        Of the slices, (x, y).
    inner
        Of the resampled slices, whose window it is.
    window
        In pixels of `inner`; may stick out, where images are 0.

    Attributes
    ----------
    device
        Where the tensors are that go this way.

    Attributes
    ----------
    needed
        Slices along x and y: the pixels of a slice that the window is made from.
    outer
        The part of the slice that the window can say something about.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        inner: tuple[int, int],
        window: Window,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.window = window
        needed, self._there, self._back, start, size = [], [], [], [], []
        for axis in range(2):
            there = resampling_matrix(shape[axis], inner[axis], mode="bicubic", antialias=True)
            back = resampling_matrix(inner[axis], shape[axis], mode="bilinear", antialias=False)
            row = Window((window.start[axis], 0), (window.size[axis], shape[axis]))
            there = row.cut(there)
            column = Window((0, window.start[axis]), (shape[axis], window.size[axis]))
            back = column.cut(back)
            seen = back.any(dim=1).nonzero()[:, 0]
            first, stop = (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)
            used = there.any(dim=0).nonzero()[:, 0]
            low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
            needed.append(slice(low, high))
            self._there.append(there[:, low:high].contiguous().to(device))
            self._back.append(back[first:stop].contiguous().to(device))
            start.append(first)
            size.append(stop - first)
        self.needed = (needed[0], needed[1])
        self.outer = Window((start[0], start[1]), (size[0], size[1]))

    def resample(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the window (..., *window.size) of the `needed` pixels of images (..., x, y)."""
        a, b = (m.to(pixels) for m in self._there)
        return a @ pixels @ b.T

    def back(self, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (..., *window.size) resampled to the slice's pixels in `outer`."""
        a, b = (m.to(scores) for m in self._back)
        return a @ scores @ b.T
