"""Lines of k-space as other lines predict them, through the coils and over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from popscan.arrays.fourier import centred_ifft
from popscan.recon.encoding import Encoding
from popscan.recon.holes import conjugate_gradients
from popscan.recon.prepare import compression_matrix

#: Virtual coils that predict; share of the readout's field of view, where most changes over time.
N_COILS, SHARE = 6, 0.5
#: Weight of the priors, and size of the motion in the lowest temporal frequency, of the brightest.
_LAM, _MOTION = 1e-3, 0.3
_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class Hybrid:
    """A slice, its readouts in image space, cut to where most changes.

    Attributes
    ----------
    data : Tensor of complex64, shape (1, t, coil, x, y)
        Readouts as images along x, phase encoding as k-space; brightest tissue near 1.
    mask : ndarray of bool, shape (t, y)
        Acquired lines.
    maps : Tensor of complex64, shape (1, coil, x, y)
        Coil maps.
    """

    data: Tensor
    mask: NDArray[np.bool_]
    maps: Tensor


def hybrid_of(samples: NDArray[np.complex64], maps: NDArray[np.complex64]) -> Hybrid:
    """Bring a slice (t, coil, kx, ky) with its maps (coil, x, y) into the shape for prediction."""
    flat = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1)
    matrix, _ = compression_matrix(flat @ flat.conj().T, min(N_COILS, len(flat)))
    data = np.einsum("vc,tcxy->tvxy", matrix, centred_ifft(samples, axes=(2,)))
    found = np.einsum("vc,cxy->vxy", matrix, maps)
    mask = np.asarray(samples.any(axis=(1, 2)))
    where = _busiest(data, mask)
    data, found = data[:, :, where], found[:, where]
    scale = max(float(np.abs(data).max()) / np.sqrt(data.shape[-1]), 1e-12)
    return Hybrid(
        data=torch.from_numpy(np.ascontiguousarray(data / scale, dtype=np.complex64))[None],
        mask=mask,
        maps=torch.from_numpy(np.ascontiguousarray(found, dtype=np.complex64))[None],
    )


def _busiest(data: NDArray[np.complexfloating], mask: NDArray[np.bool_]) -> slice:
    """Return the window along x in which lines (t, coil, x, ky) differ most between frames."""
    n_x = data.shape[2]
    width = max(round(n_x * SHARE), min(n_x, 16))
    count = np.maximum(mask.sum(axis=0), 1)
    change = (data - data.sum(axis=0) / count) * mask[:, np.newaxis, np.newaxis]
    energy = np.cumsum(np.r_[0, (change.real**2 + change.imag**2).sum(axis=(0, 1, 3))])
    first = int(np.argmax(energy[width:] - energy[: n_x - width + 1]))
    return slice(first, first + width)


def predicted_lines(hybrid: Hybrid, lines: NDArray[np.bool_]) -> Tensor:
    """Return all lines (t, coil, x, ky) of the series that some lines (t, ky) give.

    The mean over time is solved first, then what moves, with a prior that falls off with the
    temporal frequency, as in k-t SENSE (Tsao 2003).
    """
    data, n_t = hybrid.data, hybrid.data.shape[1]
    mask = torch.from_numpy(lines.astype(np.float32))[None, :, None]
    encoding = Encoding(hybrid.maps, mask, axes=(1,))
    right = encoding.adjoint(data)

    # What stands still is in every frame: the normal operators' mean is that of the masks' mean.
    over_time = encoding.with_mask(mask.mean(dim=1, keepdim=True))

    def of_mean(image: Tensor) -> Tensor:
        return over_time.normal(image) + _LAM * image

    mean = conjugate_gradients(of_mean, right.mean(dim=1, keepdim=True), n_iterations=_STEPS)
    still = mean.expand(-1, n_t, -1, -1)
    images = still
    if n_t > 1:
        frequency = (torch.fft.fftfreq(n_t) * n_t).abs()
        size = (_MOTION * mean.abs().amax() / (1 + frequency))[None, :, None, None]

        def moving(z: Tensor) -> Tensor:
            return torch.fft.ifft(size * z, dim=1, norm="ortho")

        def adjoint(image: Tensor) -> Tensor:
            return size * torch.fft.fft(image, dim=1, norm="ortho")

        z = conjugate_gradients(
            lambda v: adjoint(encoding.normal(moving(v))) + _LAM * v,
            adjoint(right - encoding.normal(still)),
            n_iterations=_STEPS,
        )
        images = still + moving(z)
    every = torch.ones_like(mask)
    return Encoding(hybrid.maps, every, axes=(1,)).apply(images)[0]
