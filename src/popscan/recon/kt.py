"""k-t SENSE: the temporal spectrum of training images as the prior of each pixel's signal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from popscan.recon.encoding import Encoding
from popscan.recon.holes import conjugate_gradients, unfolded_mean
from popscan.recon.sharing import shared_views

#: Defaults of `popscan.recon.dynamic.kt_sense`.
LAM, N_ITERATIONS, SPREAD_PX, FLOOR = 0.001, 10, 2, 0.03


@dataclass(frozen=True, kw_only=True)
class KtPrior:
    """What k-t SENSE knows before it looks at the aliased data.

    Attributes
    ----------
    still : Tensor of complex64, shape (n, t, x, y)
        The mean over time, the same in every frame.
    spectrum : Tensor of complex64, shape (n, f, x, y)
        Temporal spectrum of the training images (views shared) without their mean.
    size : Tensor of float32, shape (n, f, x, y)
        How large the signal may be.
    """

    still: Tensor
    spectrum: Tensor
    size: Tensor


def kt_prior(
    data: Tensor,
    mask: Tensor,
    encoding: Encoding,
    *,
    over_time: Tensor | None = None,
    spread_px: int = SPREAD_PX,
    floor: float = FLOOR,
) -> KtPrior:
    """Return the prior of series (n, t, coil, x, y); options as of the method ``kt_sense``."""
    filled, present = shared_views(data, mask)
    shared = encoding.with_mask(present).adjoint(filled)
    mean = shared.mean(dim=1, keepdim=True)
    spectrum = torch.fft.fft(shared - mean, dim=1, norm="ortho")
    unfolded = unfolded_mean(data, mask, encoding, over_time=over_time)
    still = (mean if unfolded is None else unfolded).expand(-1, data.shape[1], -1, -1)
    size = torch.nn.functional.max_pool2d(spectrum.abs(), 2 * spread_px + 1, 1, spread_px)
    size = size + floor * size.amax(dim=(1, 2, 3), keepdim=True)
    return KtPrior(still=still, spectrum=spectrum, size=size)


def kt_solved(
    right: Tensor,
    encoding: Encoding,
    *,
    guess: Tensor,
    size: Tensor,
    lam: float | Tensor = LAM,
    n_iterations: int = N_ITERATIONS,
) -> Tensor:
    """Return ``guess + F^H size z`` with z that minimises the distance to the data and lam |z|^2.

    Parameters
    ----------
    right : Tensor of complex64, shape (n, t, x, y)
        Adjoint of the data.
    encoding
        Of the data.
    guess : Tensor of complex64, shape (n, t, x, y)
        What is known before.
    size : Tensor of float32, shape (n, f, x, y)
        How far each temporal frequency may be from it.
    lam, n_iterations
        As `popscan.recon.dynamic.kt_sense`.
    """

    def weighted(z: Tensor) -> Tensor:
        return torch.fft.ifft(size * z, dim=1, norm="ortho")

    def adjoint(image: Tensor) -> Tensor:
        return size * torch.fft.fft(image, dim=1, norm="ortho")

    apart = adjoint(right - encoding.normal(guess))
    z = conjugate_gradients(
        lambda v: adjoint(encoding.normal(weighted(v))) + lam * v, apart, n_iterations=n_iterations
    )
    return guess + weighted(z)
