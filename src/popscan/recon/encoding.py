"""Parallel-imaging encoding of batches of slices and frames, in torch: on a CPU or a GPU.

Images have shape (z, t, x, y), multi-coil k-space (z, t, coil, x, y); y is the phase-encoding
axis. The same algebra as `popscan.recon.operators`, for methods that need thousands of passes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _axes(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis - 2 for axis in axes)


def to_kspace(image: Tensor, *, axes: tuple[int, ...] = (0, 1)) -> Tensor:
    """Return the centred, orthonormal Fourier transform over some of the axes (x, y)."""
    dim = _axes(axes)
    shifted = torch.fft.ifftshift(image, dim=dim)
    return torch.fft.fftshift(torch.fft.fftn(shifted, dim=dim, norm="ortho"), dim=dim)


def to_image(data: Tensor, *, axes: tuple[int, ...] = (0, 1)) -> Tensor:
    """Return the inverse and adjoint of `to_kspace`."""
    dim = _axes(axes)
    shifted = torch.fft.ifftshift(data, dim=dim)
    return torch.fft.fftshift(torch.fft.ifftn(shifted, dim=dim, norm="ortho"), dim=dim)


class Encoding:
    """Coil maps, Fourier transform and sampling: one image becomes the acquired samples.

    Parameters
    ----------
    maps : Tensor of complex64, shape (z, coil, x, y)
        Coil sensitivities; with squares that add up to at most 1 the norm is at most 1.
    mask : Tensor of bool or float32, shape (z, t, x or 1, y)
        Acquired samples (1) and those missing (0).
    axes
        Which of the axes (x, y) to transform: both, or ``(1,)`` for data whose whole readouts
        were brought to image space already, which is faster.
    """

    def __init__(self, maps: Tensor, mask: Tensor, *, axes: tuple[int, ...] = (0, 1)) -> None:
        self.maps = maps[:, None]
        self.axes = axes
        self.mask = mask[:, :, None].to(torch.float32)
        self._corner_mask = torch.fft.ifftshift(self.mask, dim=_axes(axes))
        self._conjugate = self.maps.conj().resolve_conj()

    def apply(self, image: Tensor) -> Tensor:
        """Return the acquired samples (z, t, coil, x, y) of an image (z, t, x, y)."""
        return to_kspace(image[:, :, None] * self.maps, axes=self.axes) * self.mask

    def adjoint(self, data: Tensor) -> Tensor:
        """Return the coil-combined zero-filled image (z, t, x, y)."""
        return (to_image(data * self.mask, axes=self.axes) * self._conjugate).sum(dim=2)

    def normal(self, image: Tensor) -> Tensor:
        """Return ``adjoint(apply(image))``; shifts cancel and are left out."""
        dim = _axes(self.axes)
        spectrum = torch.fft.fftn(image[:, :, None] * self.maps, dim=dim)
        spectrum = spectrum * self._corner_mask
        return (torch.fft.ifftn(spectrum, dim=dim) * self._conjugate).sum(dim=2)

    def with_mask(self, mask: Tensor) -> Encoding:
        """Return the encoding of other samples by the same coils."""
        return Encoding(self.maps[:, 0], mask, axes=self.axes)
