"""A variational network for series of several coils: gradient steps with a learned regulariser.

Hammernik K, Klatzer T, Kobler E, Recht MP, Sodickson DK, Pock T, Knoll F. Learning a variational
network for reconstruction of accelerated MRI data. Magn Reson Med 79:3055-3071, 2018.

Differences from the paper: the regulariser's gradient is a small convolutional network of its own
per step and not a field of experts; it sees neighbouring frames; and it starts from the solution of
compressed sensing (total variation in space and time), so that only its errors are left to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from popscan.recon.encoding import Encoding
from popscan.recon.spacetime import SpaceTime, as_channels, as_images, smooth_phase_of
from popscan.recon.variation import variation_solved

#: Options of the total variation that a network starts from: weaker than those of the method
#: `cs_tv`, as what noise it leaves is the network's to remove.
_START: dict[str, Any] = {"lam": 0.001, "lam_time": 0.005, "n_iterations": 20, "n_inner": 3}
#: What moves, and what is wrong, is about so much smaller than the image.
_GAIN = 8.0


class VariationalNetwork(nn.Module):
    """Steps of ``x - step E^H (E x - y) + network(x)``.

    Parameters
    ----------
    channels
        Feature channels of each step's network, one entry per step.
    layers, fold
        As for `popscan.recon.spacetime.SpaceTime`.
    """

    #: Whether it can be given single frames.
    takes_frames = True

    def __init__(self, *, channels: Sequence[int], layers: int = 5, fold: int = 2) -> None:
        super().__init__()
        if not channels:
            raise ValueError("a variational network needs a step")
        self.blocks = nn.ModuleList(
            SpaceTime(6, 2, channels=n, layers=layers, fold=fold) for n in channels
        )
        # Steps of 0.5 at first; below 1, where the norm of the encoding is at most 1, they shrink
        # the distance to the data.
        self.steps = nn.Parameter(torch.zeros(len(channels) + 1))

    def forward(
        self, data: Tensor, mask: Tensor, encoding: Encoding, over_time: Tensor | None = None
    ) -> Tensor:
        """Reconstruct series of frames.

        Parameters
        ----------
        data : Tensor of complex64, shape (n, t, coil, x, y)
            K-space, 0 where nothing was acquired; brightest tissue near 1.
        mask : Tensor, shape (n, t, x or 1, y)
            What was acquired.
        encoding
            That belongs to both.
        over_time
            As `popscan.recon.prepared.Slice` has it.

        Returns
        -------
        Tensor of complex64, shape (n, t, x, y)
        """
        right = encoding.adjoint(data)
        with torch.no_grad():
            image = variation_solved(data, mask, encoding, over_time=over_time, **_START)
            back = smooth_phase_of(image).conj()
        steps = torch.sigmoid(self.steps)
        for block, step in zip(self.blocks, steps, strict=False):
            apart = encoding.normal(image) - right
            mean = image.mean(dim=1, keepdim=True)
            parts = (mean.expand_as(image), _GAIN * (image - mean), _GAIN * apart)
            seen = torch.cat([as_channels(part * back) for part in parts], dim=2)
            change = as_images(block(seen).float()) / _GAIN
            image = image - step * apart + change * back.conj()
        return image - steps[-1] * (encoding.normal(image) - right)
