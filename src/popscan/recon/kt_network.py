"""k-t SENSE whose prior a network gives, trained on data of several coils.

The network works where k-t SENSE does, on images of temporal frequencies (x-f space): it sees the
training images and the aliased data there, and gives what it expects (a guess) and how far the
signal may be from it. The solution is then found by conjugate gradients, as in k-t SENSE, so that
the coils and the acquired data decide what the prior leaves open. A fresh network is k-t SENSE. It
sees sizes alone, and its guess is a share of what it was given, so that neither the phase of the
images nor the beginning of the cycle matters.

After Tsao et al. (Magn Reson Med 50:1031-1042, 2003) and a study of networks for k-t SENSE data
of fetuses, which found training on all coils to be better and motion to be
underestimated: hence the loss on what moves (`popscan.train.series`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from popscan.recon.encoding import Encoding
from popscan.recon.kt import LAM, KtPrior, kt_prior, kt_solved
from popscan.recon.spacetime import SpaceTime

#: Largest logarithm by which the network changes how large the signal may be.
_MOST = 3.0
#: Spectra are about so much smaller than the image.
_GAIN = 4.0
#: Temporal frequencies, in cycles per cycle, from which on the network sees them as equally high.
_HIGHEST = 8.0


class KtNetwork(nn.Module):
    """A network that gives the prior of k-t SENSE.

    Parameters
    ----------
    channels, layers, fold
        As for `popscan.recon.spacetime.SpaceTime`; its frames are temporal frequencies here.
    n_iterations
        Steps of conjugate gradients.
    """

    takes_frames = False

    def __init__(
        self, *, channels: int, layers: int = 5, fold: int = 2, n_iterations: int = 8
    ) -> None:
        super().__init__()
        self.n_iterations = n_iterations
        self.network = SpaceTime(6, 3, channels=channels, layers=layers, fold=fold)
        self.log_lam = nn.Parameter(torch.tensor(LAM).log())

    def forward(
        self, data: Tensor, mask: Tensor, encoding: Encoding, over_time: Tensor | None = None
    ) -> Tensor:
        """Reconstruct series; as `popscan.recon.unrolled.VariationalNetwork.forward`."""
        right = encoding.adjoint(data)
        with torch.no_grad():
            prior = kt_prior(data, mask, encoding, over_time=over_time)
            first = torch.fft.fft(right - encoding.normal(prior.still), dim=1, norm="ortho")
            seen = torch.stack(_sizes(prior, first), dim=2)
        found = self.network(seen).float()
        expected = found[:, :, 0] * prior.spectrum + found[:, :, 1] * first
        size = prior.size * torch.exp(found[:, :, 2].clamp(-_MOST, _MOST))
        return kt_solved(
            right, encoding, guess=prior.still + torch.fft.ifft(expected, dim=1, norm="ortho"),
            size=size, lam=self.log_lam.exp(), n_iterations=self.n_iterations,
        )  # fmt: skip


def _sizes(prior: KtPrior, first: Tensor) -> list[Tensor]:
    """Return what the network sees, each (n, f, x, y): sizes, and how well both spectra agree."""
    one, two = prior.spectrum.abs(), first.abs()
    agreement = (prior.spectrum * first.conj()).real / (one + two).clamp(min=1e-9)
    moving = [_GAIN * part for part in (one, two, agreement, prior.size)]
    return [*moving, prior.still.abs(), frequency_map(first.real)]


def frequency_map(like: Tensor) -> Tensor:
    """Return how high each temporal frequency is, 0 to 1, in the shape (n, f, x, y) of `like`."""
    n = like.shape[1]
    number = torch.arange(n, device=like.device)
    height = torch.minimum(number, n - number).to(like.dtype).div(_HIGHEST).clamp(max=1)
    return height[None, :, None, None].expand_as(like)
