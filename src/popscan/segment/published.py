"""Published networks that no library keeps, as 2D modules in the fewest lines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def _block(inner: int, outer: int, *, convolutions: int) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for layer in range(convolutions):
        layers += [
            torch.nn.Conv2d(inner if layer == 0 else outer, outer, 3, padding=1, bias=False),
            torch.nn.InstanceNorm2d(outer, affine=True),
            torch.nn.ReLU(inplace=True),
        ]
    return torch.nn.Sequential(*layers)


class FCN(torch.nn.Module):
    """The network of Bai et al. 2018 (doi:10.1186/s12968-018-0471-x) for UK Biobank.

    A VGG-like path down; the features of every level are brought to one width and to full size,
    put side by side and classified by 1 x 1 convolutions. Instance instead of batch normalisation,
    so that a slice does not depend on its batch.

    Parameters
    ----------
    in_channels, n_labels
        Of input and output.
    channels
        Features per level, finest first.
    convolutions
        Per level; one number for all or one each.
    """

    def __init__(
        self, in_channels: int, n_labels: int, *, channels: Sequence[int], convolutions: int = 2
    ) -> None:
        super().__init__()
        inner = [in_channels, *channels[:-1]]
        self.levels = torch.nn.ModuleList(
            _block(a, b, convolutions=convolutions) for a, b in zip(inner, channels, strict=True)
        )
        width = channels[0]
        self.same = torch.nn.ModuleList(torch.nn.Conv2d(c, width, 1) for c in channels)
        self.classify = torch.nn.Sequential(
            torch.nn.Conv2d(width * len(channels), 4 * width, 1),
            torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(4 * width, n_labels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, channel, x, y) to logits (n, label, x, y)."""
        size, features = x.shape[-2:], []
        for level, (block, same) in enumerate(zip(self.levels, self.same, strict=True)):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            up = F.interpolate(same(x), size=size, mode="bilinear", align_corners=False)
            features.append(up)
        logits: torch.Tensor = self.classify(torch.cat(features, dim=1))
        return logits


class DeepMedic(torch.nn.Module):
    """Parallel paths at several resolutions.

    Kamnitsas et al. 2017, doi:10.1016/j.media.2016.10.004. Every path sees the image at its own
    resolution and never pools; their features meet at full size. Whole images instead of patches,
    so that convolutions are padded.

    Parameters
    ----------
    in_channels, n_labels
        Of input and output.
    channels
        Features of each path; the first sees the image itself, each further one half the size.
    layers
        Convolutions per path.
    """

    def __init__(
        self, in_channels: int, n_labels: int, *, channels: Sequence[int], layers: int = 8
    ) -> None:
        super().__init__()
        self.paths = torch.nn.ModuleList(
            _block(in_channels, c, convolutions=layers) for c in channels
        )
        width = sum(channels)
        self.classify = torch.nn.Sequential(
            torch.nn.Conv2d(width, width, 1),
            torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(width, n_labels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, channel, x, y) to logits (n, label, x, y)."""
        size, features = x.shape[-2:], []
        for level, path in enumerate(self.paths):
            seen = path(F.avg_pool2d(x, 2**level) if level else x)
            features.append(F.interpolate(seen, size=size, mode="bilinear", align_corners=False))
        logits: torch.Tensor = self.classify(torch.cat(features, dim=1))
        return logits
