"""A small network on series of images: folded pixels, and channels that look at the next frames."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

#: One channel in so many looks at the frame before, as many at the frame behind.
_SHIFT = 8
#: Side of the square, in pixels, over which a phase is averaged.
_SMOOTH = 5


class SpaceTime(nn.Module):
    """Convolutions in the plane; between them, some channels move to the neighbouring frames.

    Temporal shifts (Lin J, Gan C, Han S. TSM: temporal shift module for efficient video
    understanding. ICCV 2019) see as 3D convolutions do and cost what those in the plane cost.
    Frames form a cycle; of a single frame the shifts change nothing: one network serves both.

    Parameters
    ----------
    n_in, n_out
        Numbers per pixel that go in and come out.
    channels
        Feature channels.
    layers
        Convolutions, at least 2.
    fold
        Side of the block of pixels that is folded into channels.
    """

    def __init__(self, n_in: int, n_out: int, *, channels: int, layers: int, fold: int) -> None:
        super().__init__()
        if layers < 2 or fold < 1 or channels < 1:
            raise ValueError(f"a network of {channels} channels, {layers} layers, fold {fold}")
        self.fold = fold
        sizes = [n_in * fold**2, *[channels] * (layers - 1), n_out * fold**2]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        # The last layer starts at 0, so that a fresh network changes nothing.
        for values in self.layers[-1].parameters():
            nn.init.zeros_(values)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, t, n_out, x, y) of features (n, t, n_in, x, y)."""
        n, t, _, nx, ny = features.shape
        pad = (0, -ny % self.fold, 0, -nx % self.fold)
        flat = nn.functional.pad(features.flatten(0, 1), pad)
        flat = nn.functional.pixel_unshuffle(flat, self.fold)
        for k, layer in enumerate(self.layers):
            if k:
                flat = shifted(nn.functional.leaky_relu(flat, 0.1), frames=t)
            flat = layer(flat.contiguous(memory_format=torch.channels_last))
        flat = nn.functional.pixel_shuffle(flat, self.fold)[..., :nx, :ny]
        return flat.unflatten(0, (n, t))


def shifted(flat: Tensor, *, frames: int) -> Tensor:
    """Return features (n t, channel, x, y) with some channels from the neighbouring frames."""
    if frames == 1:
        return flat
    series = flat.unflatten(0, (-1, frames))
    some = flat.shape[1] // _SHIFT
    parts = [series[:, :, :some].roll(1, 1), series[:, :, some : 2 * some].roll(-1, 1)]
    return torch.cat([*parts, series[:, :, 2 * some :]], dim=2).flatten(0, 1)


def smooth_phase_of(images: Tensor) -> Tensor:
    """Return the phase (n, 1, x, y), of size 1, of series' low-resolution means over time.

    A network that sees images turned back by it need not learn that all phases are equal.
    """
    mean = as_channels(images.mean(dim=1, keepdim=True)).flatten(0, 1)
    wide = nn.functional.avg_pool2d(mean, _SMOOTH, 1, _SMOOTH // 2, count_include_pad=False)
    smooth = as_images(wide.unflatten(0, (-1, 1)))
    return smooth / smooth.abs().clamp(min=1e-9)


def as_channels(images: Tensor) -> Tensor:
    """Return real and imaginary part of images (n, t, x, y) as channels (n, t, 2, x, y)."""
    return torch.view_as_real(images).movedim(-1, 2)


def as_images(channels: Tensor) -> Tensor:
    """Return what `as_channels` was given."""
    return torch.complex(channels[:, :, 0], channels[:, :, 1])
