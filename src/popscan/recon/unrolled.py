"""A variational network for series of several coils: gradient steps with a learned regulariser.

Hammernik K, Klatzer T, Kobler E, Recht MP, Sodickson DK, Pock T, Knoll F. Learning a variational
network for reconstruction of accelerated MRI data. Magn Reson Med 79:3055-3071, 2018.

Differences from the paper: the regulariser's gradient is a small convolutional network of its own
per step and not a field of experts; it sees neighbouring frames; and a series starts from its k-t
SENSE solution, a single frame from CG-SENSE, so that only their errors are left to be learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from popscan.recon.encoding import Encoding
from popscan.recon.holes import conjugate_gradients
from popscan.recon.kt import kt_prior, kt_solved
from popscan.recon.spacetime import SpaceTime, as_channels, as_images, smooth_phase_of

#: Weight of the image's size (Tikhonov) and steps for the start of a single frame.
_START_LAM, _START_STEPS = 0.01, 8
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
            image = started(data, mask, encoding, right, over_time=over_time)
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


def started(
    data: Tensor, mask: Tensor, encoding: Encoding, right: Tensor, *, over_time: Tensor | None
) -> Tensor:
    """Return the classical solution that the network starts from, (n, t, x, y)."""
    if data.shape[1] > 1:
        prior = kt_prior(data, mask, encoding, over_time=over_time)
        return kt_solved(right, encoding, guess=prior.still, size=prior.size)
    return conjugate_gradients(
        lambda v: encoding.normal(v) + _START_LAM * v, right, n_iterations=_START_STEPS
    )
