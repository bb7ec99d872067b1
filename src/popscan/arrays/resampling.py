"""Slices between grids: in-plane resampling and windows, each with its way back.

All functions map field of view to field of view: the edges of the image stay where they are and
voxel centres are at half-integer positions, so going there and back needs only the two shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def resample_scores(scores: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Resample class scores (n, label, x, y), logits or probabilities, to (n, label, *shape).

    Linear, so probabilities still add up to one. Taking the argmax after this step keeps smooth
    borders; nearest-neighbour resampling of labels gives staircases.
    """
    if tuple(scores.shape[-2:]) == tuple(shape):
        return scores
    return F.interpolate(scores, size=shape, mode="bilinear", align_corners=False)


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
