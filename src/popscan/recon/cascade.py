"""Deep cascade of convolutional networks and data consistency, with data sharing in time.

Schlemper J, Caballero J, Hajnal JV, Price AN, Rueckert D. A deep cascade of convolutional neural
networks for dynamic MR image reconstruction. IEEE Trans Med Imaging 37:491-503, 2018.

Differences from the paper, for speed on processors without a GPU: the convolutions run at half
the resolution, on 2 x 2 pixels folded into channels, which also doubles how far they see; a frame's
neighbours in time enter through the data-sharing images alone and not through 3D convolutions, so
that one network serves single frames and series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from popscan.records import PopscanError

#: Data sharing: from neighbours at most so many frames away; None: from the nearest, whichever.
REACHES: tuple[int | None, ...] = (1, None)

#: Percentile of the magnitudes of a view-shared image that becomes 1 before a network sees it.
BRIGHT_PCT = 99.0

#: An image (n, x, y) complex -> the image nearest to it that agrees with the acquired data.
Consistency = Callable[[Tensor], Tensor]


class Cascade(nn.Module):
    """Networks that remove aliasing, each followed by data consistency.

    Parameters
    ----------
    channels
        Feature channels of each network of the cascade, one entry per network.
    layers
        Convolutions of each network, at least 2.
    fold
        Side of the block of pixels that is folded into channels; sides of images are padded to
        its multiples.
    """

    def __init__(self, *, channels: Sequence[int], layers: int = 5, fold: int = 2) -> None:
        super().__init__()
        if layers < 2 or fold < 1 or not channels:
            raise ValueError(f"{len(channels)} networks of {layers} layers, fold {fold}")
        self.fold = fold
        self.blocks = nn.ModuleList(_block(n, layers=layers, fold=fold) for n in channels)

    def forward(self, image: Tensor, shared: Tensor, consistent: Consistency) -> Tensor:
        """Reconstruct frames.

        Parameters
        ----------
        image : Tensor of complex64, shape (n, x, y)
            Where to start: the zero-filled, coil-combined frames, brightest values near 1.
        shared : Tensor of complex64, shape (n, len(REACHES), x, y)
            Images of the k-space with views shared over each of `REACHES`; of single frames these
            are the zero-filled ones again.
        consistent
            Data consistency of all n frames.

        Returns
        -------
        Tensor of complex64, shape (n, x, y)
        """
        fixed = torch.view_as_real(shared).movedim(-1, 2).flatten(1, 2)
        for block in self.blocks:
            own = torch.view_as_real(image).movedim(-1, 1)
            change = self._run(block, torch.cat([own, fixed], dim=1)).float()
            image = consistent(image + torch.complex(change[:, 0], change[:, 1]))
        return image

    def _run(self, block: nn.Module, features: Tensor) -> Tensor:
        nx, ny = features.shape[-2:]
        pad = (0, -ny % self.fold, 0, -nx % self.fold)
        padded = nn.functional.pad(features, pad).contiguous(memory_format=torch.channels_last)
        folded = nn.functional.pixel_unshuffle(padded, self.fold)
        out = block(folded.contiguous(memory_format=torch.channels_last))
        return nn.functional.pixel_shuffle(out, self.fold)[..., :nx, :ny]


def _block(channels: int, *, layers: int, fold: int) -> nn.Module:
    """Return one network; its last layer starts at 0, so that the cascade starts as no change."""
    area = fold**2
    parts: list[nn.Module] = [
        nn.Conv2d(2 * (1 + len(REACHES)) * area, channels, 3, padding=1),
        nn.LeakyReLU(0.1),
    ]
    for _ in range(layers - 2):
        parts += [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.1)]
    last = nn.Conv2d(channels, 2 * area, 3, padding=1)
    for values in last.parameters():
        nn.init.zeros_(values)
    return nn.Sequential(*parts, last)


def build_cascade(architecture: str, n_outputs: int, **arguments: Any) -> Cascade:
    """Return a freshly initialised `Cascade`; called as builders of other networks are.

    Raises
    ------
    PopscanError
        For another architecture than ``cascade``, or arguments that it does not take.
    """
    if architecture != "cascade":
        raise PopscanError(f"unknown architecture {architecture!r} of a reconstruction; cascade")
    try:
        return Cascade(**arguments)
    except (TypeError, ValueError) as error:
        raise PopscanError(f"architecture cascade cannot be built: {error}") from error


def bright(images: Tensor) -> Tensor:
    """Return `BRIGHT_PCT` of the magnitudes of images (n, ...), never 0; shape (n,)."""
    flat = images.abs().flatten(1)
    return torch.quantile(flat, BRIGHT_PCT / 100, dim=1).clamp(min=1e-12)
